"""`mailsync token …`: make, list and revoke access tokens, on this machine's own store or through the API.

Without ``--address`` the store in the data directory is used, while a service runs on it or before its first start: who may
read and write that directory needs no token, and so makes the first one. With ``--address`` it is a call like any other.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, Protocol

import typer
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from rich.table import Table

from mailsync_grpc.cli.account_options import labels_of
from mailsync_grpc.cli.command import TlsCaOption, TlsCertOption, TlsKeyOption, TokenOption, with_options
from mailsync_grpc.cli.failures import reported
from mailsync_grpc.cli.local import ConfigOption, explained
from mailsync_grpc.cli.names import account_resource
from mailsync_grpc.cli.session import Session, Target, open_session
from mailsync_grpc.cli.terminal import ago, moment, plain, to_people, to_people_beside, word
from mailsync_grpc.config import load
from mailsync_grpc.v1 import system_service_pb2 as pb

app = typer.Typer(help="Access tokens, which callers of the service send.", no_args_is_help=True)


Own = ParamSpec("Own")


class ScopeName(StrEnum):
    """What a token allows."""

    READ_METADATA = "read-metadata"
    READ_CONTENT = "read-content"
    MODIFY_MAIL = "modify-mail"
    MANAGE_ACCOUNTS = "manage-accounts"
    ADMIN = "admin"

    @property
    def value_of_contract(self) -> pb.TokenScope.ValueType:
        """The value of `mailsync.v1.TokenScope`."""
        return pb.TokenScope.Value(f"TOKEN_SCOPE_{self.name}")


DataDirOption = Annotated[
    Path | None, typer.Option(help="Directory of the store; that of the settings unless given.")
]
RemoteOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="A service to ask: HOST:PORT or unix:/path. Else this machine's store is used.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs: one JSON object a line.")]


class Tokens(Protocol):
    """What can be done with tokens, here or there."""

    def create(self, token: pb.Token) -> pb.CreateTokenResponse:
        """Make a token."""
        ...

    def list(self) -> Iterator[pb.Token]:
        """Yield every token, by name."""
        ...

    def revoke(self, name: str) -> None:
        """Revoke a token."""
        ...


class RemoteTokens:
    """Tokens of a service, through its API."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create(self, token: pb.Token) -> pb.CreateTokenResponse:
        """As `Tokens.create`."""
        return self._session.call(self._session.system.CreateToken, pb.CreateTokenRequest(token=token))

    def list(self) -> Iterator[pb.Token]:
        """As `Tokens.list`."""
        request = pb.ListTokensRequest()
        while True:
            page = self._session.call(self._session.system.ListTokens, request)
            yield from page.tokens
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def revoke(self, name: str) -> None:
        """As `Tokens.revoke`."""
        self._session.call(self._session.system.RevokeToken, pb.RevokeTokenRequest(name=name))


@contextmanager
def _remote(target: Callable[[], Target], address: str) -> Iterator[Tokens]:
    with reported(address), open_session(target()) as session:
        yield RemoteTokens(session)


@contextmanager
def _local(config: Path | None, data_dir: Path | None) -> Iterator[Tokens]:
    with reported(""), explained():
        # Imported here: no other command needs the store.
        from mailsync_grpc.cli.local_tokens import open_tokens  # noqa: PLC0415

        with open_tokens(load(config, {"data_dir": data_dir})) as local:
            yield local


def placed(command: Callable[Concatenate[Tokens, Own], None]) -> Callable[..., None]:
    """A command for typer made of one whose first parameter are the tokens to work on, here or there."""

    def run(
        config: ConfigOption = None,
        data_dir: DataDirOption = None,
        address: RemoteOption = None,
        token: TokenOption = None,
        tls_ca: TlsCaOption = None,
        tls_cert: TlsCertOption = None,
        tls_key: TlsKeyOption = None,
        **own: Any,
    ) -> None:
        place = (
            _local(config, data_dir)
            if address is None
            else _remote(lambda: Target(address, token, tls_ca, tls_cert, tls_key), address)
        )
        with place as tokens:
            command(tokens, **own)  # type: ignore[call-arg]

    return with_options(run, command)


@app.command("create")
@placed
def create(
    tokens: Tokens,
    scope: Annotated[
        list[ScopeName],
        typer.Option(
            help="What it allows; may be repeated. All that can be unless given.", show_default=False
        ),
    ] = [],  # noqa: B006  typer copies it
    account: Annotated[
        list[str],
        typer.Option(metavar="ACCOUNT", help="Only this account; may be repeated.", show_default=False),
    ] = [],  # noqa: B006
    label: Annotated[
        list[str],
        typer.Option(metavar="KEY=VALUE", help="Only accounts that bear this label.", show_default=False),
    ] = [],  # noqa: B006
    name: Annotated[str, typer.Option(help="A name for people.", show_default=False)] = "",
    days: Annotated[
        float | None, typer.Option(min=0.0, help="Days until it expires; never unless given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print its secret, this once: it is kept as a hash only.

    Without --scope it may do everything; with --account or --label everything but administer the server. From the first token
    on every caller needs one.
    """
    made = tokens.create(_wanted(scope, account, label, name, days))
    if as_json:
        _print_json(made)
        return
    print(made.secret)
    to_people_beside().print(plain(f"made {made.token.name}; the secret above is shown this once"))


def _wanted(
    scopes: list[ScopeName], accounts: list[str], labels: list[str], name: str, days: float | None
) -> pb.Token:
    limited = bool(accounts or labels)
    scopes = scopes or [scope for scope in ScopeName if not (limited and scope is ScopeName.ADMIN)]
    wanted = pb.Token(
        display_name=name,
        scopes=[scope.value_of_contract for scope in scopes],
        accounts=[account_resource(each) for each in accounts],
        account_labels=labels_of(labels),
    )
    if days is not None:
        wanted.expire_time.FromSeconds(round(time.time() + days * 86_400))
    return wanted


@app.command("list")
@placed
def list_tokens(
    tokens: Tokens,
    as_json: JsonOption = False,
) -> None:
    """List the tokens, without their secrets."""
    found = list(tokens.list())
    if as_json:
        for each in found:
            _print_json(each)
    elif found:
        to_people().print(_table(found, datetime.now(UTC)))
    else:
        to_people_beside().print("no tokens yet; make one with `mailsync token create`")


@app.command("revoke")
@placed
def revoke(
    tokens: Tokens,
    name: Annotated[str, typer.Argument(metavar="TOKEN", help="tokens/… as `mailsync token list` shows it.")],
) -> None:
    """Revoke a token: within two seconds its calls are refused, and its streams end."""
    full = name if name.startswith("tokens/") else f"tokens/{name}"
    tokens.revoke(full)
    to_people_beside().print(plain(f"revoked {full}"))


def _print_json(message: Message) -> None:
    print(MessageToJson(message, indent=None), flush=True)


def _table(tokens: list[pb.Token], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("token", no_wrap=True)
    for heading in ("name", "allows", "accounts", "expires", "last used"):
        table.add_column(heading)
    for token in tokens:
        scopes = ", ".join(word(pb.TokenScope.Name(scope), "TOKEN_SCOPE_") for scope in token.scopes)
        labels = [f"{key}={value}" for key, value in sorted(token.account_labels.items())]
        reach = ", ".join([name.removeprefix("accounts/") for name in token.accounts] + labels)
        texts = (token.name, token.display_name, scopes, reach or "all", moment(token.expire_time) or "never")
        table.add_row(*map(plain, texts), ago(token.last_used_time, now))
    return table

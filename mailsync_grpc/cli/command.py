"""What all commands that call the service share: the options of the connection, the session, and how failures end.

``connected`` adds those options to a command's own by extending the signature that typer reads, so that they stand behind
every command (``mailsync account list --json``) and are written once; ``with_options`` does it for other groups of options.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from mailsync_grpc.cli.failures import reported
from mailsync_grpc.cli.session import DEFAULT_ADDRESS, Session, Target, open_session

_PANEL = "Connection"

AddressOption = Annotated[
    str,
    typer.Option(
        help="The service: HOST:PORT or unix:/path.", envvar="MAILSYNC_ADDRESS", rich_help_panel=_PANEL
    ),
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        help="Bearer token of the service.",
        envvar="MAILSYNC_TOKEN",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
TlsCaOption = Annotated[
    Path | None,
    typer.Option(
        help="PEM file of the certificates to trust; turns TLS on.",
        envvar="MAILSYNC_TLS_CA",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
TlsCertOption = Annotated[
    Path | None,
    typer.Option(
        help="PEM file of a certificate to show, where the service asks for one.",
        envvar="MAILSYNC_TLS_CERT",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
TlsKeyOption = Annotated[
    Path | None,
    typer.Option(
        help="PEM file of its key.",
        envvar="MAILSYNC_TLS_KEY",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="For programs: one JSON object a line.", rich_help_panel=_PANEL)
]

Own = ParamSpec("Own")


def connected(command: Callable[Concatenate[Session, Own], None]) -> Callable[..., None]:
    """A command for typer made of one whose first parameter is a Session."""

    def run(
        address: AddressOption = DEFAULT_ADDRESS,
        token: TokenOption = None,
        tls_ca: TlsCaOption = None,
        tls_cert: TlsCertOption = None,
        tls_key: TlsKeyOption = None,
        as_json: JsonOption = False,
        **own: Any,
    ) -> None:
        with reported(address):
            target = Target(address, token, tls_ca, tls_cert, tls_key)
            with open_session(target, json=as_json) as session:
                # typer hands over exactly the parameters of the signature below.
                command(session, **own)  # type: ignore[call-arg]

    return with_options(run, command)


def with_options(
    run: Callable[..., None], command: Callable[..., None], *, before: int = 0
) -> Callable[..., None]:
    """``run`` with the signature of ``command`` and its own options behind that.

    The first ``before`` parameters of ``run`` stay in front; it hands those and one more to ``command`` by itself, and
    takes all others of ``command`` as ``**own``.
    """
    parameters = [p for p in inspect.signature(run).parameters.values() if p.kind is not p.VAR_KEYWORD]
    own = list(inspect.signature(command).parameters.values())[before + 1 :]
    options = [p.replace(kind=p.KEYWORD_ONLY) for p in (*own, *parameters[before:])]
    signature = inspect.Signature([*parameters[:before], *options])
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run

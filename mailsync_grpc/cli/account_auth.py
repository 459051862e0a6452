"""How an account logs in, as options say it: a password, a provider's consent, OAuth 2 tokens, or a secret kept outside."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import Parse, ParseError

from mailsync_grpc.cli.consent import PASTED_REDIRECT, Wanted, consent
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.secret import read_password
from mailsync_grpc.cli.session import Session
from mailsync_grpc.v1.account_pb2 import AccountAuth, OAuthAuth, PasswordAuth, SecretRefAuth

ProviderOption = Annotated[
    str,
    typer.Option(
        help="Log in by OAuth 2 with a consent at this provider of the service's configuration, such as google.",
        show_default=False,
    ),
]
OAuthOption = Annotated[
    Path | None,
    typer.Option(
        "--oauth",
        metavar="FILE",
        help="Log in with OAuth 2 tokens: a JSON file with the fields of OAuthAuth; - reads standard input.",
        show_default=False,
    ),
]
SecretRefOption = Annotated[
    str,
    typer.Option(
        metavar="REF",
        help="Log in with a secret that the service's operator keeps: file:NAME or env:NAME.",
        show_default=False,
    ),
]
PasteOption = Annotated[
    bool,
    typer.Option(
        "--paste", help="The browser is on another machine: paste the address it ends at, or pipe it in."
    ),
]
RedirectOption = Annotated[
    str,
    typer.Option(help="With --paste: where the provider is registered to send the browser."),
]


@dataclass(frozen=True, slots=True)
class AuthOptions:
    """What was given of how to log in; with none of it, a password is asked for."""

    password_stdin: bool = False
    provider: str = ""
    oauth: Path | None = None
    secret_ref: str = ""
    paste: bool = False
    redirect_uri: str = PASTED_REDIRECT

    @property
    def given(self) -> bool:
        """Whether anything but a password is given."""
        return bool(self.provider or self.oauth or self.secret_ref)


def read_auth(session: Session, username: str, options: AuthOptions) -> AccountAuth:
    """The credentials, asked for where they must be. CommandError when there are none or several kinds."""
    if sum(map(bool, (options.provider, options.oauth, options.secret_ref, options.password_stdin))) > 1:
        raise CommandError("one of --provider, --oauth, --secret-ref and --password-stdin")
    if options.secret_ref:
        return AccountAuth(secret_ref=SecretRefAuth(username=username, ref=options.secret_ref))
    if options.oauth:
        return AccountAuth(oauth=_tokens(username, options.oauth))
    if options.provider:
        wanted = Wanted(options.provider, login_hint=username, redirect_uri=redirect_of(options))
        authorization = consent(session, wanted).authorization
        return AccountAuth(oauth=OAuthAuth(username=username, authorization=authorization))
    password = read_password(username, from_stdin=options.password_stdin)
    return AccountAuth(password=PasswordAuth(username=username, password=password))


def redirect_of(options: AuthOptions) -> str:
    """Where the browser goes when its address is pasted; empty for the listener."""
    return options.redirect_uri if options.paste else ""


def _tokens(username: str, file: Path) -> OAuthAuth:
    text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8", "replace")
    try:
        tokens: OAuthAuth = Parse(text, OAuthAuth())
    except ParseError:
        # Not its message, which quotes what it could not read.
        raise CommandError(
            f"--oauth: {file} is no JSON object with fields of OAuthAuth, such as refreshToken, tokenEndpoint,"
            " clientId, clientSecret, accessToken"
        ) from None
    tokens.username = username
    return tokens

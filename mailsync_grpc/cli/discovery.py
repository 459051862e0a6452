"""`mailsync account discover`, and the choice that `mailsync account add` makes where no mail server is named.

The choice is where a password goes. DNS is seldom signed, so a server outside the address's domain that nothing but SRV
records names is not chosen but shown, for a person to name (RFC 6186 section 6); documents came over https.
"""

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.terminal import plain, word
from mailsync_grpc.v1 import account_service_pb2 as service
from mailsync_grpc.v1.account_pb2 import AuthKind, ImapSecurity


def discover(
    session: Session,
    email: Annotated[str, typer.Argument(metavar="ADDRESS", help="An e-mail address.", show_default=False)],
) -> None:
    """Find the mail server of an e-mail address; best first."""
    found = _found(session, email)
    if session.json:
        for candidate in found:
            session.print_json(candidate)
    elif found:
        session.out.print(_table(found))
    else:
        session.beside.print(
            plain(f"no mail server found for {email}; name it with `mailsync account add --host`")
        )


def choose(session: Session, email: str | None, kind: AuthKind.ValueType) -> service.DiscoveredSettings:
    """The best settings for an address that such credentials can be used with; says what they are. CommandError for none."""
    if not email:
        raise CommandError("name the mail server with --host, or the address with --email to have it found")
    found = _found(session, email)
    if not found:
        raise CommandError(f"no mail server found for {email}; name it with --host and --username")
    chosen = next((each for each in found if kind in each.auth_kinds), None)
    if chosen is None and kind == AuthKind.AUTH_KIND_OAUTH:
        raise CommandError(
            f"{found[0].imap.host} is not known to take OAuth 2; name it with --host and --username"
        )
    if chosen is None:
        provider = found[0].provider or "NAME"
        raise CommandError(
            f"{found[0].imap.host} takes no passwords, only OAuth 2: add --provider {provider}"
        )
    if chosen.source == service.DISCOVERY_SOURCE_SRV and not _within(chosen.imap.host, email):
        raise CommandError(
            f"{email}: only DNS names {_server(chosen)}, outside the domain;"
            f" if it is right, say so with --host {chosen.imap.host} --username {chosen.username}"
        )
    session.beside.print(plain(f"{email}: using {_server(chosen)}, {_source(chosen)}, as {chosen.username}"))
    return chosen


def _within(host: str, email: str) -> bool:
    domain = email.rpartition("@")[2].lower()
    return host == domain or host.endswith(f".{domain}")


def _found(session: Session, email: str) -> list[service.DiscoveredSettings]:
    request = service.DiscoverSettingsRequest(email_address=email)
    return list(session.call(session.accounts.DiscoverSettings, request).candidates)


def _table(found: Iterable[service.DiscoveredSettings]) -> Table:
    table = Table("Mail server", "User", "Credentials", "Found by", box=None, header_style="dim")
    for candidate in found:
        kinds = ", ".join(word(AuthKind.Name(kind), "AUTH_KIND_") for kind in candidate.auth_kinds)
        table.add_row(plain(_server(candidate)), plain(candidate.username), kinds, _source(candidate))
    return table


def _server(candidate: service.DiscoveredSettings) -> str:
    security = word(ImapSecurity.Name(candidate.imap.security), "IMAP_SECURITY_")
    return f"{candidate.imap.host}:{candidate.imap.port} ({security})"


def _source(candidate: service.DiscoveredSettings) -> str:
    return word(service.DiscoverySource.Name(candidate.source), "DISCOVERY_SOURCE_")

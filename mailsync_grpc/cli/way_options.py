"""The way to a mail server on the command line: how it is protected, what is trusted and shown, and a proxy.

Secrets stand in no argument: a proxy's password comes from the environment or a prompt, a key from a file.
"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.secret import read_proxy_password
from mailsync_grpc.model.proxy import parse_proxy
from mailsync_grpc.v1.account_pb2 import ImapEndpoint, ImapSecurity


class Security(StrEnum):
    """How the connection to the mail server is protected."""

    TLS = "tls"
    STARTTLS = "starttls"
    PLAINTEXT = "plaintext"


SECURITIES = {
    Security.TLS: ImapSecurity.IMAP_SECURITY_IMPLICIT_TLS,
    Security.STARTTLS: ImapSecurity.IMAP_SECURITY_STARTTLS,
    Security.PLAINTEXT: ImapSecurity.IMAP_SECURITY_PLAINTEXT,
}

CaFileOption = Annotated[
    Path | None,
    typer.Option(help="PEM file of authorities to trust instead of the system's.", show_default=False),
]
ProxyOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT to go through; '' for none.",
        show_default=False,
    ),
]
ClientCertOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="PEM certificate to show to the mail server; '' for none.", show_default=False
    ),
]
ClientKeyOption = Annotated[
    Path | None, typer.Option(help="PEM file of that certificate's private key.", show_default=False)
]


def describe_way(
    imap: ImapEndpoint, proxy_url: str | None, client_cert_file: str | None, client_key_file: Path | None
) -> list[str]:
    """Set what is given, and return the paths of those fields for an update mask."""
    if client_key_file is not None and not client_cert_file:
        raise CommandError("--client-key-file goes with --client-cert-file")
    return list(_set(imap, proxy_url, client_cert_file, client_key_file))


def pem_text(file: Path) -> str:
    """Return a PEM file's text; bundles have comments between the certificates, in whatever encoding."""
    return file.read_text("utf-8", "replace")


def _set(
    imap: ImapEndpoint, proxy_url: str | None, client_cert_file: str | None, client_key_file: Path | None
) -> Iterator[str]:
    if proxy_url is not None:
        imap.proxy_url = _with_password(proxy_url)
        yield "imap.proxy_url"
    if client_cert_file is not None:
        imap.tls.client_certificate_pem = pem_text(Path(client_cert_file)) if client_cert_file else ""
        imap.tls.client_key_pem = pem_text(client_key_file) if client_key_file else ""
        yield from ("imap.tls.client_certificate_pem", "imap.tls.client_key_pem")


def _with_password(url: str) -> str:
    """Return the URL with the password of its user, where it names one and there is one to be had."""
    if not url:
        return ""
    try:
        proxy = parse_proxy(url)
    except ValueError as error:
        raise CommandError(f"--proxy-url: {error}") from None
    if proxy.password is not None:
        raise CommandError(
            "a password in --proxy-url is seen by every user of this machine; leave it out and set"
            " MAILSYNC_PROXY_PASSWORD, or type it when asked"
        )
    if not proxy.username:
        return url
    return proxy.with_password(read_proxy_password(proxy.place)).whole_url

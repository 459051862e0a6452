r"""Logging in: with a user name and password, or with an OAuth 2 access token (`oauth`).

AUTHENTICATE PLAIN (RFC 4616) goes before LOGIN, because it carries every character. LOGINDISABLED (RFC 3501 section
6.2.3) is respected. Nothing made here carries a secret: not a message, not a representation, not a cause.
"""

import imaplib
import re
from dataclasses import dataclass, field

from imapclient import IMAPClient

from mailsync_grpc.errors import (
    ImapAuthError,
    ImapError,
    ImapProtocolError,
    ImapRefusedError,
    UnsafeArgumentError,
)
from mailsync_grpc.imap import oauth
from mailsync_grpc.imap.answer import untagged_text
from mailsync_grpc.imap.commands import check_text, quote
from mailsync_grpc.imap.refusal import farewell, first_line, refusal
from mailsync_grpc.imap.wire import Wire

_BYTES_REPR = re.compile(r"b(['\"])(.*)\1", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Password:
    """A user name and password; the password shows in no representation."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A user name and an OAuth 2 access token; the token shows in no representation.

    `mechanism`, one of oauth.MECHANISMS, is the only one to use; empty means what the server offers.
    """

    username: str
    token: str = field(repr=False)
    mechanism: str = ""


Credentials = Password | AccessToken


def check_credentials(credentials: Credentials) -> None:
    """Raise UnsafeArgumentError when a credential holds what would end a command or a SASL field."""
    check_text("user name", credentials.username)
    if isinstance(credentials, Password):
        check_text("password", credentials.password)
    elif "\x01" in credentials.username or not oauth.sendable(credentials.token):
        raise UnsafeArgumentError("a control character in the user name or the access token")


def log_in(client: IMAPClient, wire: Wire, credentials: Credentials) -> None:
    """Authenticate. Raises ImapAuthError, ImapThrottledError or another ImapError; the caller closes the connection."""
    # What the server said before it knew us may not answer for what it offers afterwards.
    wire.untagged_responses.clear()
    if isinstance(credentials, AccessToken):
        _show_token(wire, credentials)
    else:
        _give_password(client, wire, credentials)


def _show_token(wire: Wire, credentials: AccessToken) -> None:
    wanted = [credentials.mechanism] if credentials.mechanism else list(oauth.MECHANISMS)
    mechanism = next((name for name in wanted if f"AUTH={name}" in wire.capabilities), None)
    if mechanism is None:
        raise ImapAuthError(f"the server offers no login with an access token ({' or '.join(wanted)})")
    answers = [
        oauth.first_response(mechanism, credentials.username, wire.host, wire.port, credentials.token),
        oauth.MECHANISMS[mechanism],
    ]
    try:
        wire.authenticate(mechanism, lambda _challenge: answers.pop(0) if answers else None)
    except imaplib.IMAP4.error as fault:
        raise _sorted(str(fault), wire, credentials.token) from None


def _give_password(client: IMAPClient, wire: Wire, credentials: Password) -> None:
    username, password = credentials.username, credentials.password
    try:
        if "AUTH=PLAIN" in wire.capabilities:
            client.plain_login(username, password)
        elif "LOGINDISABLED" in wire.capabilities:
            raise ImapAuthError(
                "the server offers no login with a password on this connection (LOGINDISABLED)"
            )
        elif not (username + password).isascii():
            raise ImapAuthError("the server offers LOGIN only, which carries ASCII only")
        else:
            client.login(quote(username.encode()).decode(), password)
    except imaplib.IMAP4.error as fault:
        raise _sorted(str(fault), wire, password) from None


def _sorted(text: str, wire: Wire, secret: str) -> ImapError:
    """Return the tree's error for what imaplib and IMAPClient made of the server's answer."""
    if bye := wire.untagged_responses.get("BYE"):
        return farewell(f"* BYE {untagged_text(bye[-1])}", secret)
    if "command error: BAD" in text:
        return ImapRefusedError(f"the server did not understand the login: {first_line(text, secret)}")
    if text.startswith(("command: ", "unexpected ")):
        return ImapProtocolError("the server's answer to the login breaks the protocol")
    as_bytes = _BYTES_REPR.fullmatch(text)
    return refusal(as_bytes[2] if as_bytes else text, secret)

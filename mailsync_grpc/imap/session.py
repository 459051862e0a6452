r"""Opening a connection: resolve, connect, greet, TLS, log in.

IMAPClient drives the opening and the login over the guarded `Wire`. Whatever goes wrong closes the connection and is
an error of the tree. A server that greets with PREAUTH is refused: it would have chosen the mailbox without our
credentials, and before STARTTLS it is how an attacker keeps a client in clear (RFC 3501 section 7.1.4).
"""

import imaplib
from functools import partial

from imapclient import IMAPClient

from mailsync_grpc.errors import ImapError, ImapProtocolError, ImapTlsError, MailsyncError
from mailsync_grpc.imap.answer import untagged_text
from mailsync_grpc.imap.auth import Credentials, check_credentials, log_in
from mailsync_grpc.imap.endpoint import Endpoint, Policy, Security
from mailsync_grpc.imap.ledger import Lease
from mailsync_grpc.imap.refusal import farewell
from mailsync_grpc.imap.wire import Clock, Wire


class GuardedClient(IMAPClient):  # type: ignore[misc]  # IMAPClient has no types
    """IMAPClient over a `Wire`."""

    wire: Wire

    def __init__(self, endpoint: Endpoint, policy: Policy, clock: Clock, lease: Lease) -> None:
        self._make_wire = partial(Wire, endpoint, policy, clock, lease)
        super().__init__(endpoint.host, endpoint.port, ssl=endpoint.security == Security.IMPLICIT_TLS)
        # IMAPClient turns imaplib's debugging up; it would format every line and hand the login to a logger.
        self.wire.debug = 0

    def _create_IMAP4(self) -> Wire:  # noqa: N802  # the name IMAPClient calls
        self.wire = self._make_wire()
        return self.wire


def open_session(
    endpoint: Endpoint, policy: Policy, credentials: Credentials, clock: Clock, lease: Lease
) -> Wire:
    """Return an authenticated wire. Raises EndpointForbiddenError, UnsafeArgumentError and every ImapError."""
    check_credentials(credentials)
    client = _connected(endpoint, policy, clock, lease)
    try:
        _secure_and_log_in(client, endpoint, credentials)
    except imaplib.IMAP4.error:
        client.wire.shutdown()
        raise _breach(client.wire) from None
    except MailsyncError:
        client.wire.shutdown()
        raise
    except (ValueError, TypeError):
        # imaplib decodes and indexes what servers send without checking it first.
        client.wire.shutdown()
        raise ImapProtocolError("the server's answer to the login breaks the protocol") from None
    return client.wire


def _connected(endpoint: Endpoint, policy: Policy, clock: Clock, lease: Lease) -> GuardedClient:
    try:
        return GuardedClient(endpoint, policy, clock, lease)
    except imaplib.IMAP4.error as fault:
        raise _greeting_fault(fault) from None
    except (ValueError, TypeError):
        raise ImapProtocolError(f"{endpoint.host}:{endpoint.port} does not speak IMAP") from None


def _greeting_fault(fault: imaplib.IMAP4.error) -> ImapError:
    line = fault.args[0] if fault.args else b""
    text = line.decode("latin-1") if isinstance(line, bytes) else str(line)
    if text.upper().startswith("* BYE"):
        return farewell(text)
    return ImapProtocolError("the server does not greet as IMAP asks")


def _secure_and_log_in(client: GuardedClient, endpoint: Endpoint, credentials: Credentials) -> None:
    if client.wire.state != "NONAUTH":
        raise ImapProtocolError("the server greets with PREAUTH, before any login")
    if endpoint.security == Security.STARTTLS:
        if "STARTTLS" not in client.wire.capabilities:
            raise ImapTlsError("the server does not offer STARTTLS")
        client.wire.starttls()
    log_in(client, client.wire, credentials)


def _breach(wire: Wire) -> ImapError:
    if bye := wire.untagged_responses.get("BYE"):
        return farewell(f"* BYE {untagged_text(bye[-1])}")
    return ImapProtocolError("the server's answer breaks the protocol")

"""The demo mailbox's other user: a plain imaplib client that delivers mail as a mail program or a gateway would.

It shares nothing with the client being shown or tested, on purpose: two programs that agree are worth more when neither
is made of the other. Delivery is one MULTIAPPEND (RFC 3502) with non-synchronizing literals (RFC 7888) for hundreds of
messages, which takes a tenth of the time of one APPEND each.
"""

import imaplib
import ssl
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from imapclient import imap_utf7

_BATCH = 200
_TAG = b"DELIVER"


class Delivery(NamedTuple):
    """A message to be stored: RFC 5322 bytes, its flags, and its INTERNALDATE (None: the time of delivery)."""

    raw: bytes
    flags: tuple[str, ...] = ()
    internal_date: datetime | None = None


def connect(
    host: str, port: int, user: str, password: str, *, tls: ssl.SSLContext | None = None
) -> imaplib.IMAP4:
    """A connection already logged in; use as a context manager to log out. imaplib.IMAP4.error when refused."""
    client = (
        imaplib.IMAP4(host, port, timeout=30)
        if tls is None
        else imaplib.IMAP4_SSL(host, port, ssl_context=tls, timeout=30)
    )
    try:
        client.login(user, password)
    except BaseException:
        client.shutdown()
        raise
    return client


def mailbox_argument(folder: str) -> str:
    """A folder's name as an IMAP argument: modified UTF-7 (RFC 3501, 5.1.3) in quotes."""
    encoded: bytes = imap_utf7.encode(folder)
    return '"' + encoded.decode("ascii").replace("\\", "\\\\").replace('"', '\\"') + '"'


def create_folders(client: imaplib.IMAP4, folders: Iterable[str]) -> None:
    """Create and subscribe folders; one that exists already is left as it is."""
    for folder in folders:
        name = mailbox_argument(folder)
        status, answer = client.create(name)
        # Servers that do not say [ALREADYEXISTS] (RFC 5530) are asked.
        if status != "OK" and client.status(name, "(MESSAGES)")[0] != "OK":
            raise imaplib.IMAP4.error(f"CREATE {folder}: {answer[0]!r}")
        client.subscribe(name)


def deliver(client: imaplib.IMAP4, folder: str, messages: Iterable[bytes | Delivery]) -> int:
    """Store messages in an existing folder in their order and return their number; IMAP4.error when refused."""
    pending = (message if isinstance(message, Delivery) else Delivery(message) for message in messages)
    delivered = 0
    while batch := list(islice(pending, _BATCH)):
        client.send(b"".join(_append_command(folder, batch)))
        _read_to_tag(client)
        delivered += len(batch)
    return delivered


def _append_command(folder: str, batch: Sequence[Delivery]) -> Iterator[bytes]:
    yield b"%b APPEND %b" % (_TAG, mailbox_argument(folder).encode("ascii"))
    for raw, flags, internal_date in batch:
        yield b" (%b)" % " ".join(flags).encode("ascii")
        if internal_date is not None:
            yield b" " + imaplib.Time2Internaldate(internal_date).encode("ascii")
        yield b" {%d+}\r\n" % len(raw)
        yield raw
    yield b"\r\n"


def _read_to_tag(client: imaplib.IMAP4) -> None:
    while line := client.readline():
        if line.startswith(_TAG):
            if line.split()[1] != b"OK":
                raise imaplib.IMAP4.error(line.decode("utf-8", "replace").strip())
            return
    raise imaplib.IMAP4.abort("the server closed the connection during a delivery")

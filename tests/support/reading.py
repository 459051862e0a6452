"""An independent reading of a mailbox: imaplib for the wire, the email package for the messages.

It shares no code with the product. Where a message is so broken that two honest readers may differ (raw 8-bit headers,
dates that are none), the reading says what any of them must at least find.
"""

import email
import email.header
import email.utils
import imaplib
import re
import time
from dataclasses import dataclass
from email.message import Message

from mailsync_grpc.cli.demo.second_client import mailbox_argument

_UID = re.compile(rb"UID (\d+)")
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")
_FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Read:
    """One message as read from its whole source."""

    uid: int
    flags: frozenset[str]
    size: int
    internal_date: float
    subject: str
    message_id: str
    addresses: dict[str, list[str]]
    date: float | None
    attachments: list[tuple[str, str]]
    raw: bytes


def read_folder(client: imaplib.IMAP4, folder: str) -> dict[int, Read]:
    """Return every message of a folder by UID, read whole."""
    client.select(mailbox_argument(folder), readonly=True)
    _, answers = client.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
    found = {}
    for item in answers:
        if isinstance(item, tuple):
            read = _message(item[0], item[1])
            found[read.uid] = read
    return found


def _message(head: bytes, raw: bytes) -> Read:
    message = email.message_from_bytes(raw)
    uid, size, flags = _UID.search(head), _SIZE.search(head), _FLAGS.search(head)
    date = imaplib.Internaldate2tuple(head)
    assert uid, head
    assert size, head
    assert flags, head
    assert date, head
    return Read(
        uid=int(uid[1]),
        flags=frozenset(flag.decode() for flag in flags[1].split()) - {"\\Recent"},
        size=int(size[1]),
        internal_date=time.mktime(date),
        subject=_field(raw, b"Subject"),
        message_id=str(message.get("Message-ID", "")).strip().strip("<>"),
        addresses={
            field: [
                address
                for _, address in email.utils.getaddresses([str(v) for v in message.get_all(field, [])])
            ]
            for field in ("From", "To", "Cc", "Bcc", "Reply-To")
        },
        date=_date(str(message.get("Date", ""))),
        attachments=_attachments(message),
        raw=raw,
    )


def _field(raw: bytes, name: bytes) -> str:
    """Return a header field unfolded and decoded; raw octets as UTF-8, else Latin-1."""
    head = raw.partition(b"\r\n\r\n")[0]
    found = re.search(rb"(?im)^" + name + rb":((?:[^\r\n]|\r?\n[ \t])*)", head)
    octets = re.sub(rb"\r?\n", b"", found[1] if found else b"")
    try:
        return _words(octets.decode("utf-8"))
    except UnicodeDecodeError:
        return _words(octets.decode("latin-1"))


def _words(text: str) -> str:
    """Decode encoded words and fold white space."""
    decoded = "".join(
        part.decode(charset or "ascii", "replace") if isinstance(part, bytes) else part
        for part, charset in email.header.decode_header(text)
    )
    return " ".join(decoded.split())


def _date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _attachments(message: Message) -> list[tuple[str, str]]:
    """Return (file name, media type) of every part that says it is an attachment or carries a file name."""
    found = []
    for part in _own_parts(message):
        name = part.get_filename()
        if part.get_content_disposition() == "attachment" or name:
            found.append((_words(name or ""), part.get_content_type()))
    return found


def _own_parts(message: Message) -> list[Message]:
    """Return the leaves of a message; an enclosed message is one leaf."""
    if message.get_content_maintype() != "multipart" or not message.is_multipart():
        return [message]
    parts = message.get_payload()
    assert isinstance(parts, list)
    return [leaf for part in parts if isinstance(part, Message) for leaf in _own_parts(part)]

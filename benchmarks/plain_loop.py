"""What one writes without a sync engine: imapclient, a search, and `fetch` in batches of UIDs.

Two references: the reading alone, and the same with its result kept in sqlite, subjects decoded, which is the least that a
program needs to list a mailbox without asking the mail server again.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from email.header import decode_header, make_header
from typing import Any

from imapclient import IMAPClient

from tests.support.mail import Mailbox

BATCH = 1_000
_ITEMS = (
    *"UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE".split(),
    "BODY.PEEK[HEADER.FIELDS (REFERENCES AUTO-SUBMITTED)]",
)
_FIELDS = b"BODY[HEADER.FIELDS (REFERENCES AUTO-SUBMITTED)]"
_TABLE = "CREATE TABLE messages (uid INTEGER PRIMARY KEY, flags, date, size, subject, sender, receivers, id, structure, refs)"


def fetch_metadata(mailbox: Mailbox, newest: int) -> int:
    """Read the metadata of the folder's `newest` messages; return how many there were."""
    return sum(len(batch) for batch in _batches(mailbox, newest))


def keep_metadata(mailbox: Mailbox, newest: int, path: str) -> int:
    """Read the same and keep it in a new sqlite file, one commit a batch; return how many messages there were."""
    kept = 0
    with sqlite3.connect(path) as database:
        database.execute(_TABLE)
        for batch in _batches(mailbox, newest):
            database.executemany(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_row(uid, found) for uid, found in batch.items()],
            )
            database.commit()
            kept += len(batch)
    database.close()
    return kept


def _batches(mailbox: Mailbox, newest: int) -> Iterator[dict[int, dict[bytes, Any]]]:
    with IMAPClient(mailbox.host, mailbox.port, ssl=False) as client:
        client.login(mailbox.user, mailbox.password)
        client.select_folder("INBOX", readonly=True)
        uids = sorted(client.search())[-newest:]
        for start in range(0, len(uids), BATCH):
            yield client.fetch(uids[start : start + BATCH], _ITEMS)


def _row(uid: int, found: dict[bytes, Any]) -> tuple[object, ...]:
    envelope = found[b"ENVELOPE"]
    return (
        uid,
        b" ".join(found[b"FLAGS"]),
        str(found[b"INTERNALDATE"]),
        found[b"RFC822.SIZE"],
        _decoded(envelope.subject),
        _people(envelope.from_),
        _people(envelope.to),
        envelope.message_id,
        str(found[b"BODYSTRUCTURE"]),
        found[_FIELDS],
    )


def _people(addresses: Iterable[Any] | None) -> str:
    return "; ".join(f"{each.name} <{each.mailbox}@{each.host}>" for each in addresses or ())


def _decoded(subject: bytes | None) -> str:
    text = (subject or b"").decode("utf-8", "replace")
    try:
        return str(make_header(decode_header(text)))
    except (LookupError, UnicodeDecodeError):
        return text

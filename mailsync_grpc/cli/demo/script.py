r"""What the second client does to the mailbox while the demo watches, and by which events each step is seen.

A step is a sentence, a deed on a connection of the second client, and a condition on the events since it was done; the
conditions are pure. A move may be told as one event or, where its evidence is not enough, as a removal and an arrival.
"""

import imaplib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from itertools import count

from mailsync_grpc.cli.demo.second_client import deliver, mailbox_argument
from mailsync_grpc.v1.event_pb2 import Event

INBOX = "INBOX"
ARCHIVE = "Archive/2025"
KEYWORD = "demo-keyword"
_SUBJECTS = (
    "Lunch on Thursday?",
    "Angebot für die Werkstatt",
    "Re: Minutes of the meeting",
    "週末の予定",
    "Your ticket [4711] was answered",
    "Facture n° 2026-118",
)

Deed = Callable[[imaplib.IMAP4], None]
Condition = Callable[[Sequence[Event]], bool]


@dataclass(frozen=True, slots=True)
class Step:
    """A change of the mailbox: its kind for a report, a sentence, the folders it touches, deed and condition."""

    kind: str
    sentence: str
    folders: tuple[str, ...]
    do: Deed
    seen: Condition


def steps(number: int, *, keywords: bool) -> list[Step]:
    """The life of one message, the ``number``th of this run: it arrives, is flagged, moved and deleted."""
    message_id = f"demo-{number}@demo.example"
    subject = _SUBJECTS[number % len(_SUBJECTS)]
    flagged = _flagging(message_id, r"\Flagged")
    keyword = Step(
        "keyword",
        f"sets the keyword {KEYWORD}",
        (INBOX,),
        _flagging(message_id, KEYWORD),
        lambda events: any(KEYWORD in event.flags_changed.added.keywords for event in events),
    )
    return [
        Step(
            "delivery",
            f"delivers “{subject}”",
            (INBOX,),
            _delivery(message_id, subject),
            _arrived(message_id),
        ),
        Step("flag", r"flags it", (INBOX,), flagged, _was_flagged),
        *([keyword] if keywords else []),
        Step("move", f"moves it to {ARCHIVE}", (INBOX, ARCHIVE), _moving(message_id), _moved(message_id)),
        Step("deletion", "deletes it", (ARCHIVE,), _deletion(message_id), _was_removed),
    ]


def endless(*, keywords: bool, start: int = 1) -> Iterator[Step]:
    """Steps without end: one message after the other."""
    for number in count(start):
        yield from steps(number, keywords=keywords)


def _message(message_id: str, subject: str) -> bytes:
    message = EmailMessage()
    message["From"] = "Kim Second <kim@demo.example>"
    message["To"] = "Dana Demo <dana@demo.example>"
    message["Subject"] = subject
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = f"<{message_id}>"
    message.set_content(f"{subject}\n\nWritten for the demo.\n")
    return message.as_bytes().replace(b"\n", b"\r\n")


def _delivery(message_id: str, subject: str) -> Deed:
    def do(client: imaplib.IMAP4) -> None:
        deliver(client, INBOX, [_message(message_id, subject)])

    return do


def _flagging(message_id: str, flag: str) -> Deed:
    def do(client: imaplib.IMAP4) -> None:
        uid = _uid(client, INBOX, message_id)
        _uid_command(client, "STORE", uid, "+FLAGS.SILENT", f"({flag})")

    return do


def _moving(message_id: str) -> Deed:
    def do(client: imaplib.IMAP4) -> None:
        uid = _uid(client, INBOX, message_id)
        _uid_command(client, "MOVE", uid, mailbox_argument(ARCHIVE))

    return do


def _deletion(message_id: str) -> Deed:
    def do(client: imaplib.IMAP4) -> None:
        uid = _uid(client, ARCHIVE, message_id)
        _uid_command(client, "STORE", uid, "+FLAGS.SILENT", r"(\Deleted)")
        client.expunge()

    return do


def _arrived(message_id: str) -> Condition:
    return lambda events: any(message_id in event.envelope_added.envelope.message_id for event in events)


def _was_flagged(events: Sequence[Event]) -> bool:
    return any(event.flags_changed.added.flagged for event in events)


def _moved(message_id: str) -> Condition:
    def seen(events: Sequence[Event]) -> bool:
        as_one = any(message_id in event.envelope_moved.envelope.message_id for event in events)
        return as_one or (_was_removed(events) and _arrived(message_id)(events))

    return seen


def _was_removed(events: Sequence[Event]) -> bool:
    return any(event.HasField("envelopes_removed") for event in events)


def _uid(client: imaplib.IMAP4, folder: str, message_id: str) -> str:
    client.select(mailbox_argument(folder))
    _, answer = client.uid("SEARCH", "HEADER", "Message-ID", f'"<{message_id}>"')
    found: list[bytes] = answer[0].split()
    if not found:
        raise imaplib.IMAP4.error(f"{message_id} is not in {folder}")
    return found[-1].decode("ascii")


def _uid_command(client: imaplib.IMAP4, command: str, *arguments: str) -> None:
    status, answer = client.uid(command, *arguments)
    if status != "OK":
        raise imaplib.IMAP4.error(f"UID {command}: {answer!r}")

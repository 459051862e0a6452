"""A realistic mailbox that is the same on every run: mail as the programs of thirty years wrote it.

Messages are assembled as bytes, not by the ``email`` package: fast enough for benchmarks of 100,000, and only so can the
faults be made that real mail has (raw 8-bit headers, broken dates, missing fields). A message is drawn in two steps: a
writer decides who writes what to whom in which thread, then one of ``kinds.KINDS``, chosen by weight, gives it its form.
"""

import random
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from mailsync_grpc.cli.demo.draft import Draft, Person, charset_for
from mailsync_grpc.cli.demo.kinds import KINDS, OWN_KINDS, Kind
from mailsync_grpc.cli.demo.second_client import Delivery
from mailsync_grpc.cli.demo.texts import COMMON_PEOPLE, KEYWORDS, ODD_PEOPLE, OWNER, TONGUE_WEIGHTS, TONGUES

# Where a mailbox's time ends unless told otherwise: a mailbox is the same whenever it is made.
NEWEST = datetime(2026, 3, 31, 17, 45, tzinfo=UTC)

_REPLY_SHARE = 0.45
_OPEN_THREADS = 12
_LONGEST_REFERENCES = 25
_ODD_SHARE = 0.4
_STEP = timedelta(hours=3)
_FOLDERS = {
    "INBOX": 140,
    "Sent": 60,
    "Drafts": 3,
    "Archive": 0,
    "Archive/2024": 30,
    "Archive/2025": 50,
    "Projects": 0,
    "Projects/Ärger & Söhne": 25,
    "Projects/Website": 20,
    "Projects/Website/Entwürfe": 6,
    "Newsletters": 25,
    "家族": 10,
    "Junk": 12,
    "Trash": 8,
}
# Folders of the owner's own mail, with the flags all of it carries.
_OWN_FOLDERS = {"Sent": (r"\Seen",), "Drafts": (r"\Seen", r"\Draft")}


class DemoFolder(NamedTuple):
    """A folder's name, as people see it, with what it holds, oldest first."""

    name: str
    deliveries: tuple[Delivery, ...]


def demo_folders(seed: int = 1, newest: datetime = NEWEST) -> tuple[DemoFolder, ...]:
    """A mailbox of about four hundred messages in a tree of folders, parents before children."""
    return tuple(
        DemoFolder(name, tuple(_folder(name, count, seed * 1000 + number, newest)))
        for number, (name, count) in enumerate(_FOLDERS.items())
    )


def messages(count: int, seed: int = 1) -> Iterator[bytes]:
    """That many messages as RFC 5322 bytes with CRLF line ends, the same for the same seed."""
    return (delivery.raw for delivery in deliveries(count, seed))


def deliveries(count: int, seed: int = 1, newest: datetime = NEWEST) -> Iterator[Delivery]:
    """The same messages with flags and INTERNALDATE, oldest first, the last one at ``newest``."""
    rng = random.Random(seed)
    for draft in _drafts(rng, count, newest):
        yield Delivery(_form(draft, KINDS), _flags(rng), draft.date)


def _folder(name: str, count: int, seed: int, newest: datetime) -> Iterator[Delivery]:
    if name not in _OWN_FOLDERS:
        return deliveries(count, seed, newest)
    drafts = _drafts(random.Random(seed), count, newest)
    return (Delivery(_form(_by_owner(draft), OWN_KINDS), _OWN_FOLDERS[name], draft.date) for draft in drafts)


def _form(draft: Draft, kinds: Mapping[Kind, int]) -> bytes:
    (kind,) = draft.rng.choices(tuple(kinds), tuple(kinds.values()))
    return kind(draft)


def _drafts(rng: random.Random, count: int, newest: datetime) -> Iterator[Draft]:
    """Drafts at regular steps; some answer one of the threads of late."""
    threads: deque[Draft] = deque(maxlen=_OPEN_THREADS)
    for steps_left in reversed(range(count)):
        new = _opening(rng, newest - steps_left * _STEP)
        if threads and rng.random() < _REPLY_SHARE:
            new = _reply(rng.choice(threads), new)
        threads.append(new)
        yield new


def _opening(rng: random.Random, date: datetime) -> Draft:
    (tongue,) = rng.choices(TONGUES, TONGUE_WEIGHTS)
    subject = rng.choice(tongue.subjects)
    sender, *others = (_person(rng) for _ in range(rng.choice((1, 1, 1, 2, 3, 6))))
    return Draft(
        rng=rng,
        date=date,
        sender=sender,
        to=(OWNER, *others[:2]),
        # Now and then everyone is told.
        cc=tuple(others[2:]) if rng.random() < 0.98 else COMMON_PEOPLE[:60],
        message_id=b"<%d.%016x@mail.example>" % (date.timestamp(), rng.getrandbits(64)),
        references=(),
        tongue=tongue,
        charset=charset_for(tongue, rng.randrange(len(tongue.charsets))),
        subject=subject if rng.random() < 0.5 else f"{subject} ({rng.randrange(10_000)})",
    )


def _person(rng: random.Random) -> Person:
    return rng.choice(ODD_PEOPLE if rng.random() < _ODD_SHARE else COMMON_PEOPLE)


def _reply(thread: Draft, new: Draft) -> Draft:
    return replace(
        new,
        references=(*thread.references, thread.message_id)[-_LONGEST_REFERENCES:],
        tongue=thread.tongue,
        charset=thread.charset,
        subject=thread.subject if thread.subject.startswith("Re: ") else "Re: " + thread.subject,
    )


def _by_owner(draft: Draft) -> Draft:
    return replace(draft, sender=OWNER, to=(draft.sender, *draft.to[1:]))


def _flags(rng: random.Random) -> tuple[str, ...]:
    drawn = rng.random()
    flags = [r"\Seen"] if drawn < 0.75 else []
    if drawn < 0.20:
        flags.append(r"\Answered")
    if rng.random() < 0.06:
        flags.append(r"\Flagged")
    if rng.random() < 0.12:
        flags.append(rng.choice(KEYWORDS))
    return tuple(flags)

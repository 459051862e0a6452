r"""The mailbox behind the hostile server: folders and messages in memory, changed by the test and read by sessions.

All access goes through `lock`, since the test changes what the server's threads read. A folder deleted and created
again is another folder, with a higher UIDVALIDITY, as RFC 3501 section 2.3.1.1 asks.
"""

import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from itertools import count, islice

from mailsync_grpc.cli.demo.second_client import Delivery

SPECIAL_USES = ("Sent", "Drafts", "Trash", "Junk", "Archive")
FIRST_VALIDITY = 1_700_000_000
_mailbox_ids = count(1)
_CHANGE = re.compile(r"([+-]?)FLAGS(?:\.SILENT)? \((.*)\)")


@dataclass(slots=True)
class HeldMessage:
    """A message; `number` is the server's own name for it, which copies share (RFC 8474 section 5.1), as they
    share `thread`, that of its conversation, 0 for none. `labels` are Gmail's.
    """

    raw: bytes
    date: datetime
    number: int
    flags: frozenset[str] = frozenset()
    modseq: int = 0
    labels: frozenset[str] = frozenset()
    thread: int = 0


@dataclass(slots=True)
class HeldFolder:
    r"""A folder; `special_use` is a LIST attribute such as `\Sent`, `mailbox_id` is RFC 8474's.

    `messages` are by ascending UID. `modseq` is the HIGHESTMODSEQ (RFC 7162); `expunged` says at which one each UID went.
    """

    uid_validity: int
    special_use: str = ""
    mailbox_id: str = field(default_factory=lambda: f"M{next(_mailbox_ids)}")
    uid_next: int = 1
    modseq: int = 1
    messages: dict[int, HeldMessage] = field(default_factory=dict)
    expunged: dict[int, int] = field(default_factory=dict)
    limit: int = 1 << 32

    @property
    def shown(self) -> dict[int, HeldMessage]:
        """What clients may see: the newest, as many as `limit` says."""
        hidden = len(self.messages) - self.limit
        return dict(islice(self.messages.items(), hidden, None)) if hidden > 0 else self.messages

    def add(self, message: HeldMessage, uid: int | None = None) -> None:
        """Store under the next UID, or under `uid`, which may lie in a gap below it."""
        uid = uid or self.uid_next
        self.messages[uid] = message
        self.messages = dict(sorted(self.messages.items()))
        self.uid_next = max(self.uid_next, uid + 1)
        message.modseq = self.next_modseq()

    def next_modseq(self) -> int:
        """The mod-sequence of the next change."""
        self.modseq += 1
        return self.modseq

    def within(self, uids: str) -> list[int]:
        """The UIDs held that are in a sequence-set, `*` included (RFC 3501 section 6.4.8)."""
        last = max(self.messages, default=0)
        spans = [_span(part, last) for part in uids.split(",")]
        return [uid for uid in self.shown if any(low <= uid <= high for low, high in spans)]


class HeldMail:
    """All folders of one user, by display name with `/` between levels.

    With a `prefix` such as `INBOX.` personal folders are below it, and its last character is between levels. `zone` is
    where the server counts its days. Whoever shows one of `tokens` is logged in.
    """

    def __init__(self, prefix: str = "") -> None:
        self.zone: tzinfo = UTC
        self.lock = threading.RLock()
        self.tokens: set[str] = set()
        self.delimiter = prefix[-1:] or "/"
        self.namespaces = f'* NAMESPACE (("{prefix}" "{self.delimiter}")) NIL NIL'.encode()
        self._validities = count(FIRST_VALIDITY)
        self._numbers = count(1)
        self.folders = {"INBOX": HeldFolder(next(self._validities))}
        for name in SPECIAL_USES:
            self.folders[prefix + name] = HeldFolder(next(self._validities), f"\\{name}")

    def create_folders(self, names: Iterable[str]) -> None:
        with self.lock:
            for name in names:
                levels = name.split(self.delimiter)
                for depth in range(1, len(levels) + 1):
                    path = self.delimiter.join(levels[:depth])
                    if path not in self.folders:
                        self.folders[path] = HeldFolder(next(self._validities))

    def delete_folder(self, name: str) -> None:
        with self.lock:
            del self.folders[name]

    def rename_folder(self, name: str, new: str) -> None:
        """Give the folder and those below it other names; a special use stays with the name, as on Dovecot."""
        with self.lock:
            assert new not in self.folders, new
            for old in [
                old for old in self.folders if (old + self.delimiter).startswith(name + self.delimiter)
            ]:
                held = self.folders[new + old.removeprefix(name)] = self.folders.pop(old)
                held.special_use = ""

    def renumber(self, name: str, uid_validity: int) -> None:
        """Give all messages new UIDs under another UIDVALIDITY, as a repaired index does."""
        with self.lock:
            old = self.folders[name]
            self.folders[name] = new = HeldFolder(uid_validity, old.special_use, old.mailbox_id)
            for message in old.messages.values():
                new.add(message)

    def deliver(
        self, messages: Iterable[bytes | Delivery], folder: str = "INBOX", uid: int | None = None
    ) -> int:
        with self.lock:
            held = [_held(message, next(self._numbers)) for message in messages]
            for message in held:
                self.folders[folder].add(message, uid)
            return len(held)

    def store(self, uids: str, change: str, folder: str = "INBOX") -> None:
        parsed = _CHANGE.fullmatch(change)
        assert parsed is not None, change
        named = frozenset(parsed[2].split())
        with self.lock:
            for message in self._in(folder, uids):
                message.modseq = self.folders[folder].next_modseq()
                match parsed[1]:
                    case "+":
                        message.flags |= named
                    case "-":
                        message.flags -= named
                    case _:
                        message.flags = named

    def label(self, uids: str, *labels: str, folder: str = "INBOX") -> None:
        """Give messages these labels and no others."""
        with self.lock:
            for message in self._in(folder, uids):
                message.modseq = self.folders[folder].next_modseq()
                message.labels = frozenset(labels)

    def expunge(self, uids: str, folder: str = "INBOX") -> None:
        with self.lock:
            held = self.folders[folder]
            for uid in held.within(uids):
                del held.messages[uid]
                held.expunged[uid] = held.next_modseq()

    def copy(self, uids: str, target: str, folder: str = "INBOX") -> None:
        with self.lock:
            for message in list(self._in(folder, uids)):
                self.folders[target].add(replace(message))

    def _in(self, folder: str, uids: str) -> Iterator[HeldMessage]:
        held = self.folders[folder]
        return (held.messages[uid] for uid in held.within(uids))


def _held(message: bytes | Delivery, number: int) -> HeldMessage:
    delivery = message if isinstance(message, Delivery) else Delivery(message)
    date = delivery.internal_date or datetime(2026, 3, 31, 12, tzinfo=UTC)
    return HeldMessage(delivery.raw, date, number, frozenset(delivery.flags))


def _span(part: str, last: int) -> tuple[int, int]:
    first, _, end = part.partition(":")
    low, high = sorted(last if text == "*" else int(text) for text in (first, end or first))
    return low, high

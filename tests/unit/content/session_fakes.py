"""A mail server that counts its connections, and reads from it."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from mailsync_grpc.errors import (
    EnvelopeNotFoundError,
    ImapAuthError,
    ImapRefusedError,
    ImapUnreachableError,
)
from mailsync_grpc.imap.budget import Limits, Mailbox, Use
from mailsync_grpc.imap.ledger import UNMETERED, Lease, Ledger
from mailsync_grpc.imap.listing import Selected
from mailsync_grpc.imap.reading import Reading
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.envelope import Envelope, FetchedMessage
from mailsync_grpc.model.flags import NO_FLAGS
from mailsync_grpc.model.uidset import UidSet


@dataclass
class FakeWindows:
    """Windows of a section, in which what is taken is looked up when it is taken."""

    fetch: Callable[[int, int], bytes]
    asked: list[tuple[int, int]] = field(default_factory=list)

    def ask(self, offset: int, length: int) -> None:
        self.asked.append((offset, length))

    def take(self) -> bytes:
        return self.fetch(*self.asked.pop(0))

    def end(self) -> None:
        self.asked.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


@dataclass
class FakeConnection:
    """A connection that shows a message only in folders examined after it came."""

    server: "FakeServer"
    lease: Lease = UNMETERED
    closed: bool = False
    logged_out: threading.Event = field(default_factory=threading.Event)
    hung_up: threading.Event = field(default_factory=threading.Event)
    seen: set[int] = field(default_factory=set)

    def examine(self, raw_name: bytes) -> Selected:
        self._alive()
        self.server.examined.append(raw_name)
        self.seen = set(self.server.uids)
        if raw_name == b"refused":
            raise ImapRefusedError("no such folder")
        return Selected(self.server.uid_validity, 10, 1, None, None)

    def fetch_section(self, uid: int, section: str, offset: int, length: int) -> bytes:
        self._alive()
        if uid not in self.seen:
            raise ImapRefusedError("gone")
        return section.encode()[offset : offset + length]

    def section_windows(self, uid: int, section: str) -> "FakeWindows":
        return FakeWindows(lambda offset, length: self.fetch_section(uid, section, offset, length))

    def fetch_structure(self, uid: int) -> Envelope | None:
        return Envelope() if uid in self.seen else None

    def fetch_metadata(self, uids: UidSet) -> list[FetchedMessage]:
        return [FetchedMessage(uid, NO_FLAGS, Envelope()) for uid in uids if uid in self.seen]

    def fetch_sections(self, wanted: Sequence[tuple[int, str]], length: int) -> dict[tuple[int, str], bytes]:
        return {(uid, section): self.fetch_section(uid, section, 0, length) for uid, section in wanted}

    def logout(self) -> None:
        self.closed = True
        self.lease.release()
        self.logged_out.set()

    def close(self) -> None:
        self.closed = True
        self.lease.release()
        self.hung_up.set()

    def _alive(self) -> None:
        if self.server.hangs_up:
            self.server.hangs_up -= 1
            self.closed = True
            raise ImapUnreachableError("connection lost")


@dataclass
class FakeServer:
    uids: set[int] = field(default_factory=lambda: {1})
    uid_validity: int = 7
    hangs_up: int = 0
    refuses_login: bool = False
    connections: list[FakeConnection] = field(default_factory=list)
    examined: list[bytes] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.books = Ledger(lambda _: self.limits)

    def connect(self, account: Account) -> Reading:
        if self.refuses_login:
            raise ImapAuthError("wrong password")
        lease = self.books.lease(Mailbox(account.host, account.username), Use.CONTENT)
        self.connections.append(FakeConnection(self, lease))
        return self.connections[-1]


def look_for(connection: Reading, uid: int = 1) -> str:
    if connection.fetch_structure(uid) is None:
        raise EnvelopeNotFoundError(str(uid))
    return connection.fetch_section(uid, "1.2", 0, 10).decode()

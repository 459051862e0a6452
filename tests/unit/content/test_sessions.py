"""Connections for reading: used again, renewed when stale, few at a time, closed when idle."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import pytest

from mailsync_grpc.errors import (
    BudgetSpentError,
    ConnectionsSpentError,
    EnvelopeNotFoundError,
    ImapAuthError,
    ImapRefusedError,
    ImapUnreachableError,
    PartNotFoundError,
    ServerDrainingError,
    UidValidityChangedError,
)
from mailsync_grpc.imap.budget import Limits, Mailbox, Use
from mailsync_grpc.imap.ledger import UNMETERED, Lease, Ledger
from mailsync_grpc.imap.listing import Selected
from mailsync_grpc.imap.sessions import Reading, Sessions, Wish
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.envelope import Envelope, FetchedMessage
from mailsync_grpc.model.flags import NO_FLAGS
from mailsync_grpc.model.uidset import UidSet
from tests.unit.content.fakes import account, folder


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


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
async def sessions(server: FakeServer) -> AsyncIterator[Sessions]:
    sessions = Sessions(server.connect, per_account=2, threads=8)
    yield sessions
    await sessions.close()
    assert all(connection.closed for connection in server.connections)


def look_for(connection: Reading, uid: int = 1) -> str:
    if connection.fetch_structure(uid) is None:
        raise EnvelopeNotFoundError(str(uid))
    return connection.fetch_section(uid, "1.2", 0, 10).decode()


async def test_reads_of_one_folder_share_login_and_examine(sessions: Sessions, server: FakeServer) -> None:
    for _ in range(3):
        assert await sessions.read(account(), folder(), look_for) == "1.2"
    assert len(server.connections) == 1
    assert server.examined == [b"Folder 1"]


async def test_another_folder_is_examined_on_the_same_connection(
    sessions: Sessions, server: FakeServer
) -> None:
    for number in (1, 2, 2, 1):
        await sessions.read(account(), folder(number), look_for)
    assert len(server.connections) == 1
    assert server.examined == [b"Folder 1", b"Folder 2", b"Folder 1"]


async def test_a_message_newer_than_the_view_is_found_by_a_new_one(
    sessions: Sessions, server: FakeServer
) -> None:
    await sessions.read(account(), folder(), look_for)
    server.uids.add(2)
    assert await sessions.read(account(), folder(), lambda connection: look_for(connection, 2)) == "1.2"
    assert len(server.connections) == 1
    with pytest.raises(EnvelopeNotFoundError):
        await sessions.read(account(), folder(), lambda connection: look_for(connection, 3))


async def test_a_connection_that_idled_to_death_is_replaced(sessions: Sessions, server: FakeServer) -> None:
    await sessions.read(account(), folder(), look_for)
    server.hangs_up = 1
    assert await sessions.read(account(), folder(), look_for) == "1.2"
    assert len(server.connections) == 2


async def test_a_server_that_hangs_up_on_new_connections_is_unreachable(
    sessions: Sessions, server: FakeServer
) -> None:
    await sessions.read(account(), folder(), look_for)
    server.hangs_up = 2
    with pytest.raises(ImapUnreachableError):
        await sessions.read(account(), folder(), look_for)


async def test_a_folder_that_was_renumbered_is_refused_until_the_caller_knows(
    sessions: Sessions, server: FakeServer
) -> None:
    server.uid_validity = 8
    with pytest.raises(UidValidityChangedError):
        await sessions.read(account(), folder(), look_for)
    assert await sessions.read(account(), folder(uid_validity=8), look_for) == "1.2"
    assert len(server.connections) == 1


async def test_a_refusal_keeps_the_connection_and_forgets_the_folder(
    sessions: Sessions, server: FakeServer
) -> None:
    await sessions.read(account(), folder(), look_for)
    refused = replace(folder(), raw_name=b"refused")
    with pytest.raises(ImapRefusedError):
        await sessions.read(account(), refused, look_for)
    await sessions.read(account(), folder(), look_for)
    assert len(server.connections) == 1
    assert server.examined == [b"Folder 1", b"refused", b"Folder 1"]


async def test_what_a_reader_does_not_find_costs_no_connection(
    sessions: Sessions, server: FakeServer
) -> None:
    def missing(_connection: Reading) -> None:
        raise PartNotFoundError("9")

    for _ in range(2):
        with pytest.raises(PartNotFoundError):
            await sessions.read(account(), folder(), missing)
    assert len(server.connections) == 1


async def test_a_changed_account_gets_a_new_login(sessions: Sessions, server: FakeServer) -> None:
    await sessions.read(account(version=1), folder(), look_for)
    await sessions.read(account(version=2), folder(), look_for)
    await sessions.read(account(no=2), folder(), look_for)
    assert len(server.connections) == 3


async def test_a_refused_login_is_told(sessions: Sessions, server: FakeServer) -> None:
    server.refuses_login = True
    with pytest.raises(ImapAuthError):
        await sessions.read(account(), folder(), look_for)


async def test_a_slow_account_holds_up_itself_alone(sessions: Sessions, server: FakeServer) -> None:
    may_end, started = threading.Event(), threading.Semaphore(0)

    def slow(_connection: Reading) -> None:
        started.release()
        assert may_end.wait(10)

    slow_reads = [asyncio.create_task(sessions.read(account(), folder(), slow)) for _ in range(6)]
    for _ in range(2):
        assert await asyncio.to_thread(started.acquire, timeout=10)
    assert await sessions.read(account(no=2), folder(), look_for) == "1.2"
    assert len(server.connections) == 3, "two at a time for the slow one, one for the other"
    may_end.set()
    await asyncio.gather(*slow_reads)
    assert len(server.connections) == 3


async def test_closing_ends_a_read_that_hangs(server: FakeServer) -> None:
    sessions = Sessions(server.connect)
    await sessions.read(account(), folder(), look_for)
    started = threading.Event()

    def hang(connection: Reading) -> None:
        started.set()
        assert server.connections[0].hung_up.wait(10)
        assert connection.closed
        raise ImapUnreachableError("connection lost")

    hanging = asyncio.create_task(sessions.read(account(), folder(), hang))
    assert await asyncio.to_thread(started.wait, 10)
    await sessions.close()
    with pytest.raises(ServerDrainingError):
        await hanging


async def test_idle_connections_are_closed(server: FakeServer) -> None:
    sessions = Sessions(server.connect, idle=0.01)
    await sessions.read(account(), folder(), look_for)
    assert await asyncio.to_thread(server.connections[0].logged_out.wait, 10)
    await sessions.read(account(), folder(), look_for)
    assert len(server.connections) == 2
    await sessions.close()


async def test_an_idle_connection_makes_room_where_the_host_takes_no_more(
    sessions: Sessions, server: FakeServer
) -> None:
    server.limits = Limits(host_connections=1)
    for number in (1, 2, 1):
        assert await sessions.read(account(number), folder(), look_for) == "1.2"
    assert [connection.logged_out.is_set() for connection in server.connections] == [True, True, False]


async def test_a_read_without_a_place_is_refused_while_all_are_in_use(
    sessions: Sessions, server: FakeServer
) -> None:
    server.limits = Limits(host_connections=1)
    started, may_end = threading.Event(), threading.Event()

    def slow(_connection: Reading) -> bool:
        started.set()
        return may_end.wait(10)

    reading = asyncio.create_task(sessions.read(account(1), folder(), slow))
    assert await asyncio.to_thread(started.wait, 10)
    with pytest.raises(ConnectionsSpentError):
        await sessions.read(account(2), folder(), look_for)
    may_end.set()
    assert await reading


async def test_reads_of_one_mailbox_wait_for_each_other_where_its_host_takes_one_connection(
    sessions: Sessions, server: FakeServer
) -> None:
    server.limits = Limits(connections=1)
    reads = [sessions.read(account(), folder(), look_for) for _ in range(6)]
    assert await asyncio.gather(*reads) == ["1.2"] * 6
    assert len(server.connections) == 1


async def test_a_message_is_read_on_the_connection_that_read_it_last(sessions: Sessions) -> None:
    def who(connection: Reading) -> Reading:
        return connection

    both = threading.Barrier(2, timeout=10)

    def meet(connection: Reading) -> Reading:
        both.wait()
        return connection

    first, second = await asyncio.gather(
        *(sessions.read(account(), folder(), meet, Wish(uid)) for uid in (1, 2))
    )
    assert first is not second
    for uid, own in ((1, first), (2, second), (2, second), (1, first)):
        assert await sessions.read(account(), folder(), who, Wish(uid)) is own


async def test_what_is_to_be_fresh_is_read_in_a_new_view(sessions: Sessions, server: FakeServer) -> None:
    await sessions.read(account(), folder(), look_for)
    server.uids.clear()
    assert await sessions.read(account(), folder(), look_for) == "1.2", "as the old view shows it"
    with pytest.raises(EnvelopeNotFoundError):
        await sessions.read(account(), folder(), look_for, Wish(fresh=True))


async def test_what_a_mailbox_received_in_a_day_ends_its_reads(
    sessions: Sessions, server: FakeServer
) -> None:
    server.limits = Limits(bytes_per_day=100)
    await sessions.read(account(), folder(), look_for)
    server.connections[0].lease.received(100)
    with pytest.raises(BudgetSpentError):
        await sessions.read(account(), folder(), look_for)
    assert not server.connections[0].closed, "nothing is wrong with it"

"""Connections for reading: few at a time, within what the host takes, and closed when idle."""

import asyncio
import threading

import pytest

from mailsync_grpc.errors import (
    BudgetSpentError,
    ConnectionsSpentError,
    ImapUnreachableError,
    ServerDrainingError,
)
from mailsync_grpc.imap.budget import Limits
from mailsync_grpc.imap.reading import Reading
from mailsync_grpc.imap.sessions import Sessions
from tests.unit.content.fakes import account, folder
from tests.unit.content.session_fakes import FakeServer, look_for


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


async def test_what_a_mailbox_received_in_a_day_ends_its_reads(
    sessions: Sessions, server: FakeServer
) -> None:
    server.limits = Limits(bytes_per_day=100)
    await sessions.read(account(), folder(), look_for)
    server.connections[0].lease.received(100)
    with pytest.raises(BudgetSpentError):
        await sessions.read(account(), folder(), look_for)
    assert not server.connections[0].closed, "nothing is wrong with it"

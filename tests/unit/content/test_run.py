"""A run of windows on one connection: ahead of its reader by two, given up when the reader is slow, never unbounded."""

import asyncio
import threading

import pytest

from mailsync_grpc.content import run as run_module
from mailsync_grpc.content.run import Run
from mailsync_grpc.imap.sessions import Reading
from tests.unit.content.session_fakes import FakeConnection, FakeServer

OCTETS = bytes(range(100))


class Fetches:
    """What was fetched, by offset."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.offsets: list[int] = []
        self.second = threading.Event()
        self._fails_at = fails_at

    def __call__(self, _connection: Reading, offset: int, length: int) -> bytes:
        self.offsets.append(offset)
        if len(self.offsets) == 2:
            self.second.set()
        if offset == self._fails_at:
            self._fails_at = None
            raise ConnectionError("once")
        return OCTETS[offset : offset + length]


@pytest.fixture
def connection() -> FakeConnection:
    return FakeConnection(FakeServer())


async def taken(run: Run) -> list[bytes]:
    windows = []
    while (window := await run.take()) is not None:
        windows.append(window)
    return windows


async def test_a_run_goes_from_its_offset_to_the_end_of_the_content(connection: FakeConnection) -> None:
    fetches = Fetches()
    run = Run(fetches, 40, 25)
    reading = asyncio.ensure_future(asyncio.to_thread(run.read, connection))
    reading.add_done_callback(lambda _: run.over())
    assert await taken(run) == [OCTETS[40:65], OCTETS[65:90], OCTETS[90:]]
    assert fetches.offsets == [40, 65, 90]


async def test_two_windows_are_fetched_ahead_and_then_the_connection_is_let_go(
    connection: FakeConnection,
) -> None:
    fetches = Fetches()
    run = Run(fetches, 0, 10)
    reading = asyncio.ensure_future(asyncio.to_thread(run.read, connection))
    assert await run.take() == OCTETS[:10]
    await reading  # though nobody takes the others
    assert fetches.offsets == [0, 10, 20]
    assert [await run.take(), await run.take()] == [OCTETS[10:20], OCTETS[20:30]]


async def test_others_get_their_turn_after_a_while(
    connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "RUN_OCTETS", 30)
    run = Run(Fetches(), 0, 10)
    reading = asyncio.ensure_future(asyncio.to_thread(run.read, connection))
    reading.add_done_callback(lambda _: run.over())
    assert b"".join(await taken(run)) == OCTETS[:30]


async def test_begun_again_on_another_connection_a_run_goes_on(connection: FakeConnection) -> None:
    run = Run(Fetches(fails_at=10), 0, 10)

    def twice() -> None:
        with pytest.raises(ConnectionError):
            run.read(connection)
        run.read(connection)

    reading = asyncio.ensure_future(asyncio.to_thread(twice))
    reading.add_done_callback(lambda _: run.over())
    assert b"".join(await taken(run)) == OCTETS


async def test_a_stopped_run_fetches_no_more(connection: FakeConnection) -> None:
    fetches = Fetches()
    run = Run(fetches, 0, 10)
    run.stop()
    await asyncio.to_thread(run.read, connection)
    assert fetches.offsets == []

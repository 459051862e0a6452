"""A run of windows on one connection: ahead of its reader by a few, given up when the reader is slow, never unbounded."""

import asyncio
import threading
import time

import pytest

from mailsync_grpc.content import run as run_module
from mailsync_grpc.content.run import AHEAD, Run
from mailsync_grpc.imap.reading import Reading, Windows
from tests.unit.content.session_fakes import FakeConnection, FakeServer, FakeWindows

OCTETS = bytes(range(200))


class Asked(FakeWindows):
    """Windows of OCTETS that keep what they were asked for, and how much was on its way at most."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__(self._octets)
        self.offsets: list[int] = []
        self.most = 0
        self._fails_at = fails_at

    def __call__(self, _connection: Reading) -> Windows:
        return self

    def ask(self, offset: int, length: int) -> None:
        super().ask(offset, length)
        self.offsets.append(offset)
        self.most = max(self.most, len(self.asked))

    def _octets(self, offset: int, length: int) -> bytes:
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


def begin(run: Run, connection: FakeConnection) -> asyncio.Future[None]:
    reading = asyncio.ensure_future(asyncio.to_thread(run.read, connection))
    reading.add_done_callback(lambda _: run.over())
    return reading


@pytest.mark.parametrize("expected", [0, 160, 1_000])
async def test_a_run_goes_from_its_offset_to_the_end_of_the_content(
    connection: FakeConnection, expected: int
) -> None:
    run = Run(Asked(), 110, 25, expected)
    begin(run, connection)
    assert await taken(run) == [OCTETS[110:135], OCTETS[135:160], OCTETS[160:185], OCTETS[185:]]


async def test_nothing_is_asked_for_ahead_beyond_the_expected_end(connection: FakeConnection) -> None:
    windows = Asked()
    run = Run(windows, 0, 25, len(OCTETS))
    begin(run, connection)
    assert b"".join(await taken(run)) == OCTETS
    assert windows.offsets == [*range(0, 201, 25)], (
        "what stands at the expected end is asked for once, at last"
    )


async def test_the_more_windows_are_taken_at_once_the_more_are_on_their_way(
    connection: FakeConnection,
) -> None:
    windows, got = Asked(), list[bytes]()
    look_up = windows.fetch

    def when_all_before_are_taken(offset: int, length: int) -> bytes:
        ended = time.monotonic() + 10
        while len(got) * length < offset and time.monotonic() < ended:
            time.sleep(0.0005)
        return look_up(offset, length)

    windows.fetch = when_all_before_are_taken
    run = Run(windows, 0, 5, len(OCTETS))
    begin(run, connection)
    while (window := await run.take()) is not None:
        got.append(window)
    assert b"".join(got) == OCTETS
    assert windows.most in {AHEAD - 1, AHEAD}, "one of them may not have been taken yet"


async def test_a_reader_that_takes_one_window_costs_few_and_then_the_connection_is_let_go(
    connection: FakeConnection,
) -> None:
    windows = Asked()
    run = Run(windows, 0, 10, len(OCTETS))
    reading = asyncio.ensure_future(asyncio.to_thread(run.read, connection))
    assert await run.take() == OCTETS[:10]
    await reading  # though nobody takes the others
    assert windows.offsets == [0, 10, 20]
    assert [await run.take(), await run.take()] == [OCTETS[10:20], OCTETS[20:30]]


async def test_others_get_their_turn_after_a_while(
    connection: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "RUN_OCTETS", 30)
    run = Run(Asked(), 0, 10, len(OCTETS))
    begin(run, connection)
    assert b"".join(await taken(run)) == OCTETS[:30]


@pytest.mark.parametrize("fails_at", [0, 10, 50])
async def test_begun_again_on_another_connection_a_run_goes_on(
    connection: FakeConnection, fails_at: int
) -> None:
    run = Run(Asked(fails_at), 0, 10, len(OCTETS))

    def twice() -> None:
        with pytest.raises(ConnectionError):
            run.read(connection)
        run.read(connection)

    reading = asyncio.ensure_future(asyncio.to_thread(twice))
    reading.add_done_callback(lambda _: run.over())
    assert b"".join(await taken(run)) == OCTETS


async def test_a_stopped_run_fetches_no_more(connection: FakeConnection) -> None:
    windows = Asked()
    run = Run(windows, 0, 10, len(OCTETS))
    run.stop()
    await asyncio.to_thread(run.read, connection)
    assert windows.offsets == []


async def test_a_run_stopped_while_windows_are_on_their_way_asks_for_no_more(
    connection: FakeConnection,
) -> None:
    windows, reached, may_answer = Asked(), threading.Event(), threading.Event()
    look_up = windows.fetch

    def when_stopped(offset: int, length: int) -> bytes:
        if offset == 10:
            reached.set()
            may_answer.wait(10)
        return look_up(offset, length)

    windows.fetch = when_stopped
    run = Run(windows, 0, 10, len(OCTETS))
    reading = begin(run, connection)
    assert await run.take() == OCTETS[:10]
    await asyncio.to_thread(reached.wait, 10)
    run.stop()
    may_answer.set()
    await reading
    assert windows.offsets == [0, 10, 20]


async def test_a_run_that_expects_nothing_asks_for_one_after_the_other(connection: FakeConnection) -> None:
    windows = Asked()
    run = Run(windows, 0, 10, len(OCTETS))
    run.expect_nothing()
    begin(run, connection)
    assert b"".join(await taken(run)) == OCTETS
    assert windows.most == 1

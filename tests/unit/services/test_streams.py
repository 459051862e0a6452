"""Writing to a reader that may be slow, without a timer a write."""

import asyncio
from typing import Any

import pytest

from mailsync_grpc.errors import SlowConsumerError
from mailsync_grpc.services.streams import Writer

_STALL = 0.3
_LONG = 60.0


class Reader:
    """A call's context whose reader takes what is written while `takes` is set."""

    def __init__(self) -> None:
        self.takes = asyncio.Event()
        self.read: list[bytes] = []

    async def write(self, response: bytes) -> None:
        await self.takes.wait()
        await asyncio.sleep(0)
        self.read.append(response)


def _timers() -> int:
    loop: Any = asyncio.get_running_loop()
    return sum(not timer.cancelled() for timer in loop._scheduled)


async def test_a_reader_that_takes_nothing_is_a_slow_consumer_and_its_task_goes_on() -> None:
    context: Any = Reader()
    with Writer(context, _STALL) as out, pytest.raises(SlowConsumerError):
        await out.write(b"a")
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_stall_is_seen_after_writes_that_were_taken() -> None:
    context: Any = Reader()
    context.takes.set()
    with Writer(context, _STALL) as out:
        for _ in range(3):
            await out.write(b"a")
            await asyncio.sleep(_STALL / 2)
        context.takes.clear()
        with pytest.raises(SlowConsumerError):
            await out.write(b"b")
    assert context.read == [b"a"] * 3


async def test_a_stream_that_is_quiet_for_longer_than_a_stall_is_not_ended() -> None:
    context: Any = Reader()
    context.takes.set()
    with Writer(context, _STALL) as out:
        await out.write(b"a")
        await asyncio.sleep(3 * _STALL)
        await out.write(b"b")
    assert context.read == [b"a", b"b"]


async def test_any_number_of_writes_has_one_timer_and_none_outlives_the_stream() -> None:
    context: Any = Reader()
    context.takes.set()
    before = _timers()
    with Writer(context, _LONG) as out:
        for _ in range(100):
            await out.write(b"a")
        assert _timers() == before + 1
    assert _timers() == before


async def test_a_task_that_is_cancelled_while_it_writes_is_cancelled() -> None:
    context: Any = Reader()

    async def stream() -> None:
        with Writer(context, _LONG) as out:
            await out.write(b"a")

    task = asyncio.create_task(stream())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

"""Many readers of event streams, in a process of their own, so that their CPU and memory are not the service's.

The process opens its streams when it is made, all of them from now on and without a filter, ten to a connection, and
keeps when each of them covered which revision. It is asked over a pipe: a revision in, the times at which the streams
covered it out. Times are of the monotonic clock, which the processes of one machine share.
"""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from time import monotonic
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration

from mailsync_grpc.v1 import event_service_pb2, event_service_pb2_grpc

_A_CONNECTION: Final = 10
_SILENCE: Final = 300
"""Seconds between heartbeats: an idle stream is idle."""


@dataclass(frozen=True, slots=True)
class Watchers:
    """`count` open streams."""

    count: int
    _pipe: Pipe

    def covered(self, revision: int) -> list[float]:
        """Wait until every stream has covered `revision`; return when each did."""
        self._pipe.send(revision)
        times: list[float] = self._pipe.recv()
        return times


@contextmanager
def watchers(address: str, count: int) -> Iterator[Watchers]:
    """`count` streams of the service at `address` for the block; each has said its position already."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    child = spawn.Process(target=_main, args=(address, count, there))
    child.start()
    there.close()
    try:
        here.recv()
        yield Watchers(count, here)
    finally:
        here.close()
        child.join()


def _main(address: str, count: int, pipe: Pipe) -> None:
    asyncio.run(_serve(address, count, pipe))


async def _serve(address: str, count: int, pipe: Pipe) -> None:
    async with AsyncExitStack() as stack:
        streams = [_Stream() for _ in range(count)]
        for start in range(0, count, _A_CONNECTION):
            # Else channels to the same address share one connection.
            options = (("grpc.use_local_subchannel_pool", 1),)
            channel: Any = await stack.enter_async_context(
                grpc.aio.insecure_channel(address, options=options)
            )
            stub = event_service_pb2_grpc.EventServiceStub(channel)
            for stream in streams[start : start + _A_CONNECTION]:
                task = asyncio.create_task(stream.read(stub))
                stack.callback(task.cancel)
        await asyncio.gather(*(stream.begun.wait() for stream in streams))
        pipe.send(True)
        while (revision := await asyncio.to_thread(_asked, pipe)) is not None:
            pipe.send(await asyncio.gather(*(stream.covered(revision) for stream in streams)))


def _asked(pipe: Pipe) -> int | None:
    try:
        return int(pipe.recv())
    except EOFError:
        return None


class _Stream:
    """One reader, and when it covered what."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._read = asyncio.Event()
        self._covered: list[tuple[int, float]] = []

    async def read(self, stub: Any) -> None:
        request = event_service_pb2.WatchEventsRequest(heartbeat_interval=Duration(seconds=_SILENCE))
        async for response in stub.WatchEvents(request):
            self._covered.append((response.through_revision, monotonic()))
            self.begun.set()
            self._read.set()

    async def covered(self, revision: int) -> float:
        while self._covered[-1][0] < revision:
            self._read.clear()
            await self._read.wait()
        return next(when for through, when in self._covered if through >= revision)

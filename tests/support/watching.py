"""A reader of one event stream, and what tests of streams begin with. What no stream may do, the stub itself notices."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from mailsync_grpc.config import WatchConfig
from mailsync_grpc.v1 import event_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.api import Api

OLDEST = pb.StartOldest()
PATIENCE = 30.0
"""Seconds after which a test gives up waiting; nothing is ever asserted about less."""


class Watcher:
    """Reads responses and keeps them; `call` is a checked one (see `checked`)."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.responses: list[pb.WatchEventsResponse] = []

    async def read(self) -> pb.WatchEventsResponse:
        """Return the next response."""
        async with asyncio.timeout(PATIENCE):
            response = await self._call.read()
        assert isinstance(response, pb.WatchEventsResponse), "the stream ended"
        self.responses.append(response)
        return response

    async def until(self, revision: int) -> list[event_pb2.Event]:
        """Return all events up to `revision`, read until it is covered."""
        while not self.responses or self.responses[-1].through_revision < revision:
            await self.read()
        return self.events

    async def status(self) -> Any:
        """Read to the end; return the call's code."""
        async with asyncio.timeout(PATIENCE):
            while (response := await self._call.read()) is not grpc.aio.EOF:
                self.responses.append(response)
            return await self._call.code()

    def cancel(self) -> None:
        """Leave the stream."""
        self._call.cancel()

    @property
    def events(self) -> list[event_pb2.Event]:
        """All events so far."""
        return [event for response in self.responses for event in response.events]

    @property
    def token(self) -> str:
        """Where to resume."""
        return self.responses[-1].resume_token


@asynccontextmanager
async def watching(api: Api, **request: Any) -> AsyncIterator[Watcher]:
    """A stream while the block runs, begun: its first response (its position) was read."""
    call = api.events.WatchEvents(pb.WatchEventsRequest(**request))
    watcher = Watcher(call)
    try:
        await watcher.read()
        yield watcher
    finally:
        call.cancel()


async def refused(api: Api, **request: Any) -> grpc.aio.AioRpcError:
    """Return the error that a stream ends with before anything was said."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(PATIENCE):
            await api.events.WatchEvents(pb.WatchEventsRequest(**request)).read()
    return caught.value


async def until(holds: Callable[[], object]) -> None:
    """Return once it holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)


def head(api: Api) -> int:
    """Return the revision of the newest event."""
    return api.store.stats().log_head


def quick(**changes: float) -> WatchConfig:
    """Settings below what an operator may choose, so that a test need not wait."""
    return WatchConfig().model_copy(update=changes)

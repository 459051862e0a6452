"""Writing to a stream whose reader may be slow or gone.

A write waits for HTTP/2 flow control, so a reader that takes nothing holds it for ever; it is bounded here. A timer for
every write would cost half as much as the write, so a stream has one, which stays where it is while writes come and go:
when it fires it looks how long the write under way has taken, and goes on to when that one is due. A caller that left
shows either as cancellation of the task or as a failed batch, depending on where the write was; both mean the same.
"""

import asyncio
from types import TracebackType
from typing import Self

from google.protobuf.message import Message
from grpc._cython.cygrpc import ExecuteBatchError  # type: ignore[import-not-found] # it has no public name

from mailsync_grpc import metrics
from mailsync_grpc.errors import SlowConsumerError, SnapshotLimitError
from mailsync_grpc.services.registry import Context


class Writer:
    """Writes the responses of a call inside a ``with`` block, from the task that entered it."""

    def __init__(self, context: Context, stall: float) -> None:
        self._context = context
        self._stall = stall
        self._loop = asyncio.get_running_loop()
        self._begun: float | None = None  # when the write under way began, None between writes
        self._timer: asyncio.TimerHandle | None = None
        self._stalled = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    async def write(self, response: Message | bytes) -> None:
        """Write one response. Raises SlowConsumerError after `stall` seconds without progress."""
        self._begun = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._begun + self._stall, self._look)
        try:
            await self._context.write(response)
        except asyncio.CancelledError:
            if self._stalled and self._task.uncancel() <= self._cancelling:
                raise SlowConsumerError(
                    f"nothing was read for {self._stall:g} s; go on from where you are"
                ) from None
            raise
        except ExecuteBatchError:
            raise asyncio.CancelledError("the caller is gone") from None
        finally:
            self._begun = None

    def _look(self) -> None:
        """End a write that is due; nothing is to be looked at before another one can be."""
        self._timer = None
        if self._begun is None:
            return
        due = self._begun + self._stall
        if due > self._loop.time():
            self._timer = self._loop.call_at(due, self._look)
        else:
            self._stalled = True
            self._task.cancel()


class Slots:
    """How many snapshots and exports are read at a time, since each holds a piece in memory and a thread now and then."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def take(self) -> None:
        """Take one. Raises SnapshotLimitError when none is left."""
        if self._taken >= self._limit:
            raise SnapshotLimitError(
                f"{self._taken} snapshots and exports are being read, which is the limit; try again later"
            )
        self._taken += 1
        metrics.WATCH_SNAPSHOTS.inc()

    def give_back(self) -> None:
        """Leave one to others."""
        self._taken -= 1
        metrics.WATCH_SNAPSHOTS.dec()

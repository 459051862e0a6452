"""Writing to a stream whose reader may be slow or gone.

A write waits for HTTP/2 flow control, so a reader that takes nothing holds it for ever; it is bounded here. A caller
that left shows either as cancellation of the task or as a failed batch, depending on where the write was; both mean the
same.
"""

import asyncio

from google.protobuf.message import Message
from grpc._cython.cygrpc import ExecuteBatchError  # type: ignore[import-not-found] # it has no public name

from mailsync_grpc import metrics
from mailsync_grpc.errors import SlowConsumerError, SnapshotLimitError
from mailsync_grpc.services.registry import Context


async def write(context: Context, response: Message | bytes, stall: float) -> None:
    """Write one response. Raises SlowConsumerError after `stall` seconds without progress."""
    try:
        async with asyncio.timeout(stall):
            await context.write(response)
    except TimeoutError:
        raise SlowConsumerError(f"nothing was read for {stall:g} s; go on from where you are") from None
    except ExecuteBatchError:
        raise asyncio.CancelledError("the caller is gone") from None


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

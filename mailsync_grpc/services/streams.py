"""Writing to a stream whose reader may be slow or gone.

A write waits for HTTP/2 flow control, so a reader that takes nothing holds it for ever; it is bounded here. A caller
that left shows either as cancellation of the task or as a failed batch, depending on where the write was; both mean the
same.
"""

import asyncio

from google.protobuf.message import Message
from grpc._cython.cygrpc import ExecuteBatchError  # type: ignore[import-not-found] # it has no public name

from mailsync_grpc.errors import SlowConsumerError
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

"""A watch that does not lose anything: reads the stream, proves that nothing is missing, and connects again by token.

Each response covers ``(from_revision, through_revision]`` of one partition of the log, and begins where the one before
ended, also across connections; a response that does not is a gap. While the current state is told the range stands still,
and the token resumes the telling; only after a reset the proof begins anew. The server writes at least every heartbeat interval,
so three intervals of silence mean a dead connection, which no error would ever report. A lost connection is made again
with the last token after a pause between 0.5 and 30 s with full jitter; what retrying cannot mend is raised.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import grpc

from mailsync_grpc.cli.coverage import Coverage
from mailsync_grpc.cli.failures import CommandError, failure_of
from mailsync_grpc.cli.session import Target
from mailsync_grpc.v1.event_service_pb2 import WatchEventsRequest, WatchEventsResponse
from mailsync_grpc.v1.event_service_pb2_grpc import EventServiceStub

HEARTBEAT_SECONDS = 15.0
_MISSED_HEARTBEATS = 3
_SHORTEST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_LOST = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


def pause_before(attempt: int, random: Random) -> float:
    """Seconds to wait before the nth attempt (from 0) to connect again."""
    return random.uniform(_SHORTEST_PAUSE, min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2 ** min(attempt + 1, 16)))


def pause_after_failure(error: Exception, attempt: int, random: Random) -> float | None:
    """Seconds to wait before connecting again, at least what the server asks for; None when that would not help."""
    if isinstance(error, TimeoutError):
        return pause_before(attempt, random)
    if not isinstance(error, grpc.RpcError) or error.code() not in _LOST:
        return None
    asked = failure_of(error).retry_after
    return max(pause_before(attempt, random), asked.total_seconds() if asked else 0.0)


async def follow(
    target: Target,
    request: WatchEventsRequest,
    on_break: Callable[[float], None] = lambda _: None,
    *,
    heartbeat: float = HEARTBEAT_SECONDS,
    random: Random | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[WatchEventsResponse]:
    """Responses from the start of ``request`` on, without end; ``on_break`` is told of each pause in seconds, not of
    the rotation of streams, which has none.

    ``heartbeat`` is the silence, in seconds, after which the server is asked to show that it lives. A response's
    token is what the next connection begins with as soon as the one after it is asked for. grpc.RpcError when the first
    connection fails or the position cannot be served; CommandError for a gap, and for a first connection without an answer.
    """
    random = random or Random()  # noqa: S311  jitter, no secret
    request.heartbeat_interval.FromMilliseconds(round(heartbeat * 1000))
    coverage, attempt, connected = Coverage(), 0, False
    async with target.aio_channel() as channel:
        while True:
            pause = None
            try:
                async for response in _responses(channel, target, request, heartbeat):
                    coverage, attempt, connected = coverage.extended(response), 0, True
                    yield response
                    request.resume_token = response.resume_token
                    if response.HasField("goodbye"):
                        pause = response.goodbye.retry_delay.ToTimedelta().total_seconds()
            except (grpc.RpcError, TimeoutError) as error:
                pause = pause_after_failure(error, attempt, random) if connected else None
                if pause is None:
                    raise _final(error, target, heartbeat) from None
            pause = pause_before(attempt, random) if pause is None else pause
            attempt += 1
            if pause:
                on_break(pause)
            await sleep(pause)


def _final(error: Exception, target: Target, heartbeat: float) -> Exception:
    if isinstance(error, TimeoutError):
        return CommandError(f"no answer from {target.address} within {heartbeat * _MISSED_HEARTBEATS:g} s")
    return error


async def _responses(
    channel: grpc.aio.Channel, target: Target, request: WatchEventsRequest, heartbeat: float
) -> AsyncIterator[WatchEventsResponse]:
    call = EventServiceStub(channel).WatchEvents(request, metadata=target.metadata)
    try:
        while True:
            response = await asyncio.wait_for(call.read(), heartbeat * _MISSED_HEARTBEATS)
            if not isinstance(response, WatchEventsResponse):  # grpc.aio.EOF
                return
            yield response
    finally:
        call.cancel()

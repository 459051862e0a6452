"""The watch's promise: no gap, no silence, no loss across connections; against a service that does what it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import grpc
import pytest

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.follow import follow, pause_after_failure, pause_before
from mailsync_grpc.cli.session import Target
from mailsync_grpc.v1.event_service_pb2 import (
    GetEventLogRequest,
    GetEventLogResponse,
    Goodbye,
    StartNow,
    WatchEventsRequest,
    WatchEventsResponse,
)
from mailsync_grpc.v1.event_service_pb2_grpc import EventServiceServicer, add_EventServiceServicer_to_server

Act = Callable[
    [grpc.aio.ServicerContext[WatchEventsRequest, WatchEventsResponse]], AsyncIterator[WatchEventsResponse]
]


def covering(first: int, last: int) -> WatchEventsResponse:
    return WatchEventsResponse(from_revision=first, through_revision=last, resume_token=f"after-{last}")


class Scripted(EventServiceServicer):
    """Answers the nth stream with the nth act, and keeps the requests and tokens it got."""

    def __init__(self, *acts: Act) -> None:
        self.acts = iter(acts)
        self.requests: list[WatchEventsRequest] = []
        self.authorizations: list[object] = []

    async def WatchEvents(  # noqa: N802  the contract's name
        self, request: WatchEventsRequest, context: Any
    ) -> AsyncIterator[WatchEventsResponse]:
        self.requests.append(request)
        self.authorizations.append(dict(context.invocation_metadata()).get("authorization"))
        async for response in next(self.acts)(context):
            yield response

    def GetEventLog(self, request: GetEventLogRequest, context: object) -> GetEventLogResponse:  # noqa: N802  the contract's name
        raise NotImplementedError


@asynccontextmanager
async def serving(service: Scripted) -> AsyncIterator[Target]:
    server = grpc.aio.server()
    add_EventServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Target(f"127.0.0.1:{port}", token="secret")
    finally:
        await server.stop(0)


def sends(*responses: WatchEventsResponse, then: grpc.StatusCode | None = None) -> Act:
    async def act(
        context: grpc.aio.ServicerContext[WatchEventsRequest, WatchEventsResponse],
    ) -> AsyncIterator[WatchEventsResponse]:
        for response in responses:
            yield response
        if then is not None:
            await context.abort(then, "as told")

    return act


def hangs(*responses: WatchEventsResponse) -> Act:
    async def act(_: object) -> AsyncIterator[WatchEventsResponse]:
        for response in responses:
            yield response
        await asyncio.Event().wait()

    return act


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


async def followed(service: Scripted, count: int, pauses: list[float] | None = None) -> list[tuple[int, int]]:
    """What `count` responses cover, followed from now on."""
    request = WatchEventsRequest(now=StartNow())
    covered: list[tuple[int, int]] = []
    on_break = (pauses if pauses is not None else []).append
    async with serving(service) as target:
        stream = follow(target, request, on_break, heartbeat=0.2, random=Random(1), sleep=no_pause)
        async for response in stream:
            covered.append((response.from_revision, response.through_revision))
            if len(covered) == count:
                break
        await stream.aclose()  # type: ignore[attr-defined]
    return covered


async def test_a_lost_connection_is_made_again_with_the_last_token() -> None:
    service = Scripted(
        sends(covering(1, 3), covering(3, 5), then=grpc.StatusCode.UNAVAILABLE), hangs(covering(5, 6))
    )
    assert await followed(service, 3) == [(1, 3), (3, 5), (5, 6)]
    assert service.requests[0].HasField("now")
    assert service.requests[1].resume_token == "after-5"


async def test_every_connection_carries_the_callers_token() -> None:
    service = Scripted(sends(covering(1, 2), then=grpc.StatusCode.UNAVAILABLE), hangs(covering(2, 3)))
    await followed(service, 2)
    assert service.authorizations == ["Bearer secret", "Bearer secret"]


async def test_a_server_silent_for_three_heartbeats_is_left() -> None:
    service = Scripted(hangs(covering(1, 2)), hangs(covering(2, 3)))
    assert await followed(service, 2) == [(1, 2), (2, 3)]
    assert service.requests[1].resume_token == "after-2"


async def test_after_goodbye_the_stream_goes_on_after_the_pause_the_server_names() -> None:
    goodbye = covering(2, 2)
    goodbye.goodbye.CopyFrom(Goodbye())
    goodbye.goodbye.retry_delay.FromMilliseconds(250)
    pauses: list[float] = []
    service = Scripted(sends(covering(1, 2), goodbye), hangs(covering(2, 4)))
    assert await followed(service, 3, pauses) == [(1, 2), (2, 2), (2, 4)]
    assert pauses == [0.25]


async def test_the_rotation_of_streams_is_no_break_to_tell_of() -> None:
    goodbye = covering(2, 2)
    goodbye.goodbye.CopyFrom(Goodbye())
    pauses: list[float] = []
    service = Scripted(sends(covering(1, 2), goodbye), hangs(covering(2, 4)))
    assert await followed(service, 3, pauses) == [(1, 2), (2, 2), (2, 4)]
    assert pauses == []


async def test_a_gap_is_an_error_even_across_connections() -> None:
    service = Scripted(sends(covering(1, 3), then=grpc.StatusCode.UNAVAILABLE), hangs(covering(4, 5)))
    with pytest.raises(CommandError, match="covers from revision 4, but revision 3 was the last one seen"):
        await followed(service, 2)


async def test_a_first_connection_that_fails_is_not_tried_again() -> None:
    service = Scripted(sends(then=grpc.StatusCode.UNAVAILABLE), hangs(covering(1, 2)))
    with pytest.raises(grpc.RpcError):
        await followed(service, 1)
    assert len(service.requests) == 1


async def test_a_position_that_cannot_be_served_is_an_error() -> None:
    service = Scripted(
        sends(covering(1, 2), then=grpc.StatusCode.UNAVAILABLE), sends(then=grpc.StatusCode.OUT_OF_RANGE)
    )
    with pytest.raises(grpc.RpcError) as failed:
        await followed(service, 2)
    assert failed.value.code() is grpc.StatusCode.OUT_OF_RANGE


async def test_the_rest_of_a_snapshot_is_asked_for_by_its_token() -> None:
    chunk, rest, end = covering(7, 7), covering(7, 7), covering(7, 7)
    chunk.resume_token, chunk.snapshot_chunk.read_revision = "after-the-first-chunk", 7
    rest.snapshot_chunk.read_revision = 8
    end.snapshot_end.folders = 2
    service = Scripted(sends(chunk, then=grpc.StatusCode.UNAVAILABLE), hangs(rest, end, covering(7, 9)))
    assert await followed(service, 4) == [(7, 7), (7, 7), (7, 7), (7, 9)]
    assert service.requests[1].WhichOneof("start") == "resume_token"
    assert service.requests[1].resume_token == "after-the-first-chunk"


async def test_a_goodbye_during_a_snapshot_ends_it_no_more_than_a_lost_connection() -> None:
    chunk, goodbye = covering(7, 7), covering(7, 7)
    chunk.resume_token = goodbye.resume_token = "after-the-first-chunk"
    chunk.snapshot_chunk.read_revision = 7
    goodbye.goodbye.CopyFrom(Goodbye())
    service = Scripted(sends(chunk, goodbye), hangs(covering(7, 9)))
    assert await followed(service, 3) == [(7, 7), (7, 7), (7, 9)]
    assert service.requests[1].resume_token == "after-the-first-chunk"


async def test_after_a_reset_the_proof_begins_anew() -> None:
    reset = covering(50, 50)
    reset.reset.head_revision = 50
    service = Scripted(
        sends(covering(1, 3), then=grpc.StatusCode.UNAVAILABLE),
        sends(reset, covering(50, 52), covering(53, 54)),
    )
    with pytest.raises(CommandError, match="covers from revision 53, but revision 52 was the last one seen"):
        await followed(service, 4)


async def test_a_server_that_never_answers_is_named() -> None:
    with pytest.raises(CommandError, match=r"no answer from 127\.0\.0\.1:\d+ within 0\.6 s"):
        await followed(Scripted(hangs()), 1)


def test_pauses_grow_to_half_a_minute_and_never_vanish() -> None:
    pauses = [[pause_before(attempt, Random(seed)) for seed in range(200)] for attempt in range(40)]
    assert min(map(min, pauses)) >= 0.5
    assert max(pauses[0]) <= 1.0
    assert 25.0 < max(pauses[39]) <= 30.0


def test_silence_is_worth_another_try() -> None:
    assert pause_after_failure(TimeoutError(), 0, Random(1)) is not None

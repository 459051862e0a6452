"""The watch loop, against streams that are written down beforehand: coverage, tokens, silence, back-off, resync."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from random import Random
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from mailsync_client.v1.event_service_pb2 import (
    Goodbye,
    Heartbeat,
    Reset,
    WatchEventsRequest,
    WatchEventsResponse,
)
from mailsync_client.watch import Break, Coverage, ResyncRequired, Stream, pause_before, watch


class Detail(NamedTuple):
    key: str
    value: bytes


class Failed(grpc.RpcError):
    """A call that failed, with google.rpc details as the service sends them."""

    def __init__(self, code: grpc.StatusCode, reason: str = "", retry_after: int = 0) -> None:
        super().__init__()
        self._code = code
        info = error_details_pb2.ErrorInfo(domain="mailsync", reason=reason)
        status = status_pb2.Status(code=code.value[0], message=self.details())
        status.details.append(_packed(info))
        if retry_after:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.seconds = retry_after
            status.details.append(_packed(retry))
        self._status = status.SerializeToString()

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "as written"

    def trailing_metadata(self) -> Any:
        return (Detail("grpc-status-details-bin", self._status),)


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


class Written:
    """A stream whose responses, and the error that ends it, are known beforehand."""

    def __init__(self, *script: WatchEventsResponse | Failed) -> None:
        self._script = script

    def __iter__(self) -> Iterator[WatchEventsResponse]:
        for step in self._script:
            if isinstance(step, Failed):
                raise step
            yield step

    def cancel(self) -> None:
        """A written stream holds nothing."""


class Silent:
    """A connection that is dead without knowing it: a read ends only when the call is cancelled."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def __iter__(self) -> Iterator[WatchEventsResponse]:
        self._cancelled.wait()
        yield from Written(Failed(grpc.StatusCode.CANCELLED))

    def cancel(self) -> None:
        self._cancelled.set()


class Server:
    """Hands out streams in order and notes what was asked for, and every pause."""

    def __init__(self, *streams: Stream) -> None:
        self._streams = iter(streams)
        self.tokens: list[str] = []
        self.breaks: list[Break] = []
        self.slept: list[float] = []

    @contextmanager
    def open(self, request: WatchEventsRequest) -> Iterator[Stream]:
        self.tokens.append(request.resume_token)
        yield next(self._streams)

    def watch(self, heartbeat: float = 15.0) -> Iterator[WatchEventsResponse]:
        return watch(
            self.open,
            WatchEventsRequest(resume_token="first"),
            heartbeat=heartbeat,
            on_break=self.breaks.append,
            sleep=self.slept.append,
            random=Random(1),
        )


def covering(start: int, end: int, partition: int = 0) -> WatchEventsResponse:
    return WatchEventsResponse(
        from_revision=start,
        through_revision=end,
        partition=partition,
        resume_token=f"at {end}",
        heartbeat=Heartbeat(),
    )


def test_a_response_that_begins_where_the_last_one_ended_extends_the_coverage() -> None:
    assert Coverage().extended(covering(7, 9)).extended(covering(9, 9)).through == {0: 9}


@pytest.mark.parametrize("start", [8, 10])
def test_a_response_that_begins_elsewhere_is_a_gap(start: int) -> None:
    with pytest.raises(ResyncRequired) as caught:
        Coverage({0: 9}).extended(covering(start, 12))
    assert caught.value.reason == "COVERAGE_GAP"


def test_each_partition_of_the_log_is_covered_by_itself() -> None:
    coverage = Coverage({0: 9}).extended(covering(3, 4, partition=1))
    assert coverage.extended(covering(9, 10)).through == {0: 10, 1: 4}


def test_after_a_reset_coverage_begins_anew() -> None:
    reset = WatchEventsResponse(from_revision=100, through_revision=100, reset=Reset())
    assert Coverage({0: 9}).extended(reset).through == {0: 100}


@pytest.mark.parametrize("attempt", [0, 1, 5, 6, 1000])
def test_a_pause_is_drawn_between_half_a_second_and_twice_the_last_ceiling_up_to_thirty(attempt: int) -> None:
    pauses = [pause_before(attempt, Random(seed)) for seed in range(500)]
    ceiling = min(30.0, 0.5 * 2 ** min(attempt + 1, 10))
    assert min(pauses) >= 0.5
    assert max(pauses) <= ceiling
    # Full jitter: drawn from the whole span, not from its upper end.
    assert min(pauses) < 0.5 + (ceiling - 0.5) * 0.1
    assert max(pauses) > ceiling - (ceiling - 0.5) * 0.1


def test_a_pause_is_never_shorter_than_the_server_asks_for() -> None:
    assert pause_before(0, Random(1), asked=12.0) == 12.0


def test_a_lost_connection_is_made_again_with_the_last_token_and_nothing_is_left_out() -> None:
    server = Server(
        Written(covering(0, 3), covering(3, 5), Failed(grpc.StatusCode.UNAVAILABLE)), Written(covering(5, 6))
    )
    assert [each.through_revision for each in islice(server.watch(), 3)] == [3, 5, 6]
    assert server.tokens == ["first", "at 5"]


def test_a_gap_is_noticed_across_connections_too() -> None:
    server = Server(Written(covering(0, 3)), Written(covering(4, 6)))
    with pytest.raises(ResyncRequired, match="COVERAGE_GAP"):
        list(server.watch())


def test_what_the_consumer_was_still_at_work_on_is_asked_for_again() -> None:
    server = Server(Written(covering(0, 3), covering(3, 5)))
    responses = server.watch()
    next(responses)
    next(responses)
    # The second response was handed out, and never finished: its token is not the one to resume from.
    assert server.tokens == ["first"]


def test_pauses_grow_while_nothing_is_heard_and_begin_anew_after_a_response() -> None:
    refused = [Written(Failed(grpc.StatusCode.UNAVAILABLE)) for _ in range(8)]
    server = Server(
        *refused, Written(covering(0, 1), Failed(grpc.StatusCode.UNAVAILABLE)), Written(covering(1, 2))
    )
    list(islice(server.watch(), 2))
    assert len(server.slept) == 9
    assert max(server.slept[:8]) > 5.0
    assert server.slept[8] <= 1.0


def test_goodbye_and_retry_info_say_how_long_to_wait() -> None:
    goodbye = covering(0, 1)
    goodbye.goodbye.CopyFrom(Goodbye())
    goodbye.goodbye.retry_delay.seconds = 7
    overload = Failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCH_LIMIT", retry_after=40)
    server = Server(Written(goodbye), Written(overload), Written(covering(1, 2)))
    list(islice(server.watch(), 2))
    assert server.slept == [7.0, 40.0]


def test_three_missed_heartbeats_are_a_lost_connection() -> None:
    server = Server(Silent(), Written(covering(0, 1)))
    assert next(server.watch(heartbeat=0.02)).through_revision == 1
    assert server.breaks[0].cause == "nothing was heard for 0.06 s"


def test_a_slow_consumer_is_not_taken_for_a_silent_server() -> None:
    server = Server(Written(covering(0, 1), covering(1, 2)))
    responses = server.watch(heartbeat=0.01)
    next(responses)
    threading.Event().wait(0.1)
    assert next(responses).through_revision == 2
    assert server.breaks == []


@pytest.mark.parametrize("reason", ["REVISION_COMPACTED", "REVISION_IN_FUTURE", "STORE_EPOCH_CHANGED"])
def test_out_of_range_demands_a_resync_and_says_why(reason: str) -> None:
    server = Server(Written(Failed(grpc.StatusCode.OUT_OF_RANGE, reason)))
    with pytest.raises(ResyncRequired) as caught:
        next(server.watch())
    assert caught.value.reason == reason
    assert server.slept == []


@pytest.mark.parametrize(
    "code",
    [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED],
)
def test_a_refused_request_is_raised_since_repeating_it_would_not_help(code: grpc.StatusCode) -> None:
    server = Server(Written(Failed(code)))
    with pytest.raises(grpc.RpcError) as caught:
        next(server.watch())
    assert isinstance(caught.value, Failed)
    assert caught.value.code() is code

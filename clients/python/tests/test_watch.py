"""The watch loop, against streams that are written down beforehand: coverage, tokens, silence, back-off, resync."""

import threading
from itertools import islice
from random import Random

import grpc
import pytest
from mailsync_client.v1.event_service_pb2 import Goodbye, Reset, WatchEventsResponse
from mailsync_client.watch import Coverage, ResyncRequired, pause_before
from written_streams import Failed, Server, Silent, Written, covering


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


def test_after_a_reset_coverage_begins_anew_in_every_partition() -> None:
    reset = WatchEventsResponse(from_revision=100, through_revision=100, reset=Reset())
    assert Coverage({0: 9, 1: 7}).extended(reset).through == {0: 100}


@pytest.mark.parametrize("attempt", [0, 1, 5, 6, 1000])
def test_a_pause_is_drawn_between_half_a_second_and_twice_the_last_ceiling_up_to_thirty(attempt: int) -> None:
    pauses = [pause_before(attempt, Random(seed)) for seed in range(500)]
    ceiling = min(30.0, 0.5 * 2 ** min(attempt + 1, 10))
    assert min(pauses) >= 0.5
    assert max(pauses) <= ceiling
    # Full jitter: drawn from the whole span, not from its upper end.
    assert min(pauses) < 0.5 + (ceiling - 0.5) * 0.1
    assert max(pauses) > ceiling - (ceiling - 0.5) * 0.1


def test_what_the_server_asks_of_all_at_once_is_waited_for_and_spread() -> None:
    pauses = [pause_before(0, Random(seed), asked=12.0) for seed in range(100)]
    assert min(pauses) >= 12.0
    assert max(pauses) <= 12.5
    assert len(set(pauses)) > 90


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
    assert 7.0 <= server.slept[0] <= 7.5
    assert 40.0 <= server.slept[1] <= 41.5


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


@pytest.mark.parametrize("reason", ["FILTER_MISMATCH", "RESUME_TOKEN_INVALID"])
def test_a_token_of_another_filter_or_key_demands_a_resync(reason: str) -> None:
    server = Server(Written(Failed(grpc.StatusCode.INVALID_ARGUMENT, reason)))
    with pytest.raises(ResyncRequired) as caught:
        next(server.watch())
    assert caught.value.reason == reason


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

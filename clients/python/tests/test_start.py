"""Where a watch begins, and how a snapshot and a reset go on in it."""

from datetime import UTC, datetime
from itertools import islice

import grpc
import pytest
from mailsync_client.v1.event_service_pb2 import (
    Reset,
    SnapshotChunk,
    StartNow,
    StartOldest,
    StartSnapshot,
    WatchEventsResponse,
)
from mailsync_client.watch import Start, request_from
from written_streams import Failed, Server, Written, covering


@pytest.mark.parametrize(
    ("start", "field"),
    [
        (StartNow(), "now"),
        (StartOldest(), "oldest"),
        (StartSnapshot(), "snapshot"),
        (datetime(2026, 7, 1, tzinfo=UTC), "since_time"),
        ("a token", "resume_token"),
        ("", "resume_token"),
    ],
)
def test_a_watch_begins_where_it_is_told_to_and_never_by_a_lost_token_at_now(
    start: Start, field: str
) -> None:
    assert request_from(start).WhichOneof("start") == field


def test_a_time_is_sent_to_the_millisecond_and_so_is_the_heartbeat() -> None:
    moment = datetime(2026, 7, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    assert request_from(moment).since_time.ToDatetime(UTC) == moment
    server = Server(Written(covering(0, 1)))
    next(server.watch(heartbeat=1.5))
    assert server.requests[0].heartbeat_interval.ToMilliseconds() == 1500


def test_a_snapshot_that_is_cut_off_goes_on_from_its_last_token() -> None:
    chunk = WatchEventsResponse(
        from_revision=5, through_revision=5, resume_token="after a chunk", snapshot_chunk=SnapshotChunk()
    )
    server = Server(
        Written(Failed(grpc.StatusCode.UNAVAILABLE)),
        Written(chunk, Failed(grpc.StatusCode.UNAVAILABLE)),
        Written(covering(5, 6)),
    )
    list(islice(server.watch(start=StartSnapshot()), 2))
    assert [each.WhichOneof("start") for each in server.requests] == ["snapshot", "snapshot", "resume_token"]
    assert server.tokens[-1] == "after a chunk"


def test_a_reset_in_the_stream_is_handed_out_and_gone_on_from() -> None:
    reset = WatchEventsResponse(from_revision=90, through_revision=90, resume_token="new", reset=Reset())
    server = Server(Written(covering(0, 3), reset, covering(90, 91)))
    assert [each.through_revision for each in islice(server.watch(), 3)] == [3, 90, 91]
    assert server.breaks == []

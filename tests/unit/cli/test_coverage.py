"""The proof of coverage: what is a gap, what is out of order, and what a reset lifts."""

import pytest

from mailsync_grpc.cli.coverage import Coverage
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.v1.event_pb2 import Event
from mailsync_grpc.v1.event_service_pb2 import GetEventLogResponse, WatchEventsResponse


def covering(first: int, last: int, *revisions: int, partition: int = 0) -> WatchEventsResponse:
    return WatchEventsResponse(
        partition=partition,
        from_revision=first,
        through_revision=last,
        events=[Event(revision=revision) for revision in revisions],
    )


def test_partitions_are_covered_each_for_itself() -> None:
    coverage = Coverage()
    for piece in (covering(1, 3), covering(40, 41, partition=1), covering(3, 4)):
        coverage = coverage.extended(piece)
    assert coverage.through == {0: 4, 1: 41}


def test_pages_of_the_log_are_proved_like_responses_of_a_watch() -> None:
    coverage = Coverage({0: 3}).extended(GetEventLogResponse(from_revision=3, through_revision=9))
    with pytest.raises(CommandError, match="covers from revision 10, but revision 9 was the last one seen"):
        coverage.extended(GetEventLogResponse(from_revision=10, through_revision=11))


def test_a_reset_lifts_what_was_covered_of_every_partition() -> None:
    reset = covering(90, 90)
    reset.reset.SetInParent()
    assert Coverage({0: 4, 1: 41}).extended(reset).through == {0: 90}


@pytest.mark.parametrize(
    "piece",
    [
        covering(3, 5, 3),
        covering(3, 5, 6),
        covering(3, 5, 5, 4),
        covering(3, 5, 4, 4),
        covering(3, 2),
    ],
    ids=["before", "behind", "backwards", "twice", "a range that ends before it begins"],
)
def test_events_outside_their_range_or_out_of_order_are_no_proof(piece: WatchEventsResponse) -> None:
    with pytest.raises(CommandError, match="not in order"):
        Coverage({0: 3}).extended(piece)

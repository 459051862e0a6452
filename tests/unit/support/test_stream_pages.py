"""The page checker notices each rule that a page of the event log breaks, and what pages withhold from streams."""

from typing import Any

import pytest

from mailsync_grpc.v1 import event_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.stream_checker import StreamChecker
from tests.support.stream_history import History, StreamViolation
from tests.support.stream_pages import check_page


def event(revision: int) -> event_pb2.Event:
    changed = event_pb2.AccountChanged()
    return event_pb2.Event(revision=revision, account="accounts/a", account_changed=changed)


def page(after: int, through: int, *revisions: int, **more: Any) -> pb.GetEventLogResponse:
    rest = {"resume_token": f"t{through}", "head_revision": 9, "next_page_token": f"p{through}", **more}
    return pb.GetEventLogResponse(
        from_revision=after, through_revision=through, events=map(event, revisions), **rest
    )


BOUNCES = pb.EventFilter(types=[event_pb2.EVENT_TYPE_BOUNCE])


@pytest.mark.parametrize(
    ("request_", "wrong", "fault"),
    [
        ({}, page(0, 2, 1, resume_token=""), "no resume token"),
        ({}, page(0, 2, 2, 1), "out of order"),
        ({}, page(0, 2, 3), "outside its range"),
        ({}, page(0, 12), "beyond the head"),
        ({}, page(0, 2, next_page_token=""), "without a next page"),
        ({"filter": BOUNCES}, page(0, 2, 1), "not asked for"),
        ({"page_token": "p4"}, page(5, 6), "does not join"),
    ],
)
def test_what_no_page_may_do_is_noticed(
    request_: dict[str, Any], wrong: pb.GetEventLogResponse, fault: str
) -> None:
    history = History()
    check_page(history, pb.GetEventLogRequest(), page(0, 4))
    with pytest.raises(StreamViolation, match=fault):
        check_page(history, pb.GetEventLogRequest(**request_), wrong)


def test_pages_and_streams_have_one_history() -> None:
    history = History()
    check_page(history, pb.GetEventLogRequest(), page(0, 4, 3, 4), "somebody")
    stream = StreamChecker(history, pb.WatchEventsRequest(resume_token="t4"), "somebody")
    stream.take(
        pb.WatchEventsResponse(from_revision=4, through_revision=5, events=[event(5)], resume_token="t5")
    )
    history.settle()
    check_page(history, pb.GetEventLogRequest(), page(0, 5, 4, 5), "somebody")
    with pytest.raises(StreamViolation, match=r"revision 3 .* was never sent"):
        history.settle()

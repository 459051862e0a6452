"""What only two streams can show, and what a stream that ends so should not have said, is noticed, too."""

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.v1 import envelope_pb2, event_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.stream_history import StreamViolation
from tests.support.stream_script import (
    ACCOUNT,
    INBOX,
    OLDEST,
    SENT,
    SNAPSHOT,
    Stage,
    chunk,
    covering,
    end,
    event,
    only,
)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_stream_resumed_by_token_goes_on_where_the_token_stood(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 5))
    stage.take({"resume_token": "t5"}, covering(5, 6, event(6)))
    with pytest.raises(StreamViolation, match="range from elsewhere"):
        stage.take({"resume_token": "t5"}, covering(6, 7))


def test_a_token_of_another_filter_must_not_be_taken(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 5))
    with pytest.raises(StreamViolation, match="token of another filter"):
        stage.take({**only(accounts=[ACCOUNT]), "resume_token": "t5"}, covering(5, 6))


def test_a_token_is_good_for_another_view(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 5))
    basic = only(view=envelope_pb2.ENVELOPE_VIEW_BASIC)
    stage.take({**basic, "resume_token": "t5"}, covering(5, 6))


def test_a_resumed_snapshot_counts_what_was_sent_before(stage: Stage) -> None:
    first = chunk(5, 5, 1, 2)
    stage.take(SNAPSHOT, first)
    resumed = {"resume_token": first.resume_token}
    stage.take(resumed, chunk(5, 9, 3), end(5, 0, 0, 3))
    with pytest.raises(StreamViolation, match="are said to be"):
        stage.take(resumed, chunk(5, 9, 3), end(5, 0, 0, 1))
    with pytest.raises(StreamViolation, match="after"):
        stage.take(resumed, chunk(5, 5, 2))


def test_a_snapshot_begins_a_folder_anew_only_when_something_befell_it(stage: Stage) -> None:
    changed = event_pb2.FolderChanged(change=event_pb2.FOLDER_CHANGE_SELECTED)
    stage.take(
        OLDEST, covering(0, 8, event(7, folder_changed=changed), event(8, SENT, folder_changed=changed))
    )
    twice = [chunk(5, 5, 1, 2), chunk(5, 7, 1), end(5, 0, 0, 3)]
    stage.take(SNAPSHOT, *twice)
    stage.history.settle()
    stage.take(SNAPSHOT, chunk(7, 7, 1, 2), chunk(7, 8, 1))
    with pytest.raises(StreamViolation, match="twice"):
        stage.history.settle()


def test_a_token_of_elsewhere_may_stand_anywhere(stage: Stage) -> None:
    stage.take({"resume_token": "of a list"}, covering(40, 41, event(41)))
    stage.take({"resume_token": "of a snapshot"}, chunk(5, 5, 3), end(5, 0, 0, 8))


def test_two_streams_tell_the_same_of_one_revision(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 1, event(1, text="this")))
    with pytest.raises(StreamViolation, match="told otherwise before"):
        stage.take(OLDEST, covering(0, 1, event(1, text="that"), resume_token="u"))


def test_another_view_of_one_revision_may_differ_and_an_erased_payload_too(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 1, event(1, text="this")))
    basic = only(view=envelope_pb2.ENVELOPE_VIEW_BASIC)
    stage.take(basic, covering(0, 1, event(1, text="shorter"), resume_token="u"))
    erased = event(1)
    erased.ClearField("envelope_added")
    stage.take(OLDEST, covering(0, 1, erased))


@pytest.mark.parametrize("withheld_first", [True, False])
def test_an_event_that_a_stream_skipped_is_noticed_by_another_stream_that_has_it(
    stage: Stage, withheld_first: bool
) -> None:
    streams = [(OLDEST, covering(0, 2, event(1))), (OLDEST, covering(0, 2, event(1), event(2)))]
    for request, response in streams if withheld_first else reversed(streams):
        stage.take(request, response)
    with pytest.raises(StreamViolation, match=r"revision 2 .* was never sent"):
        stage.history.settle()


def test_a_revision_that_no_stream_tells_of_is_missed_where_no_filter_hides_it(stage: Stage) -> None:
    stage.reader = ""
    stage.take(only(folders=[INBOX]), covering(0, 3, event(3)))
    stage.history.settle()
    stage.take(OLDEST, covering(0, 1, event(1)), covering(1, 3, event(3)))
    with pytest.raises(StreamViolation, match="revision 2 was covered without a filter"):
        stage.history.settle()


def test_an_event_that_the_filter_hides_is_not_missed(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 2, event(1), event(2, SENT)))
    stage.take(only(folders=[INBOX]), covering(0, 2, event(1), resume_token="u"))
    stage.take(only(share=pb.Share(index=0, count=2)), covering(0, 2, resume_token="v"))
    stage.history.settle()


def test_events_of_an_account_that_was_removed_are_not_missed(stage: Stage) -> None:
    removed = event(3, ACCOUNT, account_removed=event_pb2.AccountRemoved(account=ACCOUNT))
    stage.take(OLDEST, covering(0, 2, event(1), event(2)))
    late = stage.take(OLDEST, covering(0, 2, resume_token="u"))
    stage.history.settle(existing=())
    late.take(covering(2, 3, removed))
    stage.history.settle()


def test_events_of_an_account_that_came_out_of_sight_are_not_missed(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 2, event(1), event(2)))
    hidden = covering(1, 1, account_hidden=pb.AccountHidden(account=ACCOUNT))
    stage.take(OLDEST, covering(0, 1, event(1)), hidden, covering(1, 2, resume_token="u"))
    stage.history.settle()


def test_a_start_at_now_leaves_nothing_behind_it_unsaid(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 2, event(2)))
    with pytest.raises(StreamViolation, match="before revision 2"):
        stage.take({}, covering(1, 1))


def test_a_start_at_a_time_leaves_out_nothing_of_that_time(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 2, event(1), event(2)))
    stage.take({"since_time": Timestamp(seconds=2)}, covering(1, 2, event(2), resume_token="u"))
    with pytest.raises(StreamViolation, match="of that time or later"):
        stage.take({"since_time": Timestamp(seconds=2)}, covering(2, 2))


FLOOR = {"floor": "3", "head": "9"}


@pytest.mark.parametrize(
    ("request_", "reason", "metadata", "fault"),
    [
        ({"resume_token": "t5"}, "REVISION_COMPACTED", FLOOR, "refused as compacted, and is not"),
        ({"resume_token": "t1"}, "REVISION_COMPACTED", {}, "no floor and head"),
        ({"resume_token": "t1"}, "SOMETHING", FLOOR, "OUT_OF_RANGE for"),
        (
            {"resume_token": "t1", "reset_on_compacted": True},
            "REVISION_COMPACTED",
            FLOOR,
            "although a reset was asked for",
        ),
    ],
)
def test_a_stream_must_not_end_so(
    stage: Stage, request_: dict[str, Any], reason: str, metadata: Mapping[str, str], fault: str
) -> None:
    stage.take(OLDEST, covering(0, 1), covering(1, 5))
    with pytest.raises(StreamViolation, match=fault):
        stage.take(request_).failed(reason, metadata)


def test_a_store_that_is_another_one_has_another_history(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 5, event(5, text="this")))
    stage.take({"resume_token": "t1"}).failed("STORE_EPOCH_CHANGED", {})
    stage.take(OLDEST, covering(0, 4), covering(4, 5, event(5, text="that")))
    stage.history.settle()

"""A range of the log, page by page: where it begins and ends, and what is no proof; from a log that is a list."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.cli.events import covered_words, log_request
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.replay import Replay
from mailsync_grpc.v1.event_pb2 import Event
from mailsync_grpc.v1.event_service_pb2 import GetEventLogRequest, GetEventLogResponse

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class KeptLog:
    """Events ``floor + 1`` to ``head``, one a second and three a page; it grows by one with each page that is read."""

    floor: int
    head: int
    hidden: Sequence[int] = ()
    skips: int = 0
    asked: list[GetEventLogRequest] = field(default_factory=list)

    def fetch(self, request: GetEventLogRequest) -> GetEventLogResponse:
        asked = GetEventLogRequest()
        asked.CopyFrom(request)
        self.asked.append(asked)
        start = self.floor
        if request.HasField("after_revision"):
            start = request.after_revision
        if request.page_token:
            start = int(request.page_token) + self.skips
        last = min(start + 3, self.head)
        page = GetEventLogResponse(
            events=[event(each) for each in range(start + 1, last + 1) if each not in self.hidden],
            from_revision=start,
            through_revision=last,
            next_page_token=str(last) if last < self.head else "",
            floor_revision=self.floor,
            head_revision=self.head,
        )
        self.head += 1
        return page


def event(revision: int) -> Event:
    return Event(revision=revision, commit_time=Timestamp(seconds=revision))


def after(revision: int) -> GetEventLogRequest:
    return GetEventLogRequest(after_revision=revision)


def read(reading: Replay) -> list[int]:
    return [event.revision for event in reading.events()]


def test_everything_kept_is_read_up_to_the_head_as_it_was() -> None:
    log = KeptLog(10, 20)
    reading = Replay(log.fetch, GetEventLogRequest())
    assert read(reading) == list(range(11, 21))
    assert (reading.after, reading.through, reading.floor, reading.head) == (10, 20, 10, 20)
    assert {len(asked.page_token) > 0 for asked in log.asked[1:]} == {True}


def test_a_range_is_read_exactly() -> None:
    reading = Replay(KeptLog(10, 40).fetch, after(15), until=22)
    assert read(reading) == list(range(16, 23))
    assert (reading.after, reading.through) == (15, 22)


def test_an_end_beyond_the_newest_event_is_the_newest_event() -> None:
    reading = Replay(KeptLog(0, 5).fetch, GetEventLogRequest(), until=99)
    assert (read(reading), reading.through) == ([1, 2, 3, 4, 5], 5)


def test_what_a_filter_hides_is_covered_all_the_same() -> None:
    reading = Replay(KeptLog(0, 9, hidden=(2, 4, 5, 6, 9)).fetch, GetEventLogRequest())
    assert (read(reading), reading.through) == ([1, 3, 7, 8], 9)


def test_a_range_of_time_ends_before_the_first_event_that_is_later() -> None:
    reading = Replay(KeptLog(0, 9).fetch, GetEventLogRequest(), until_time=Timestamp(seconds=4, nanos=5))
    assert (read(reading), reading.through) == ([1, 2, 3, 4], 4)


def test_an_empty_log_is_no_gap() -> None:
    reading = Replay(KeptLog(7, 7).fetch, GetEventLogRequest())
    assert (read(reading), reading.through) == ([], 7)
    assert covered_words(reading, 0) == "no revisions in this range; kept are those after 7, up to 7"


def test_a_page_that_begins_behind_the_one_before_is_a_gap() -> None:
    log = KeptLog(0, 20, skips=2)
    with pytest.raises(CommandError, match="covers from revision 5, but revision 3 was the last one seen"):
        read(Replay(log.fetch, GetEventLogRequest()))


def test_a_first_page_that_begins_elsewhere_than_asked_is_a_gap() -> None:
    log = KeptLog(0, 20)
    with pytest.raises(CommandError, match="covers from revision 9, but revision 8 was the last one seen"):
        read(Replay(lambda _: log.fetch(after(9)), after(8)))


def test_a_log_that_ends_before_its_newest_event_is_a_gap() -> None:
    cut = GetEventLogResponse(from_revision=0, through_revision=3, head_revision=9)
    with pytest.raises(CommandError, match="ends at revision 3, though the newest event was 9"):
        read(Replay(lambda _: cut, GetEventLogRequest()))


def test_what_was_read_is_said_with_what_is_kept() -> None:
    reading = Replay(KeptLog(10, 40).fetch, after(15), until=22)
    assert covered_words(reading, len(read(reading))) == (
        "7 events in revisions 16 to 22, without a gap; kept are those after 10, up to 40"
    )


def test_a_range_begins_at_one_place() -> None:
    assert log_request(None, None, NOW).WhichOneof("start") is None
    assert log_request(0, None, NOW).WhichOneof("start") == "after_revision"
    assert log_request(None, "1d", NOW).since_time.ToJsonString() == "2026-02-28T00:00:00Z"
    with pytest.raises(CommandError, match="one of --after and --since"):
        log_request(1, "1d", NOW)

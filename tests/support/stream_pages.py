"""Holds pages of the event log against the contract; they cover the log as streams do, and their tokens lead into it."""

from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.stream_checker import Point
from tests.support.stream_filter import Told, Wanted
from tests.support.stream_history import History, StreamViolation

MOST_EVENTS = 1_000


def check_page(
    history: History, request: pb.GetEventLogRequest, page: pb.GetEventLogResponse, reader: str = ""
) -> None:
    """Check one page and note what it tells. Raises StreamViolation."""
    with history.lock:
        wanted = Wanted.of(request.filter)
        faults = [*_faults(history, request, page, wanted)]
        if faults:
            text = f"a page of the log: {', '.join(faults)}\nasked: {request}\nseen: {str(page)[:500]}"
            history.violations.append(text)
            raise StreamViolation(text)
        through = {page.partition: page.through_revision}
        history.points[page.resume_token] = Point(wanted, through)
        history.pages[page.next_page_token] = page.through_revision
        coverage = history.coverage(reader, page.partition)
        coverage.cover(wanted, page.from_revision, page.through_revision, page.events)


def _faults(
    history: History, request: pb.GetEventLogRequest, page: pb.GetEventLogResponse, wanted: Wanted
) -> list[str]:
    revisions = [event.revision for event in page.events]
    start = history.pages.get(request.page_token) if request.page_token else None
    broken = {
        "no resume token": not page.resume_token,
        "too many events": len(page.events) > MOST_EVENTS,
        "out of order": revisions != sorted(set(revisions)),
        "outside its range": any(
            not page.from_revision < each <= page.through_revision for each in revisions
        ),
        "a range beyond the head": not page.from_revision <= page.through_revision <= page.head_revision,
        "ends before the head without a next page": not page.next_page_token
        and page.through_revision < page.head_revision,
        "does not join the page before": start not in {None, page.from_revision},
        "an event not asked for": any(wanted.passes(Told.of(event)) is False for event in page.events),
        "an event told otherwise before": any(
            history.differs(wanted.view, page.partition, event) for event in page.events
        ),
    }
    return [fault for fault, found in broken.items() if found]

"""A range of the kept log, read page by page, each proved to begin where the one before it ended.

The range ends at the head as the first page shows it, so that reading ends however fast events come, or before that where
the caller says. What lies beyond the end is not shown, nor claimed to be covered.
"""

from collections.abc import Callable, Iterator

from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.cli.coverage import Coverage
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.v1.event_pb2 import Event
from mailsync_grpc.v1.event_service_pb2 import GetEventLogRequest, GetEventLogResponse

Fetch = Callable[[GetEventLogRequest], GetEventLogResponse]
_PAGE = 1000


class Replay:
    """One reading of the log.

    Once the events were read, what is covered is ``after`` (exclusive) to ``through`` (inclusive). ``floor`` and ``head``
    are what the first page says is kept. ``until`` and ``until_time`` are inclusive.
    """

    def __init__(
        self,
        fetch: Fetch,
        request: GetEventLogRequest,
        until: int | None = None,
        until_time: Timestamp | None = None,
    ) -> None:
        self._fetch = fetch
        self._request = request
        self._until = until
        self._until_time = until_time
        self.after = self.through = self.floor = self.head = 0

    def events(self) -> Iterator[Event]:
        """The events of the range, oldest first. CommandError for a gap, grpc.RpcError as GetEventLog."""
        self._request.page_size = _PAGE
        page = self._fetch(self._request)
        coverage, end = self._begin(page)
        while self.through < end:
            coverage = coverage.extended(page)
            for event in page.events:
                if event.revision > end or self._is_late(event):
                    self.through = min(event.revision - 1, end)
                    return
                yield event
            self.through = min(page.through_revision, end)
            if self.through < end:
                self._request.page_token = self._next(page)
                page = self._fetch(self._request)

    def _begin(self, page: GetEventLogResponse) -> tuple[Coverage, int]:
        """Take the bounds from the first page; return what is covered already, and the end."""
        self.after = self.through = page.from_revision
        self.floor, self.head = page.floor_revision, page.head_revision
        end = self.head if self._until is None else min(self._until, self.head)
        match self._request.WhichOneof("start"):
            case "after_revision":
                return Coverage({page.partition: self._request.after_revision}), end
            case None:
                return Coverage({page.partition: page.floor_revision}), end
        return Coverage(), end  # only the service knows which event was the first at that time

    def _is_late(self, event: Event) -> bool:
        return self._until_time is not None and _order(event.commit_time) > _order(self._until_time)

    def _next(self, page: GetEventLogResponse) -> str:
        if not page.next_page_token or page.through_revision == page.from_revision:
            raise CommandError(
                f"the log has a gap: it ends at revision {page.through_revision}, though the newest event was"
                f" {self.head}"
            )
        return page.next_page_token


def _order(time: Timestamp) -> tuple[int, int]:
    return time.seconds, time.nanos

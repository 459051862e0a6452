"""EventService: the watch and the page-wise read of the kept log."""

import random
from typing import Final

from mailsync_grpc import metrics
from mailsync_grpc.errors import (
    InvalidFieldError,
    RevisionCompactedError,
    ServerDrainingError,
    SlowConsumerError,
    SnapshotLimitError,
    UnauthenticatedError,
    WatchLimitError,
)
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services import fields
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.paging import MAX_PAGE_BYTES, PageTokens, page_size
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.streams import Slots
from mailsync_grpc.services.tokens import Position, ResumeTokens
from mailsync_grpc.services.watch import Limits, Pieces, Shared, Stream
from mailsync_grpc.services.watch_cut import Cut, cut
from mailsync_grpc.services.watch_feed import READ_BYTES, READ_LIMIT, Feed
from mailsync_grpc.services.watch_filter import Filter, require_named
from mailsync_grpc.services.watch_start import Positions, require_same
from mailsync_grpc.store.values import LogSlice
from mailsync_grpc.v1 import event_service_pb2 as pb

SCAN_BUDGET: Final = 50_000
"""Records that one page of the log looks at before it ends, however few passed the filter."""

_MIN_HEARTBEAT, _MAX_HEARTBEAT = 1.0, 300.0
_AGE_SPREAD = 0.2
_LABEL_LENGTH = 63
_END_OF: Final[dict[type[Exception], str]] = {
    ServerDrainingError: "draining",
    SlowConsumerError: "slow_consumer",
    SnapshotLimitError: "snapshot_limit",
    UnauthenticatedError: "unauthenticated",
    RevisionCompactedError: "compacted",
}


class EventService:
    """Serves `mailsync.v1.EventService`. `streams` are those open now."""

    def __init__(
        self, core: Core, feed: Feed, page_tokens: PageTokens, resume_tokens: ResumeTokens, snapshots: Slots
    ) -> None:
        self._core = core
        self._feed = feed
        self._page_tokens = page_tokens
        self._resume_tokens = resume_tokens
        self._positions = Positions(core, resume_tokens, feed.labels)
        self._shared = Shared(core, feed, Pieces(feed, resume_tokens), self._positions, snapshots)
        self.streams: set[Stream] = set()

    async def watch_events(self, request: pb.WatchEventsRequest, context: Context) -> None:
        """Stream events from a position on until the caller leaves or the stream's age."""
        if self._feed.draining:
            raise ServerDrainingError("the server is stopping; connect again shortly")
        limits = self._limits(request)
        start = await self._core.run(self._positions.start, request)
        if len(self.streams) >= self._core.config.watch.max_streams:
            raise WatchLimitError(
                f"{len(self.streams)} event streams are open, which is the limit; try again later"
            )
        stream = Stream(self._shared, start, limits, request.label, may_reset=request.reset_on_compacted)
        self.streams.add(stream)
        metrics.WATCH_STREAMS.inc()
        end = "client"
        try:
            await stream.run(context, start.reset)
            end = "age"
        except Exception as error:
            end = _END_OF.get(type(error), "failed")
            raise
        finally:
            self.streams.remove(stream)
            metrics.WATCH_STREAMS.dec()
            metrics.WATCH_ENDS.labels(end).inc()

    def _limits(self, request: pb.WatchEventsRequest) -> Limits:
        watch = self._core.config.watch
        asked = request.HasField("heartbeat_interval")
        heartbeat = fields.seconds(request.heartbeat_interval) if asked else watch.heartbeat
        faults = fields.Violations()
        in_range = _MIN_HEARTBEAT <= heartbeat <= _MAX_HEARTBEAT
        faults.unless(in_range or not asked, "heartbeat_interval", "1 s to 300 s")
        faults.unless(
            len(request.label) <= _LABEL_LENGTH and fields.is_label(request.label), "label", "[a-z0-9-]{0,63}"
        )
        faults.raise_any()
        age = watch.max_age * random.uniform(1 - _AGE_SPREAD, 1 + _AGE_SPREAD)  # noqa: S311 - spreads load, no secret
        return Limits(heartbeat, min(age, current().remaining), watch.stall_timeout)

    async def get_event_log(self, request: pb.GetEventLogRequest, _context: Context) -> bytes:
        """Return kept events, a page at a time."""
        if request.partition:
            raise InvalidFieldError({"partition": "0, this store's only partition"})
        return await self._core.run(self._log_page, request)

    def _log_page(self, request: pb.GetEventLogRequest) -> bytes:
        wanted = self._positions.filter(request.filter)
        start = self._log_start(request, wanted)
        found, bounds = self._scan(start, wanted, page_size(request.page_size))
        more = found.through.revision < bounds.head
        rest = pb.GetEventLogResponse(
            from_revision=start.revision,
            through_revision=found.through.revision,
            resume_token=self._resume_tokens.of_watch(
                found.through, wanted.reach.filter_hash, wanted.packed_members
            ),
            next_page_token=self._page_tokens.seal(request, _key(found, wanted)) if more else "",
            read_revision=bounds.head,
            floor_revision=bounds.floor,
            head_revision=bounds.head,
        )
        return found.events + rest.SerializeToString()

    def _log_start(self, request: pb.GetEventLogRequest, wanted: Filter) -> Position:
        key = self._page_tokens.open(request, request.page_token)
        if key is not None:
            revision, _, members = key.partition(b" ")
            require_same(members, wanted)
            return self._positions.at(Revision(int(revision)))
        start = request.WhichOneof("start")
        if start == "resume_token":
            return self._positions.resume_log(request.resume_token, wanted)
        require_named(request.filter, self._core)
        match start:
            case "after_revision":
                return self._positions.at(Revision(request.after_revision))
            case "since_time":
                return self._positions.since(request.since_time)
        return self._positions.oldest()

    def _scan(self, start: Position, wanted: Filter, limit: int) -> tuple[Cut, LogSlice]:
        """Read on until the page is full, the log ends or the budget is used up."""
        page = Cut(b"", 0, start, 0)
        while True:
            read = self._core.store.log(page.through.revision, READ_LIMIT, READ_BYTES)
            found = cut(
                page.through, read.records, wanted, limit - page.size, MAX_PAGE_BYTES - len(page.events)
            )
            page = Cut(page.events + found.events, page.size + found.size, found.through, found.commit_time)
            scanned = page.through.revision - start.revision
            full = page.size >= limit or len(page.events) >= MAX_PAGE_BYTES
            cut_short = bool(read.records) and found.through.revision < read.records[-1].revision
            if full or cut_short or page.through.revision >= read.head or scanned >= SCAN_BUDGET:
                return page, read


def _key(page: Cut, wanted: Filter) -> bytes:
    """Return where the next page begins and what the pages before it were of."""
    return b"%d %s" % (page.through.revision, wanted.packed_members)

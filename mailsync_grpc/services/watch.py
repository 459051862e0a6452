"""One event stream: a cursor over the shared log, and when it speaks.

A stream says something at once when it begins (its position, so that a caller always has a token), when events pass its
filter, when nothing was said for the heartbeat interval, and when it ends. Each response covers the log from where the
one before ended; a heartbeat is made from the stream's own cursor and so can never be ahead of an unsent event. Bytes
of streams that stand at the same place under the same filter are made once. A reader that takes nothing for the stall
timeout is ended; its token resumes it.
"""

import asyncio
import time
from collections import OrderedDict
from typing import Final, NamedTuple

from google.protobuf.duration_pb2 import Duration

from mailsync_grpc import metrics
from mailsync_grpc.errors import ServerDrainingError
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.status import RETRY_SECONDS
from mailsync_grpc.services.streams import write
from mailsync_grpc.services.tokens import Position, ResumeTokens
from mailsync_grpc.services.watch_cut import LINGER, Cut, cut, linger
from mailsync_grpc.services.watch_feed import Feed
from mailsync_grpc.services.watch_filter import Filter
from mailsync_grpc.v1 import event_service_pb2 as pb

_SHARED_PIECES: Final = 64


class Piece(NamedTuple):
    """A cut and its response, empty when the filter hid everything; and the log's head and time when it was made."""

    cut: Cut
    response: bytes
    head: Revision
    made: float

    def serves(self, head: Revision, now: float) -> bool:
        """Whether it is as good as one made now: full, or nothing came since, or that was a moment ago."""
        return self.cut.through.revision < self.head or self.head == head or now < self.made + LINGER


class Pieces:
    """Makes the pieces of streams; what was made for one serves all that stand at the same place."""

    def __init__(self, feed: Feed, tokens: ResumeTokens) -> None:
        self._feed = feed
        self._tokens = tokens
        self._made: OrderedDict[tuple[bytes, Revision, Revision, int], Piece] = OrderedDict()

    async def next(self, wanted: Filter, said: Revision, cursor: Position) -> Piece:
        """Return the piece after `cursor` for a stream that has covered the log up to `said`."""
        key = (wanted.key, said, cursor.revision, self._feed.erasures)
        head, now = self._feed.head, time.monotonic()
        piece = self._made.get(key)
        if piece is None or not piece.serves(head, now):
            found = cut(cursor, await self._feed.read(cursor.revision), wanted)
            response = self._response(found, said, wanted) if found.size else b""
            piece = self._made[key] = Piece(found, response, head, now)
            if len(self._made) > _SHARED_PIECES:
                self._made.popitem(last=False)
        return piece

    def _response(self, found: Cut, said: Revision, wanted: Filter) -> bytes:
        return found.events + self.frame(said, found.through, wanted).SerializeToString()

    def frame(self, said: Revision, through: Position, wanted: Filter) -> pb.WatchEventsResponse:
        """Return a response without events: the covered range and the token at its end."""
        return pb.WatchEventsResponse(
            from_revision=said,
            through_revision=through.revision,
            resume_token=self._tokens.of_watch(through, wanted.reach.filter_hash),
        )


class Limits(NamedTuple):
    """Seconds: of silence before a heartbeat, of the stream's life, of a reader's stall."""

    heartbeat: float
    age: float
    stall: float


class Stream:
    """A stream at work. `label`, `cursor` and `start_time` (seconds since 1970) are what a live view shows."""

    def __init__(
        self, feed: Feed, pieces: Pieces, wanted: Filter, start: Position, limits: Limits, label: str
    ) -> None:
        self._feed = feed
        self._pieces = pieces
        self._filter = wanted
        self._limits = limits
        self._said = start.revision
        self.cursor = start
        self.label = label
        self.start_time = time.time()
        self._last_events = 0.0
        self._last_write = 0.0

    async def run(self, context: Context) -> None:
        """Write responses until the stream's age, then return.

        Raises SlowConsumerError, ServerDrainingError, RevisionCompactedError.
        """
        ends = time.monotonic() + self._limits.age
        await self._heartbeat(context)
        while True:
            now = time.monotonic()
            if self._feed.draining:
                await self._goodbye(context, pb.GOODBYE_REASON_DRAINING, RETRY_SECONDS[ServerDrainingError])
                raise ServerDrainingError("the server is stopping; connect again shortly")
            if now >= ends:
                return await self._goodbye(context, pb.GOODBYE_REASON_AGE, 0)
            beat = self._last_write + self._limits.heartbeat
            if now >= beat:
                await self._heartbeat(context)
            elif self.cursor.revision < self._feed.head:
                await self._advance(context, now)
            else:
                await self._feed.wait(min(beat, ends) - now)

    async def _advance(self, context: Context, now: float) -> None:
        """Move the cursor over one piece of the log and send what passed the filter."""
        await asyncio.sleep(linger(now, self._last_events, self._feed.head - self.cursor.revision))
        piece = await self._pieces.next(self._filter, self._said, self.cursor)
        self.cursor = piece.cut.through
        if not piece.response:
            return
        await self._write(context, piece.response)
        self._last_events = time.monotonic()
        metrics.WATCH_DELIVERIES.inc(piece.cut.size)
        metrics.WATCH_LAG.observe(max(0.0, time.time() - piece.cut.commit_time / 1000))

    async def _heartbeat(self, context: Context) -> None:
        response = self._pieces.frame(self._said, self.cursor, self._filter)
        response.heartbeat.server_time.GetCurrentTime()
        await self._write(context, response.SerializeToString())

    async def _goodbye(self, context: Context, reason: pb.GoodbyeReason.ValueType, delay: int) -> None:
        response = self._pieces.frame(self._said, self.cursor, self._filter)
        response.goodbye.reason = reason
        response.goodbye.retry_delay.CopyFrom(Duration(seconds=delay))
        await self._write(context, response.SerializeToString())

    async def _write(self, context: Context, response: bytes) -> None:
        await write(context, response, self._limits.stall)
        self._said = self.cursor.revision
        self._last_write = time.monotonic()

"""One event stream: a cursor over the shared log, and when it speaks.

A stream says something at once when it begins (its position, so that a caller always has a token), when events pass its
filter, when the accounts that it shows are others, when nothing was said for the heartbeat interval, and when it ends.
Each response covers the log from where the one before ended; a heartbeat is made from the stream's own cursor and so
can never be ahead of an unsent event. Bytes of streams that stand at the same place under the same filter are made
once. A snapshot stands before the events since before its first piece. A reader that takes nothing for the stall
timeout is ended; its token resumes it.
"""

import asyncio
import time
from collections import OrderedDict
from typing import Final, NamedTuple

from google.protobuf.duration_pb2 import Duration

from mailsync_grpc import metrics
from mailsync_grpc.errors import RevisionCompactedError, ServerDrainingError
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.scan import Place
from mailsync_grpc.services.status import RETRY_SECONDS
from mailsync_grpc.services.streams import Slots, Writer
from mailsync_grpc.services.tokens import Members, Position, ResumeTokens
from mailsync_grpc.services.watch_cut import LINGER, Cut, cut, linger
from mailsync_grpc.services.watch_feed import Feed
from mailsync_grpc.services.watch_filter import Filter
from mailsync_grpc.services.watch_snapshot import SnapshotReader, end_of, response_of
from mailsync_grpc.services.watch_start import Positions, Start
from mailsync_grpc.v1 import errors_pb2
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

    def frame(
        self, said: Revision, through: Position, wanted: Filter, place: Place | None = None
    ) -> pb.WatchEventsResponse:
        """Return a response without events: the covered range and the token at its end, in a snapshot at `place`."""
        return pb.WatchEventsResponse(
            from_revision=said,
            through_revision=through.revision,
            resume_token=self._tokens.of_watch(
                through, wanted.reach.filter_hash, wanted.packed_members, place
            ),
        )


class Limits(NamedTuple):
    """Seconds: of silence before a heartbeat, of the stream's life, of a reader's stall."""

    heartbeat: float
    age: float
    stall: float


class Shared(NamedTuple):
    """What all streams of a server work with."""

    core: Core
    feed: Feed
    pieces: Pieces
    positions: Positions
    snapshots: Slots


class Stream:
    """A stream at work. `label`, `cursor` and `start_time` (seconds since 1970) are what a live view shows.

    With `may_reset` it begins anew, with a snapshot, where its position is no longer kept.
    """

    def __init__(
        self, shared: Shared, start: Start, limits: Limits, label: str = "", *, may_reset: bool = False
    ) -> None:
        self._shared = shared
        self._feed = shared.feed
        self._limits = limits
        self._may_reset = may_reset
        self.label = label
        self.start_time = time.time()
        self._last_events = 0.0
        self._last_write = 0.0
        self._reader: SnapshotReader | None = None
        self._begin_at(start)

    def _begin_at(self, start: Start) -> None:
        self._filter = start.wanted
        self.cursor = start.position
        self._said = start.position.revision
        self._place = start.place
        self._members_version = (-1, -1)  # at which it was last held against what was told

    async def run(self, context: Context, reset: pb.Reset | None = None) -> None:
        """Write responses until the stream's age, then return.

        Raises SlowConsumerError, ServerDrainingError, RevisionCompactedError, SnapshotLimitError, UnauthenticatedError.
        """
        ends = time.monotonic() + self._limits.age
        try:
            with Writer(context, self._limits.stall) as out:
                if reset is not None:
                    await self._say_reset(out, reset)
                elif self._place is None:
                    await self._heartbeat(out)
                while not await self._has_ended(out, ends):
                    await self._step(out, ends)
        finally:
            self._close_reader()

    async def _has_ended(self, out: Writer, ends: float) -> bool:
        if self._feed.draining:
            await self._goodbye(out, pb.GOODBYE_REASON_DRAINING, RETRY_SECONDS[ServerDrainingError])
            raise ServerDrainingError("the server is stopping; connect again shortly")
        current().require_valid()
        if time.monotonic() < ends:
            return False
        await self._goodbye(out, pb.GOODBYE_REASON_AGE, 0)
        return True

    async def _step(self, out: Writer, ends: float) -> None:
        """Say the next thing, or wait until there is one; to wait, nothing may have been awaited since it was looked for."""
        now = time.monotonic()
        beat = self._last_write + self._limits.heartbeat
        version = self._shared.positions.members_version()
        if version != self._members_version:
            self._members_version = version
            await self._tell_members(out)
        elif self._place is not None:
            await self._snapshot(out, self._place)
        elif now >= beat:
            await self._heartbeat(out)
        elif self.cursor.revision < self._feed.head:
            await self._advance(out, now)
        else:
            await self._feed.wait(min(beat, ends) - now)

    async def _advance(self, out: Writer, now: float) -> None:
        """Move the cursor over one piece of the log and send what passed the filter."""
        pause = linger(now, self._last_events, self._feed.head - self.cursor.revision)
        if pause:
            await asyncio.sleep(pause)
        try:
            piece = await self._shared.pieces.next(self._filter, self._said, self.cursor)
        except RevisionCompactedError as error:
            if not self._may_reset:
                raise
            await self._begin_anew(out, error)
            return
        self.cursor = piece.cut.through
        if piece.response:
            await self._write(out, piece.response)
            self._last_events = time.monotonic()
            metrics.WATCH_DELIVERIES.inc(piece.cut.size)
            metrics.WATCH_LAG.observe(max(0.0, time.time() - piece.cut.commit_time / 1000))
        elif self.cursor.revision < self._feed.head:
            await asyncio.sleep(0)  # a long log that the filter hides is passed with others in between

    async def _begin_anew(self, out: Writer, error: RevisionCompactedError) -> None:
        start = await self._shared.core.run(self._shared.positions.anew, self._filter, error)
        self._begin_at(start)
        assert start.reset is not None
        await self._say_reset(out, start.reset)

    async def _snapshot(self, out: Writer, place: Place) -> None:
        """Send one piece of the present state, or that it is complete."""
        if self._reader is None:
            shared = self._shared
            self._reader = SnapshotReader(shared.core, shared.snapshots, self._filter, place)
        piece = await self._reader.next()
        if piece is not None:
            self._place = piece.place
            await self._write(out, response_of(piece, self._frame().SerializeToString()))
            return
        self._close_reader()
        self._place = None
        response = self._frame()
        response.snapshot_end.CopyFrom(end_of(place))
        await self._write(out, response.SerializeToString())

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    async def _tell_members(self, out: Writer) -> None:
        """Say which accounts are shown from now on and which no longer, one by one, as the token after each says."""
        shared = self._shared
        members = shared.positions.members(self._filter)
        told: Members = self._filter.members or frozenset()
        for account in sorted(told ^ (members or frozenset())):
            found = await shared.core.run(shared.core.store.account_by_no, account)
            if (
                found is None
                and account in told
                and self.cursor.revision < await shared.core.run(shared.core.head)
            ):
                continue  # deleted, which has an event of its own; until that was covered the account is shown
            self._filter = self._filter.among(told := told ^ {account})
            self._close_reader()  # it goes on under the filter as it is now
            if found is not None and self._filter.is_of(found):
                await self._say_member(out, found, visible=account in told)

    async def _say_member(self, out: Writer, account: Account, *, visible: bool) -> None:
        response = self._frame()
        if visible:
            response.account_visible.account = account.name
        else:
            response.account_hidden.account = account.name
        await self._write(out, response.SerializeToString())

    async def _say_reset(self, out: Writer, reset: pb.Reset) -> None:
        metrics.WATCH_RESETS.labels(errors_pb2.ErrorReason.Name(reset.reason)).inc()
        response = self._frame()
        response.reset.CopyFrom(reset)
        await self._write(out, response.SerializeToString())

    async def _heartbeat(self, out: Writer) -> None:
        response = self._frame()
        response.heartbeat.server_time.GetCurrentTime()
        await self._write(out, response.SerializeToString())

    async def _goodbye(self, out: Writer, reason: pb.GoodbyeReason.ValueType, delay: int) -> None:
        response = self._frame()
        response.goodbye.reason = reason
        response.goodbye.retry_delay.CopyFrom(Duration(seconds=delay))
        await self._write(out, response.SerializeToString())

    def _frame(self) -> pb.WatchEventsResponse:
        return self._shared.pieces.frame(self._said, self.cursor, self._filter, self._place)

    async def _write(self, out: Writer, response: bytes) -> None:
        await out.write(response)
        self._said = self.cursor.revision
        self._last_write = time.monotonic()

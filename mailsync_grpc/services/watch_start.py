"""Where a stream begins: from the request to a filter, a position, and what is to be said first.

A position that cannot be served is an error, or, where the caller asked for that, a reset: the stream then begins with
a marker and a snapshot of the present.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.errors import (
    InvalidFieldError,
    MailsyncError,
    ResumeTokenInvalidError,
    RevisionCompactedError,
    RevisionInFutureError,
    StoreEpochChangedError,
    VisibleChangedError,
)
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services.account_labels import AccountLabels
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.scan import Place
from mailsync_grpc.services.tokens import Members, Position, Resumed, ResumeTokens, unpack_members
from mailsync_grpc.services.watch_filter import AccountNames, Filter, compile_filter, require_named
from mailsync_grpc.store.codec.messages import error_reason
from mailsync_grpc.v1 import event_service_pb2 as pb

RESETS: Final = (
    RevisionCompactedError,
    RevisionInFutureError,
    StoreEpochChangedError,
    VisibleChangedError,
)
"""What a reset stands for when it is asked for."""
_LATEST_SECOND: Final = 253_402_300_799


class Start(NamedTuple):
    """How a stream begins; `place` is set where it is in a snapshot, `reset` is the marker to begin with.

    Where not all accounts are shown, the filter's members are those that the reader knows of.
    """

    wanted: Filter
    position: Position
    place: Place | None = None
    reset: pb.Reset | None = None


class Positions:
    """Finds positions in the log of a store. Everything here blocks."""

    def __init__(self, core: Core, tokens: ResumeTokens, labels: AccountLabels) -> None:
        self._core = core
        self._store = core.store
        self._tokens = tokens
        self._labels = labels
        self._account_names = AccountNames()

    def start(self, request: pb.WatchEventsRequest) -> Start:
        """Return how the stream of `request` begins.

        Raises InvalidFieldError, NotFoundError, FilterMismatchError, ResumeTokenInvalidError, and without
        `reset_on_compacted` any of RESETS.
        """
        wanted = self.filter(request.filter)
        if request.WhichOneof("start") != "resume_token":
            require_named(request.filter, self._core)
        try:
            return self._start(request, wanted)
        except RESETS as error:
            if not request.reset_on_compacted:
                raise
            return self.anew(wanted, error)

    def filter(self, message: pb.EventFilter) -> Filter:
        """Return the filter of a request, with the accounts that may be shown now."""
        wanted = compile_filter(message, self._account_names)
        if wanted.labels:
            self._labels.load()
        return self.now(wanted)

    def now(self, wanted: Filter) -> Filter:
        """Return the filter with the accounts that may be shown now."""
        return wanted.among(self.members(wanted))

    def members(self, wanted: Filter) -> Members | None:
        """Return the accounts that a filter's labels and the caller's rights allow; None for all."""
        visible = current().visible
        if not wanted.labels:
            return visible
        labelled = self._labels.bearing(wanted.labels)
        return labelled if visible is None else labelled & visible

    def members_version(self) -> tuple[int, int]:
        """Return what changes whenever `members` may."""
        return self._labels.version, current().version

    def anew(self, wanted: Filter, error: MailsyncError) -> Start:
        """Return a start with a reset marker that says why, then a snapshot."""
        wanted, head = self.now(wanted), self.head()
        reset = pb.Reset(
            reason=error_reason(error.reason),
            floor_revision=self._store.stats().log_floor,
            head_revision=head.revision,
        )
        return Start(wanted, head, Place(), reset)

    def _start(self, request: pb.WatchEventsRequest, wanted: Filter) -> Start:
        match request.WhichOneof("start"):
            case "oldest":
                return Start(wanted, self.oldest())
            case "since_time":
                return Start(wanted, self.since(request.since_time))
            case "snapshot":
                return Start(wanted, self.head(), Place())
            case "resume_token":
                return self._resumed(wanted, self.resume(request.resume_token, wanted))
        return Start(wanted, self.head())

    def _resumed(self, wanted: Filter, resumed: Resumed) -> Start:
        if resumed.members == wanted.packed_members:
            return Start(wanted, resumed.position, resumed.place)
        told, members = unpack_members(resumed.members), wanted.members
        if members is None:
            raise VisibleChangedError(
                "more accounts are shown than when the token was made; list, then watch"
            )
        if told is None:
            return Start(wanted, resumed.position, resumed.place)
        return Start(wanted.among(told), resumed.position, resumed.place)

    def head(self) -> Position:
        """Return the position after the newest event."""
        return self.at(self._core.head())

    def oldest(self) -> Position:
        """Return the position before the oldest kept event."""
        return self.at(self._store.stats().log_floor)

    def at(self, revision: Revision) -> Position:
        """Return the position after a revision. Raises RevisionCompactedError, RevisionInFutureError."""
        return Position(revision, self._store.log_check(revision))

    def resume(self, token: str, wanted: Filter) -> Resumed:
        """Return what a token says. Raises as `ResumeTokens.open`, and RESETS when its position is not to be had."""
        resumed = self._tokens.open(token, wanted.reach)
        if self._store.log_check(resumed.position.revision) != resumed.position.check:
            raise RevisionInFutureError(
                "another event stands at the token's position: the store was rolled back; list, then watch again"
            )
        return resumed

    def resume_log(self, token: str, wanted: Filter) -> Position:
        """Return the position of a token that stands for no unfinished snapshot."""
        resumed = self.resume(token, wanted)
        if resumed.members:
            require_same(resumed.members, wanted)
        if resumed.place is not None:
            raise ResumeTokenInvalidError(
                "the resume token stands within a snapshot; finish that with WatchEvents"
            )
        return resumed.position

    def since(self, moment: Timestamp) -> Position:
        """Return the position before the first event committed at or after a time.

        Raises InvalidFieldError for the future, RevisionCompactedError when earlier ones of that time may be gone.
        """
        millis = _millis(moment)
        if not 0 <= moment.seconds <= _LATEST_SECOND or millis > self._core.now_ms():
            raise InvalidFieldError({"since_time": "a time that is not in the future"})
        stats = self._store.stats()
        is_empty = stats.log_floor == stats.log_head
        if stats.log_floor and (is_empty or millis <= stats.log_oldest_time):
            raise RevisionCompactedError(stats.log_floor, stats.log_head)
        return self.at(_first(stats.log_floor, stats.log_head, lambda each: self._time_of(each) >= millis))

    def _time_of(self, revision: Revision) -> int:
        return self._store.log(Revision(revision - 1), 1, 1).records[0].commit_time


def require_same(members: bytes, wanted: Filter) -> None:
    """Raise VisibleChangedError unless a token's members are those that may be shown now."""
    if members != wanted.packed_members:
        raise VisibleChangedError(
            "the accounts that are shown changed since the token was made; read on without it"
        )


def _millis(moment: Timestamp) -> int:
    """Return the first millisecond at or after a time."""
    return moment.seconds * 1_000 + -(-moment.nanos // 1_000_000)


def _first(floor: Revision, head: Revision, holds: Callable[[Revision], bool]) -> Revision:
    """Return the revision before the first in (floor, head] that `holds`, as all after it do; the head when none does."""
    low, high = int(floor), int(head)
    while low < high:
        middle = (low + high) // 2
        if holds(Revision(middle + 1)):
            high = middle
        else:
            low = middle + 1
    return Revision(low)

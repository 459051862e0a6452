"""Holds event streams against the contract: a second reading of its rules, which sees no more than the wire.

A stream stands at a `Point`: what it has covered of each partition, and how far its snapshot is. Each response must follow
from the point before it, and its token leads to the point after it, for any stream that resumes there. Rules that need
more than one stream are the `History`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NoReturn

from mailsync_grpc.v1 import errors_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.stream_filter import Told, Wanted, envelope_in
from tests.support.stream_history import Coverage, History, StreamViolation
from tests.support.stream_snapshot import Snapshot

MOST_EVENTS = 512
MOST_BYTES = 256 << 10
RESYNC = {
    errors_pb2.ERROR_REASON_REVISION_COMPACTED: "REVISION_COMPACTED",
    errors_pb2.ERROR_REASON_REVISION_IN_FUTURE: "REVISION_IN_FUTURE",
    errors_pb2.ERROR_REASON_STORE_EPOCH_CHANGED: "STORE_EPOCH_CHANGED",
}
_RESET = {*RESYNC, errors_pb2.ERROR_REASON_FILTER_MISMATCH}
_OTHER_STORE = {"REVISION_IN_FUTURE", "STORE_EPOCH_CHANGED"}


@dataclass(frozen=True, slots=True)
class Point:
    """Where a stream stands: its filter, what it covered of each partition, and its snapshot while one is under way.

    `settled` is false while it is not known whether a snapshot is, because the stream began with a token of elsewhere.
    """

    wanted: Wanted
    through: Mapping[int, int]
    snapshot: Snapshot | None = None
    settled: bool = True


class StreamChecker:
    """Takes the responses of one stream in their order; raises StreamViolation at the first that breaks a rule.

    `reader` stands for what the caller may see: its authorization.
    """

    def __init__(self, history: History, request: pb.WatchEventsRequest, reader: str = "") -> None:
        self._history, self._request, self._reader = history, request, reader
        self._wanted = Wanted.of(request.filter)
        self._known_at_start = history.coverage(reader, 0).newest
        self._begun = self._over = False
        self._first_event = True
        self._point = self._start()

    def _start(self) -> Point:
        match self._request.WhichOneof("start"):
            case "snapshot":
                return Point(self._wanted, {}, Snapshot.fresh())
            case "resume_token":
                foreign = Point(self._wanted, {}, settled=False)
                found: Point = self._history.points.get(self._request.resume_token, foreign)
                return found
        return Point(self._wanted, {})

    def take(self, response: pb.WatchEventsResponse) -> None:
        """Check one response."""
        with self._history.lock:
            self._check_shape(response)
            if response.HasField("reset"):
                self._take_reset(response.reset)
            self._check_start(response)
            self._check_range(response)
            self._check_events(response)
            self._take_control(response)
            self._step(response)

    # What holds for each response by itself

    def _check_shape(self, response: pb.WatchEventsResponse) -> None:
        control = response.WhichOneof("control")
        self._require(not self._over, "something came after a goodbye", response)
        self._require(response.resume_token, "a response without a resume token", response)
        self._require(response.events or control, "a response without events and control", response)
        self._require(not (response.events and control), "a response of events and a control", response)
        self._require(len(response.events) <= MOST_EVENTS, f"more than {MOST_EVENTS} events", response)
        size = sum(event.ByteSize() for event in response.events)
        alone = len(response.events) == 1
        self._require(alone or size <= MOST_BYTES, f"{size} octets of events in a response", response)

    def _check_range(self, response: pb.WatchEventsResponse) -> None:
        first, last = response.from_revision, response.through_revision
        self._require(first <= last, "a range that ends before it begins", response)
        before = self._point.through.get(response.partition)
        self._require(before in {None, first}, f"after ({before}] comes a range from elsewhere", response)
        revisions = [event.revision for event in response.events]
        self._require(revisions == sorted(set(revisions)), "events out of order or doubled", response)
        inside = all(first < revision <= last for revision in revisions)
        self._require(inside, "an event outside the range covered", response)

    def _check_events(self, response: pb.WatchEventsResponse) -> None:
        for event in response.events:
            told, envelope = Told.of(event), envelope_in(event)
            what = f"revision {event.revision}"
            self._require(self._wanted.passes(told) is not False, f"{what} is not asked for", response)
            self._require(not self._wanted.shows_too_much(envelope), f"{what} shows too much", response)
            differs = self._history.differs(self._wanted.view, response.partition, event)
            self._require(not differs, f"{what} was told otherwise before", response)

    # How a stream begins

    def _check_start(self, response: pb.WatchEventsResponse) -> None:
        if self._begun:
            return
        self._begun = True
        start = self._request.WhichOneof("start") or "now"
        same = self._point.wanted.same_as(self._wanted)
        self._require(same, "a token of another filter was taken", response)
        if start == "now":
            late = response.from_revision >= self._known_at_start
            self._require(late, f"a start at now before revision {self._known_at_start}", response)
        if start == "since_time":
            self._check_since(response)

    def _check_since(self, response: pb.WatchEventsResponse) -> None:
        since = self._request.since_time.ToNanoseconds()
        for revision, told in self._coverage(response).between(0, response.from_revision):
            self._require(told.committed < since, f"revision {revision} is of that time or later", response)

    def _check_first_event(self, response: pb.WatchEventsResponse) -> None:
        """The first event of a stream that begins at a time is of that time, where no filter hides which is the first."""
        if self._first_event and response.events:
            self._first_event = False
            if self._request.HasField("since_time") and self._wanted.takes_all():
                at = response.events[0].commit_time.ToNanoseconds()
                self._require(at >= self._request.since_time.ToNanoseconds(), "an event too old", response)

    # What a control does

    def _take_reset(self, reset: pb.Reset) -> None:
        asked = self._request.reset_on_compacted
        self._require(asked, "a reset that was not asked for", reset)
        self._require(reset.reason in _RESET, "a reset without its reason", reset)
        self._require(reset.floor_revision <= reset.head_revision, "a floor above the head", reset)
        if RESYNC.get(reset.reason) in _OTHER_STORE:
            self._history.forget()
        self._point = Point(self._wanted, {}, Snapshot.fresh())
        self._begun = True

    def _take_control(self, response: pb.WatchEventsResponse) -> None:
        control = response.WhichOneof("control")
        match control:
            case "snapshot_chunk" | "snapshot_end":
                self._take_snapshot(response)
            case "goodbye":
                self._over = True
                self._require(response.goodbye.reason, "a goodbye without its reason", response)
            case "account_visible" | "account_hidden":
                account = getattr(response, control).account
                outside = self._wanted.refuses_item(account) or not account.startswith("accounts/")
                self._require(not outside, f"{control} of an account not asked for", response)
                self._history.shift(self._reader, account)
            case None:
                self._require(self._point.snapshot is None, "events before the snapshot's end", response)
                self._check_first_event(response)

    def _take_snapshot(self, response: pb.WatchEventsResponse) -> None:
        point, still = self._point, response.from_revision == response.through_revision
        self._require(still, "a piece of a snapshot that covers part of the log", response)
        underway = point.snapshot is not None or not point.settled
        self._require(underway, "a piece of a snapshot after its end", response)
        snapshot = point.snapshot or Snapshot.joined()
        if response.HasField("snapshot_end"):
            fault, after = snapshot.end_fault(response.snapshot_end), None
        else:
            chunk = response.snapshot_chunk
            fault = snapshot.fault(chunk, response.through_revision, self._wanted)
            if folder := snapshot.scanned_anew(chunk):
                span = (response.through_revision, chunk.read_revision)
                self._coverage(response).scanned_anew.append((folder, *span))
            after = snapshot.extended(chunk)
        self._require(not fault, fault, response)
        self._point = replace(point, snapshot=after, settled=True)

    # The next point

    def _step(self, response: pb.WatchEventsResponse) -> None:
        through = {**self._point.through, response.partition: response.through_revision}
        settled = self._point.settled or bool(response.events)
        point = self._point = replace(self._point, wanted=self._wanted, through=through, settled=settled)
        known = self._history.points.get(response.resume_token)
        same = known is None or known.through == through or not known.settled
        self._require(same, "a resume token that also stands for another position", response)
        self._history.points[response.resume_token] = point
        if not point.snapshot and not response.HasField("snapshot_end"):
            first, last = response.from_revision, response.through_revision
            self._coverage(response).cover(self._wanted, first, last, response.events)

    def _coverage(self, response: pb.WatchEventsResponse) -> Coverage:
        return self._history.coverage(self._reader, response.partition)

    # How a stream fails

    def failed(self, reason: str, metadata: Mapping[str, str]) -> None:
        """Check an OUT_OF_RANGE, which is the end that says: begin anew."""
        with self._history.lock:
            self._require(reason in RESYNC.values(), f"OUT_OF_RANGE for {reason!r}", metadata)
            reset = self._request.reset_on_compacted
            self._require(not reset, "OUT_OF_RANGE although a reset was asked for", metadata)
            if reason == "REVISION_COMPACTED":
                self._require({"floor", "head"} <= metadata.keys(), "no floor and head", metadata)
                below = self._point.through.get(0, -1) < int(metadata["floor"])
                self._require(below, "refused as compacted, and is not", metadata)
            if reason in _OTHER_STORE:
                self._history.forget()

    def _require(self, holds: object, fault: str, seen: object) -> None:
        if not holds:
            self._fail(fault, seen)

    def _fail(self, fault: str, seen: object) -> NoReturn:
        shown = str(seen)
        shown = shown if len(shown) < 1_000 else f"{shown[:500]} … {shown[-500:]}"
        text = f"{fault}\nat: {dict(self._point.through)}\nasked: {self._request}\nseen: {shown}"
        self._history.violations.append(text)
        raise StreamViolation(text)

"""What all streams of one store have told so far, and where they contradict each other.

One stream alone can prove that its ranges join; only two can show that an event was left out of one of them. The history
keeps each event that any stream carried and each range that any stream covered, by filter. An event inside a range that
another stream under a filter that passes it did not carry was withheld. It is said when the test ends, because there is
one excuse, which may be told later: the account was removed, and nothing of it is sent any more.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import RLock
from typing import Any

from mailsync_grpc.v1 import event_pb2
from tests.support.stream_filter import Told, Wanted

_MAKE_ANOTHER = {
    event_pb2.EVENT_TYPE_FOLDER_CHANGED,
    event_pb2.EVENT_TYPE_FOLDER_REMOVED,
    event_pb2.EVENT_TYPE_FOLDER_RESET,
}
"""Events after which a folder may hold other messages than it did."""


class StreamViolation(AssertionError):  # noqa: N818 - what a stream did, rather than an error of the checker
    """A stream did what the contract says that none does."""


class Ranges:
    """A set of revisions, as ranges (after, through] that neither touch nor overlap."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def add(self, after: int, through: int) -> None:
        """Add a range."""
        if after >= through:
            return
        apart = [each for each in self._ranges if each[1] < after or each[0] > through]
        joined = [each for each in self._ranges if each[1] >= after and each[0] <= through]
        after, through = min([after, *(a for a, _ in joined)]), max([through, *(t for _, t in joined)])
        self._ranges = sorted([*apart, (after, through)])

    def __contains__(self, revision: int) -> bool:
        return any(after < revision <= through for after, through in self._ranges)

    def span(self, after: int, through: int) -> bool:
        """Whether (after, through] is in it."""
        return after == through or any(a <= after and through <= t for a, t in self._ranges)


@dataclass(slots=True)
class Coverage:
    """The events of one partition that streams of one caller carried, and what each filter's streams covered.

    Revisions are dense: a stream without a filter shows every one of them, to a caller who may see everything (`dense`), and
    `holes` are those that it did not show. `scanned_anew` are folders that a snapshot began again, and between which revisions.
    """

    dense: bool = True
    told: dict[int, Told] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    covered: dict[Wanted, Ranges] = field(default_factory=lambda: defaultdict(Ranges))
    withheld: dict[tuple[int, Wanted], Told] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    shifting: set[str] = field(default_factory=set)
    holes: set[int] = field(default_factory=set)
    scanned_anew: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def newest(self) -> int:
        """The newest revision told of, 0 when none was."""
        return self.order[-1] if self.order else 0

    def between(self, after: int, through: int) -> Iterator[tuple[int, Told]]:
        """The events told of, by any stream, in (after, through]."""
        for revision in self.order[bisect_right(self.order, after) : bisect_right(self.order, through)]:
            yield revision, self.told[revision]

    def cover(self, wanted: Wanted, after: int, through: int, events: Iterable[event_pb2.Event]) -> None:
        """Note that a stream under this filter covered a range, and with which events."""
        carried = {event.revision: Told.of(event) for event in events}
        for revision, told in self.between(after, through):
            if revision not in carried:
                self._doubt(revision, told, wanted)
        for revision, told in carried.items():
            self._hear(revision, told)
        self.covered[wanted].add(after, through)
        if self.dense and wanted.takes_all():
            self.holes.update(each for each in range(after + 1, through + 1) if each not in self.told)

    def _hear(self, revision: int, told: Told) -> None:
        if told.kind == event_pb2.EVENT_TYPE_ACCOUNT_REMOVED:
            self.removed[told.account] = max(revision, self.removed.get(told.account, 0))
        if revision in self.told:
            return
        self.told[revision] = told
        insort(self.order, revision)
        for wanted, ranges in self.covered.items():
            if revision in ranges:
                self._doubt(revision, told, wanted)

    def _doubt(self, revision: int, told: Told, wanted: Wanted) -> None:
        if wanted.passes(told):
            self.withheld[revision, wanted] = told

    def withholdings(self, existing: Container[str] | None) -> Iterator[str]:
        """What was withheld without excuse. `existing` names the accounts there are, when that is known."""
        for (revision, wanted), told in self.withheld.items():
            gone = existing is not None and told.account not in existing
            if (
                not gone
                and self.removed.get(told.account, 0) <= revision
                and told.account not in self.shifting
            ):
                yield f"revision {revision} ({told}) was never sent to a stream that covered it under {wanted}"

    def gaps(self) -> Iterator[str]:
        """Revisions that nobody was told of, though a stream without a filter covered them; what is erased is excused."""
        erased_before = max(self.removed.values(), default=0)
        for revision in sorted(self.holes - self.told.keys()):
            if revision >= erased_before:
                yield f"revision {revision} was covered without a filter, and never told of"

    def doublings(self) -> Iterator[str]:
        """Folders that a snapshot sent twice although the whole log between tells of nothing that befell them."""
        for folder, after, through in self.scanned_anew:
            whole = any(
                ranges.span(after, through) for wanted, ranges in self.covered.items() if wanted.takes_all()
            )
            told = [told for _, told in self.between(after, through) if folder in told.folders]
            if whole and not _MAKE_ANOTHER & {each.kind for each in told}:
                yield f"a snapshot sent {folder} twice, and nothing befell it in ({after}, {through}]"


class History:
    """What streams of one store told. `points` holds where each resume token leads; see `stream_checker.Point`."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.points: dict[str, Any] = {}
        self.pages: dict[str, int] = {}
        self.violations: list[str] = []
        self._digests: dict[tuple[int, int, int], bytes] = {}
        self._coverage: dict[tuple[str, int], Coverage] = {}

    def coverage(self, reader: str, partition: int) -> Coverage:
        """What was covered for one caller, known by its authorization."""
        return self._coverage.setdefault((reader, partition), Coverage(dense=not reader))

    def differs(self, view: int, partition: int, event: event_pb2.Event) -> bool:
        """Whether the event was carried before, under the same view, with other bytes."""
        if not event.WhichOneof("payload"):
            return False
        digest = blake2b(event.SerializeToString(deterministic=True), digest_size=16).digest()
        return self._digests.setdefault((view, partition, event.revision), digest) != digest

    def shift(self, reader: str, account: str) -> None:
        """Note that a caller began or ceased to see an account: what it was not sent is no longer told from the wire."""
        for (name, _), coverage in self._coverage.items():
            if name == reader:
                coverage.shifting.add(account)

    def forget(self) -> None:
        """Forget all but violations: the store is another one, or stands where it stood before."""
        self.points.clear()
        self.pages.clear()
        self._digests.clear()
        self._coverage.clear()

    def settle(self, existing: Container[str] | None = None) -> None:
        """Fail with all that was found and is not excused."""
        with self.lock:
            found = list(self.violations)
            for coverage in self._coverage.values():
                found += (*coverage.withholdings(existing), *coverage.gaps(), *coverage.doublings())
            self.violations.clear()
        if found:
            raise StreamViolation("\n".join(found))

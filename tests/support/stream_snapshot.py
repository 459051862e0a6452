"""The grammar of a snapshot, over all the streams that it is resumed by: what each piece may hold after those before it."""

from dataclasses import dataclass, replace
from typing import Self

from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.stream_filter import Wanted

Place = tuple[str, int, int]
"""An envelope's folder, UIDVALIDITY and UID."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was sent so far: how many of each kind (None when its beginning was not seen), and up to where.

    Envelopes come in key order, so that one is doubled if it comes after a later one of its folder, or after another folder.
    Short of a folder that became another one while it was scanned: the next piece may begin it anew.
    """

    counts: tuple[int, int, int] | None
    read_revision: int = 0
    named: frozenset[str] = frozenset()
    passed: frozenset[str] = frozenset()
    last: Place = ("", 0, 0)

    @classmethod
    def fresh(cls) -> Self:
        """One of which nothing was sent."""
        return cls((0, 0, 0))

    @classmethod
    def joined(cls) -> Self:
        """One that was under way when its first piece was seen."""
        return cls(None)

    def fault(self, chunk: pb.SnapshotChunk, start: int, wanted: Wanted) -> str:
        """What is wrong with the next piece; empty when it is right."""
        if chunk.read_revision < max(start, self.read_revision):
            return f"read at {chunk.read_revision}, before {max(start, self.read_revision)}"
        foreign = [name for name in _names(chunk) if wanted.refuses_item(name)]
        if foreign:
            return f"not asked for in a snapshot: {foreign}"
        if any(wanted.shows_too_much(envelope) for envelope in chunk.envelopes):
            return "an envelope that shows too much"
        records = _records(chunk)
        if len({*records}) < len(records) or self.named & {*records}:
            return "an account or folder that was sent before"
        return self._order_fault(chunk)

    def scanned_anew(self, chunk: pb.SnapshotChunk) -> str:
        """The folder that this piece, read later than the one before, begins anew; empty when it begins none."""
        first = _place(chunk.envelopes[0]) if chunk.envelopes else ("", 0, 0)
        anew = first[0] == self.last[0] and first <= self.last and chunk.read_revision > self.read_revision
        return first[0] if anew else ""

    def _order_fault(self, chunk: pb.SnapshotChunk) -> str:
        passed, last = self.passed, self.last
        if folder := self.scanned_anew(chunk):
            last = (folder, 0, 0)
        for place in map(_place, chunk.envelopes):
            if place[0] != last[0]:
                passed, last = passed | {last[0]}, place
            elif place <= last:
                return f"envelope {place} after {last}"
            if place[0] in passed:
                return f"envelope {place} of a folder that was left"
            last = place
        return ""

    def extended(self, chunk: pb.SnapshotChunk) -> Self:
        """What was sent, this piece included."""
        places = [self.last, *map(_place, chunk.envelopes)]
        folders = {place[0] for place in places}
        return replace(
            self,
            counts=self.counts and _added(self.counts, chunk),
            read_revision=chunk.read_revision,
            named=self.named | {*_records(chunk)},
            passed=self.passed | (folders - {places[-1][0]}),
            last=places[-1],
        )

    def end_fault(self, end: pb.SnapshotEnd) -> str:
        """What is wrong with the end; empty when it is right."""
        told = (end.accounts, end.folders, end.envelopes)
        return "" if self.counts in {None, told} else f"{self.counts} were sent, and {told} are said to be"


def _added(counts: tuple[int, int, int], chunk: pb.SnapshotChunk) -> tuple[int, int, int]:
    accounts, folders, envelopes = counts
    return (
        accounts + len(chunk.accounts),
        folders + len(chunk.folders),
        envelopes + len(chunk.envelopes),
    )


def _records(chunk: pb.SnapshotChunk) -> list[str]:
    return [*(account.name for account in chunk.accounts), *(folder.name for folder in chunk.folders)]


def _names(chunk: pb.SnapshotChunk) -> list[str]:
    return [*_records(chunk), *(envelope.name for envelope in chunk.envelopes)]


def _place(envelope: envelope_pb2.Envelope) -> Place:
    return envelope.name.rpartition("/envelopes/")[0], envelope.uid_validity, envelope.uid

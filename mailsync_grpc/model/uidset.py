"""A set of UIDs kept as sorted, disjoint, inclusive ranges.

Mailboxes hold long runs of consecutive UIDs, so a pending set of 500,000 messages is usually a handful of pairs. The
text form is RFC 3501's sequence-set without `*` (`1:5,9`); it is what goes on the wire and into the store.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UidSet:
    """An immutable set of UIDs. Make one with `of`, `span` or `parse`."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, uids: Iterable[int]) -> "UidSet":
        """Return the set of `uids`, which may be unsorted and repeat."""
        ranges: list[tuple[int, int]] = []
        first = last = -1
        for uid in sorted(set(uids)):
            if uid == last + 1:
                last = uid
                continue
            if last >= 0:
                ranges.append((first, last))
            first = last = uid
        if last >= 0:
            ranges.append((first, last))
        return cls(tuple(ranges))

    @classmethod
    def span(cls, first: int, last: int) -> "UidSet":
        """Return all UIDs from `first` to `last`, both included; empty when `first > last`."""
        return cls(((first, last),)) if first <= last else cls()

    @classmethod
    def parse(cls, text: str) -> "UidSet":
        """Return the set written as `1:5,9`; the empty string is the empty set. Raises ValueError on other text."""
        ranges = []
        for part in filter(None, text.split(",")):
            first, _, last = part.partition(":")
            ranges.append((int(first), int(last or first)))
        return cls._merged(ranges)

    @classmethod
    def _merged(cls, ranges: Iterable[tuple[int, int]]) -> "UidSet":
        merged: list[tuple[int, int]] = []
        for low, high in sorted((min(pair), max(pair)) for pair in ranges):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return cls(tuple(merged))

    def __str__(self) -> str:
        return ",".join(str(low) if low == high else f"{low}:{high}" for low, high in self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def __contains__(self, uid: int) -> bool:
        if len(self.ranges) == 1:
            # One range is the usual case, and this is asked for every message of an answer.
            low, high = self.ranges[0]
            return low <= uid <= high
        index = bisect_right(self.ranges, uid, key=lambda pair: pair[0]) - 1
        return index >= 0 and uid <= self.ranges[index][1]

    def __or__(self, other: "UidSet") -> "UidSet":
        return self._merged((*self.ranges, *other.ranges))

    def __and__(self, other: "UidSet") -> "UidSet":
        return self - (self - other)

    def __sub__(self, other: "UidSet") -> "UidSet":
        kept: list[tuple[int, int]] = []
        cuts = iter(other.ranges)
        cut = next(cuts, None)
        for low, high in self.ranges:
            while cut is not None and cut[1] < low:
                cut = next(cuts, None)
            while cut is not None and cut[0] <= high:
                if low < cut[0]:
                    kept.append((low, cut[0] - 1))
                low = cut[1] + 1
                if low > high:
                    break
                cut = next(cuts, None)
            if low <= high:
                kept.append((low, high))
        return UidSet(tuple(kept))

    def highest(self, count: int) -> "UidSet":
        """Return the `count` largest UIDs of the set, or all of it when it is smaller."""
        taken: list[tuple[int, int]] = []
        for low, high in reversed(self.ranges):
            if count <= 0:
                break
            low = max(low, high - count + 1)
            taken.append((low, high))
            count -= high - low + 1
        return UidSet(tuple(reversed(taken)))

    def chunks(self, ranges: int, uids: int = 1 << 32) -> Iterator["UidSet"]:
        """Yield the set in pieces of at most `ranges` ranges and `uids` UIDs, so that a command stays bounded."""
        piece: list[tuple[int, int]] = []
        left = uids
        for low, high in self.ranges:
            while low <= high:
                last = min(high, low + left - 1)
                piece.append((low, last))
                left -= last - low + 1
                low = last + 1
                if not left or len(piece) == ranges:
                    yield UidSet(tuple(piece))
                    piece, left = [], uids
        if piece:
            yield UidSet(tuple(piece))

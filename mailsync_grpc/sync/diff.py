"""What differs between the flags a server answered and those that are stored.

Both sides are packed the same way, 128 UIDs to a block (`store.flagblocks`), and compared as bytes: blocks that are
equal, nearly all of them, are never decoded. The answer covers the UIDs from `low` up; stored UIDs below `low` are
not judged. A UID that is stored and not in the answer is only *missing*: an answer may omit a message that is still
there (RFC 3501 section 7.4.1 forbids expunging during FETCH, servers do it anyway), so the caller asks again.

Answers of less are compared with less: one that lists only what changed (CHANGEDSINCE) proves nothing missing, one that
only lists UIDs (SEARCH) tells of no flags, and VANISHED names what is missing itself. `blocks_of` says which stored
blocks each of them needs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from mailsync_grpc.model.folder import FolderProgress
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store import flagblocks
from mailsync_grpc.store.values import BLOCK_SHIFT, FlagBlock

NOT_JUDGED = 1 << 32
"""As `low` of `compare`: no stored UID is missing."""
_NEAR = 16
"""Blocks between two wanted ones that are read along, as one read of many costs less than two."""


@dataclass(frozen=True, slots=True)
class FlagDiff:
    """UIDs answered and not stored, stored and not answered, and (uid, stored hash, answered hash) where they differ."""

    unknown: tuple[int, ...] = ()
    missing: UidSet = UidSet()
    changed: tuple[tuple[int, int, int], ...] = ()


def compare(uids: list[int], hashes: list[int], stored: Iterable[FlagBlock], low: int = 1) -> FlagDiff:
    """Return how the answer (`uids` ascending, each with its flag hash, all ≥ `low`) differs from the stored blocks."""
    answered = flagblocks.pack(uids, hashes)
    unknown: list[int] = []
    missing: list[int] = []
    changed: list[tuple[int, int, int]] = []
    for block in stored:
        packed = answered.pop(block.number, b"")
        if packed != block.packed:
            here, there = _decoded(block.number, packed), _decoded(block.number, block.packed)
            unknown += [uid for uid in here if uid not in there]
            missing += [uid for uid in there if uid not in here and uid >= low]
            changed += [(uid, there[uid], new) for uid, new in here.items() if there.get(uid, new) != new]
    for number, packed in answered.items():
        unknown += flagblocks.unpack(number, packed)[0]
    return FlagDiff(tuple(sorted(unknown)), UidSet.of(missing), tuple(changed))


def compare_uids(present: UidSet, stored: Iterable[FlagBlock]) -> FlagDiff:
    """Return how `present`, all UIDs of the folder, differs from those of the stored blocks."""
    held = UidSet.of(uid for block in stored for uid in flagblocks.uids_of(block.number, block.packed))
    return FlagDiff(unknown=tuple(present - held), missing=held - present)


def among(uids: UidSet, stored: Iterable[FlagBlock]) -> UidSet:
    """Return those of `uids` that the stored blocks hold."""
    held = (uid for block in stored for uid in flagblocks.uids_of(block.number, block.packed))
    return UidSet.of(uid for uid in held if uid in uids)


def unsettled(found: FlagDiff, progress: FolderProgress, outside: UidSet = UidSet()) -> FlagDiff:
    """Return `found` without the UIDs that are accounted for elsewhere than among the stored ones.

    What is pending or left `outside` by the window is not unknown; what is leaving is known to be missing.
    """
    known = progress.pending | progress.leaving | outside
    unknown = tuple(uid for uid in found.unknown if uid not in known) if known else found.unknown
    return replace(found, unknown=unknown, missing=found.missing - progress.leaving)


def blocks_of(uids: UidSet) -> list[tuple[int, int]]:
    """Return the first and last numbers of the runs of blocks that hold `uids`; runs that are near each other are one."""
    runs: list[tuple[int, int]] = []
    for low, high in uids.ranges:
        first, last = low >> BLOCK_SHIFT, high >> BLOCK_SHIFT
        if runs and first - runs[-1][1] <= _NEAR:
            runs[-1] = (runs[-1][0], last)
        else:
            runs.append((first, last))
    return runs


def _decoded(number: int, packed: bytes) -> dict[int, int]:
    return dict(zip(*flagblocks.unpack(number, packed), strict=True)) if packed else {}

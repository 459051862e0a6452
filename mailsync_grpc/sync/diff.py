"""What differs between the flags a server answered and those that are stored.

Both sides are packed the same way, 128 UIDs to a block (`store.flagblocks`), and compared as bytes: blocks that are
equal, nearly all of them, are never decoded. The answer covers the UIDs from `low` up; stored UIDs below `low` are
not judged. A UID that is stored and not in the answer is only *missing*: an answer may omit a message that is still
there (RFC 3501 section 7.4.1 forbids expunging during FETCH, servers do it anyway), so the caller asks again.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store import flagblocks
from mailsync_grpc.store.values import BLOCK_SHIFT, FlagBlock


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


def first_block(low: int) -> int:
    """Return the number of the block that holds UID `low`."""
    return low >> BLOCK_SHIFT


def _decoded(number: int, packed: bytes) -> dict[int, int]:
    return dict(zip(*flagblocks.unpack(number, packed), strict=True)) if packed else {}

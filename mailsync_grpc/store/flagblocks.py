"""Flag hashes packed 128 UIDs to a block, so that a full comparison is mostly a comparison of bytes.

A block holds the UIDs that share `uid >> 7`: for n messages first n octets, each the low seven bits of a UID,
ascending, then n flag hashes as little-endian 64-bit numbers. Equal contents are equal bytes, so blocks made from a
server's answer can be compared with stored ones without decoding either. At 9 octets a message it is also a quarter
of what a key for each UID would take.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from mailsync_grpc.store.values import BLOCK_SHIFT

BLOCK_UIDS = 1 << BLOCK_SHIFT
_LOW = BLOCK_UIDS - 1
_DENSE = bytes(range(BLOCK_UIDS))
_HASH = 8


def _little_endian(hashes: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        hashes.byteswap()
    return hashes


def pack(uids: Sequence[int], hashes: Iterable[int]) -> dict[int, bytes]:
    """Return the blocks, by number, of sorted, unique UIDs and their hashes (as many)."""
    packed_hashes = _little_endian(array("Q", hashes)).tobytes()
    blocks: dict[int, bytes] = {}
    start, total = 0, len(uids)
    while start < total:
        number = uids[start] >> BLOCK_SHIFT
        end = bisect_left(uids, number + 1 << BLOCK_SHIFT, start, min(start + BLOCK_UIDS, total))
        offsets = _offsets(uids, start, end)
        blocks[number] = offsets + packed_hashes[start * _HASH : end * _HASH]
        start = end
    return blocks


def _offsets(uids: Sequence[int], start: int, end: int) -> bytes:
    first, last = uids[start] & _LOW, uids[end - 1] & _LOW
    if last - first == end - start - 1:
        return _DENSE[first : last + 1]
    return bytes([uid & _LOW for uid in uids[start:end]])


def uids_of(number: int, packed: bytes) -> list[int]:
    """Return the UIDs of a block, ascending."""
    base = number << BLOCK_SHIFT
    return [base + offset for offset in packed[: len(packed) // (_HASH + 1)]]


def unpack(number: int, packed: bytes) -> tuple[list[int], list[int]]:
    """Return the UIDs of a block, ascending, and their hashes."""
    hashes = array("Q", packed[len(packed) // (_HASH + 1) :])
    return uids_of(number, packed), _little_endian(hashes).tolist()


def merge(number: int, packed: bytes | None, changes: Mapping[int, int | None]) -> bytes:
    """Return block `number` after `changes`, from UID to its new hash or None where it goes; empty when none is left.

    `packed` is the block before, None when there was none.
    """
    kept: dict[int, int | None] = dict(zip(*unpack(number, packed), strict=True)) if packed else {}
    kept.update(changes)
    after = sorted((uid, value) for uid, value in kept.items() if value is not None)
    return pack([uid for uid, _ in after], [value for _, value in after]).get(number, b"")

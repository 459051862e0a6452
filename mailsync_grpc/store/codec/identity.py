"""Whole envelopes from stored segments: the identity made from the key, the rest joined as it is stored.

The names of a folder's envelopes differ only in their last digits, so a page computes the folder's part once and joins
bytes; nothing is parsed. Joined envelopes are framed as entries of a repeated field, ready to be the body of a
ListEnvelopesResponse.
"""

from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from itertools import product

from mailsync_grpc.model.folder import FolderKey
from mailsync_grpc.store.codec.wire import bytes_tag, number_field, varint, varint_tag
from mailsync_grpc.store.values import EnvelopeRow

_NAME, _UID, _UID_VALIDITY, _ENVELOPE_ID = bytes_tag(1), varint_tag(2), varint_tag(3), bytes_tag(4)
_ENTRY = bytes_tag(1)
_BASE32 = b"abcdefghijklmnopqrstuvwxyz234567"
_ALPHABET = _BASE32.ljust(256, b"?")
# base64.b32encode is pure Python; ten bits at a time by table are four times as fast.
_PAIRS = tuple(bytes(pair) for pair in product(_BASE32, repeat=2))
_LOW = 0x3FF
_ID_TEXT = _ENVELOPE_ID + varint(16)


class View(IntEnum):
    """How much of an envelope is wanted. Values are those of `mailsync.v1.EnvelopeView`."""

    FLAGS = 1
    BASIC = 2
    FULL = 3


@lru_cache(maxsize=1_024)
def _folder_parts(folder: FolderKey) -> tuple[bytes, bytes]:
    """Return the name up to the UID and the UIDVALIDITY field, which all envelopes of a folder share."""
    name = f"{folder.name}/envelopes/{folder.uid_validity}.".encode()
    return name, number_field(_UID_VALIDITY, folder.uid_validity)


def _id_text(envelope_id: bytes) -> bytes:
    number = int.from_bytes(envelope_id, "big")
    high, low = number >> 40, number & 0xFF_FFFF_FFFF
    return (
        _PAIRS[high >> 30] + _PAIRS[high >> 20 & _LOW] + _PAIRS[high >> 10 & _LOW] + _PAIRS[high & _LOW]
        + _PAIRS[low >> 30] + _PAIRS[low >> 20 & _LOW] + _PAIRS[low >> 10 & _LOW] + _PAIRS[low & _LOW]
    )  # fmt: skip


def identity(folder: FolderKey, uid: int, envelope_id: bytes) -> bytes:
    """Return fields 1 to 4 of an envelope."""
    prefix, validity = _folder_parts(folder)
    digits = b"%d" % uid
    name = _NAME + varint(len(prefix) + len(digits)) + prefix + digits
    return name + _UID + varint(uid) + validity + _ID_TEXT + _id_text(envelope_id)


def join_envelope(folder: FolderKey, row: EnvelopeRow, view: View = View.FULL) -> bytes:
    """Return one serialized `mailsync.v1.Envelope`."""
    head = identity(folder, row.uid, row.envelope_id) + row.flags
    if view == View.FLAGS:
        return head
    return head + row.basic if view == View.BASIC else head + row.basic + row.detail


def join_envelopes(
    folder: FolderKey, rows: Sequence[EnvelopeRow], view: View, entry: bytes = _ENTRY
) -> bytes:
    """Return serialized envelopes, each as an entry of a repeated field; `entry` is its tag.

    Unless another is given it is field 1, as in ListEnvelopesResponse.
    """
    prefix, validity = _folder_parts(folder)
    # Names of equal length share their head, so it is made once for each number of digits.
    heads = [_NAME + varint(len(prefix) + digits) + prefix for digits in range(11)]
    tail = validity + _ID_TEXT
    ids = id_texts([row.envelope_id for row in rows])
    with_basic, with_detail = view >= View.BASIC, view >= View.FULL
    parts: list[bytes] = []
    for (uid, _, flags, basic, detail), id_text in zip(rows, ids, strict=True):
        digits = b"%d" % uid
        head = heads[len(digits)] + digits + _UID + varint(uid) + tail + id_text + flags
        if with_detail:
            parts += (entry, varint(len(head) + len(basic) + len(detail)), head, basic, detail)
        elif with_basic:
            parts += (entry, varint(len(head) + len(basic)), head, basic)
        else:
            parts += (entry, varint(len(head)), head)
    return b"".join(parts)


def id_texts(ids: Sequence[bytes]) -> list[bytes]:
    """Return the base32 text of each of `ids`.

    All at once: the octets are spread so that each five lie in a lane of eight, one large number each lane of which is
    halved three times until every octet holds five bits, and these are translated to the alphabet.
    """
    octets, spread = b"".join(ids), bytearray(len(ids) * 16)
    for offset in range(5):
        spread[3 + offset :: 8] = octets[offset::5]
    bits = int.from_bytes(spread, "big")
    for high, shift, low in _halvings(len(ids)):
        bits = (bits & high) << shift | bits & low
    text = bits.to_bytes(len(spread), "big").translate(_ALPHABET)
    return [text[start : start + 16] for start in range(0, len(text), 16)]


@lru_cache(maxsize=16)
def _halvings(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return, for `count` ids, the masks and shifts that halve lanes of 40, 20 and 10 bits."""
    lanes = (
        (0xFFFFF00000, 12, 0xFFFFF),
        (0xFFC00 * 0x100000001, 6, 0x3FF * 0x100000001),
        (0x3E0 * 0x1000100010001, 3, 0x1F * 0x1000100010001),
    )
    return tuple(
        (
            int.from_bytes(high.to_bytes(8, "big") * 2 * count, "big"),
            shift,
            int.from_bytes(low.to_bytes(8, "big") * 2 * count, "big"),
        )
        for high, shift, low in lanes
    )

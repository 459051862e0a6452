"""Resume tokens: a position in the event log, bound to a store, an event, a filter and what the caller was shown.

A token of the watch is only right under the filter it was made for, since its stream has passed over what that filter
hid. A token of a list is right for every filter that stays within what was listed (one account, or all of them). The
64-bit check of the event at the position tells a store that was rolled back and written anew from the one the token
saw. Where the accounts that are shown may change, the token says which they were, so that the next stream can tell what
was added and taken away; in a snapshot it says how far that is. Tokens are authenticated (HMAC-SHA256, cut to 128 bits) so
that every other field may be believed.
"""

import base64
import binascii
import hmac
import struct
from hashlib import sha256
from typing import Final, NamedTuple

from mailsync_grpc.errors import (
    FilterMismatchError,
    ResumeTokenInvalidError,
    StoreEpochChangedError,
    VisibleChangedError,
)
from mailsync_grpc.model.ids import AccountNo, Revision
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services.scan import Place
from mailsync_grpc.vault import Vault

Members = frozenset[AccountNo]
"""The accounts that are shown, where not all are."""

_VERSION: Final = 2
# version, store_epoch, revision, check, listed account, filter hash, octets of members
_LAYOUT: Final = struct.Struct(">B16sQQQ16sH")
_MAC_BYTES: Final = 16
_NOT_LISTED, _ALL_LISTED = 0, 0xFFFF_FFFF_FFFF_FFFF
_MAX_MEMBERS: Final = 1_536
"""Octets of a token's members as they are; the whole token stays well under 4 KiB."""
_HASHED: Final = b"#"


class Position(NamedTuple):
    """After `revision`, where an event with this check stands (0 at revision 0)."""

    revision: Revision
    check: int


class Reach(NamedTuple):
    """What a filter lets through, as far as tokens care: its hash, and the ids of its accounts (None: all)."""

    filter_hash: bytes
    accounts: frozenset[str] | None


class Resumed(NamedTuple):
    """What a token says: where to go on, and in a snapshot how far that is; `members` as `pack_members` made them."""

    position: Position
    place: Place | None
    members: bytes


class ResumeTokens:
    """Makes and opens resume tokens of one store."""

    def __init__(self, vault: Vault, epoch: bytes) -> None:
        self._key = vault.subkey("resume-token")
        self._epoch = epoch

    def of_watch(
        self, position: Position, filter_hash: bytes, members: bytes = b"", place: Place | None = None
    ) -> str:
        """Return the token of a stream at `position`, in a snapshot at `place`."""
        return self._seal(position, _NOT_LISTED, filter_hash, members, place)

    def of_list(self, position: Position, account_id: str | None, members: Members | None = None) -> str:
        """Return the token of a list of one account's state, or of all accounts (those of `members`)."""
        listed = _ALL_LISTED if account_id is None else _stand_in(account_id)
        return self._seal(position, listed, bytes(16), pack_members(members), None)

    def open(self, token: str, reach: Reach) -> Resumed:
        """Return what a token says.

        Raises ResumeTokenInvalidError, StoreEpochChangedError, and FilterMismatchError when it was made for another
        filter.
        """
        epoch, listed, filter_hash, resumed = self._unseal(token)
        if epoch != self._epoch:
            raise StoreEpochChangedError(
                "the store was restored or rebuilt since the token was made; list, then watch again"
            )
        if not _covers(listed, filter_hash, reach):
            raise FilterMismatchError(
                "the resume token belongs to another filter; watch with that filter, or list and watch again"
            )
        return resumed

    def _seal(
        self, position: Position, listed: int, filter_hash: bytes, members: bytes, place: Place | None
    ) -> str:
        head = _LAYOUT.pack(_VERSION, self._epoch, *position, listed, filter_hash, len(members))
        body = head + members + (place.pack() if place else b"")
        return base64.urlsafe_b64encode(body + self._mac(body)).decode("ascii").rstrip("=")

    def _unseal(self, token: str) -> tuple[bytes, int, bytes, Resumed]:
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)) or body[0] != _VERSION:
            raise ResumeTokenInvalidError(
                "the resume token was not made by this server; list, then watch again"
            )
        _, epoch, revision, check, listed, filter_hash, octets = _LAYOUT.unpack_from(body)
        members, place = body[_LAYOUT.size :][:octets], body[_LAYOUT.size + octets :]
        position = Position(Revision(revision), check)
        return epoch, listed, filter_hash, Resumed(position, Place.unpack(place) if place else None, members)

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC_BYTES]


def pack_members(members: Members | None) -> bytes:
    """Return what stands for the accounts that are shown: empty for all, their numbers where short, else a hash."""
    if members is None:
        return b""
    numbers = str(UidSet.of(members)).encode() or b"0"
    return numbers if len(numbers) <= _MAX_MEMBERS else _HASHED + sha256(numbers).digest()


def unpack_members(packed: bytes) -> Members | None:
    """Return the accounts of `pack_members`. Raises VisibleChangedError where only their hash was kept."""
    if not packed:
        return None
    if packed.startswith(_HASHED):
        raise VisibleChangedError(
            "the accounts that are shown changed since the token was made; list, then watch again"
        )
    return frozenset(AccountNo(number) for number in UidSet.parse(packed.decode("ascii")) if number)


def _stand_in(account_id: str) -> int:
    """Return 63 bits that stand for an account's id."""
    return int.from_bytes(sha256(account_id.encode()).digest()[:8], "big") >> 1 | 1


def _covers(listed: int, filter_hash: bytes, reach: Reach) -> bool:
    """Whether what the token's reader was told of includes everything that `reach` lets through."""
    if listed == _ALL_LISTED:
        return True
    if listed != _NOT_LISTED:
        return reach.accounts is not None and {_stand_in(each) for each in reach.accounts} <= {listed}
    return hmac.compare_digest(filter_hash, reach.filter_hash)

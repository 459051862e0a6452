"""Resume tokens: a position in the event log, bound to a store, an event and a filter.

A token of the watch is only right under the filter it was made for, since its stream has passed over what that filter
hid. A token of a list is right for every filter that stays within what was listed (one account, or all of them). The
64-bit check of the event at the position tells a store that was rolled back and written anew from the one the token
saw. Tokens are authenticated (HMAC-SHA256, cut to 128 bits) so that every other field may be believed.
"""

import base64
import binascii
import hmac
import struct
from typing import NamedTuple

from mailsync_grpc.errors import FilterMismatchError, ResumeTokenInvalidError, StoreEpochChangedError
from mailsync_grpc.model.ids import AccountNo, Revision
from mailsync_grpc.vault import Vault

_VERSION = 1
_LAYOUT = struct.Struct(">B16sQQI16s")  # version, store_epoch, revision, check, listed account, filter hash
_MAC_BYTES = 16
_ANY_ACCOUNT = 0xFFFFFFFF  # above every interned number that can be reached


class Position(NamedTuple):
    """After `revision`, where an event with this check stands (0 at revision 0)."""

    revision: Revision
    check: int


class Reach(NamedTuple):
    """What a filter lets through, as far as tokens care: its hash, and its accounts (None: all)."""

    filter_hash: bytes
    accounts: frozenset[AccountNo] | None


class ResumeTokens:
    """Makes and opens resume tokens of one store."""

    def __init__(self, vault: Vault, epoch: bytes) -> None:
        self._key = vault.subkey("resume-token")
        self._epoch = epoch

    def of_watch(self, position: Position, filter_hash: bytes) -> str:
        """Return the token of a stream at `position`."""
        return self._seal(position, 0, filter_hash)

    def of_list(self, position: Position, account: AccountNo | None) -> str:
        """Return the token of a list of one account's state, or of all accounts."""
        return self._seal(position, _ANY_ACCOUNT if account is None else account, bytes(16))

    def open(self, token: str, reach: Reach) -> Position:
        """Return a token's position.

        Raises ResumeTokenInvalidError, StoreEpochChangedError, and FilterMismatchError when it was made for another
        filter.
        """
        epoch, position, listed, filter_hash = self._unseal(token)
        if epoch != self._epoch:
            raise StoreEpochChangedError(
                "the store was restored or rebuilt since the token was made; list, then watch again"
            )
        if not _covers(listed, filter_hash, reach):
            raise FilterMismatchError(
                "the resume token belongs to another filter; watch with that filter, or list and watch again"
            )
        return position

    def _seal(self, position: Position, listed: int, filter_hash: bytes) -> str:
        body = _LAYOUT.pack(_VERSION, self._epoch, position.revision, position.check, listed, filter_hash)
        return base64.urlsafe_b64encode(body + self._mac(body)).decode("ascii").rstrip("=")

    def _unseal(self, token: str) -> tuple[bytes, Position, int, bytes]:
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        body, mac = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
        if not hmac.compare_digest(mac, self._mac(body)) or body[0] != _VERSION:
            raise ResumeTokenInvalidError(
                "the resume token was not made by this server; list, then watch again"
            )
        _, epoch, revision, check, listed, filter_hash = _LAYOUT.unpack(body)
        return epoch, Position(Revision(revision), check), listed, filter_hash

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC_BYTES]


def _covers(listed: int, filter_hash: bytes, reach: Reach) -> bool:
    """Whether what the token's reader was told of includes everything that `reach` lets through."""
    if listed == _ANY_ACCOUNT:
        return True
    if listed:
        return reach.accounts is not None and reach.accounts <= {AccountNo(listed)}
    return hmac.compare_digest(filter_hash, reach.filter_hash)

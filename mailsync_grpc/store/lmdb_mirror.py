"""Envelopes and flags of one mirror of the LMDB engine, as one read transaction sees them.

A row and its flags lie apart: the row holds what never changes, the block of its UID the flag hash, the folder's table
the flags of that hash. Joining them is two dictionary look-ups a row, and a B-tree look-up for each 128.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import accumulate, islice

import lmdb

from mailsync_grpc.model.changes import KnownEnvelope
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import MirrorNo
from mailsync_grpc.model.ids import AccountNo, Revision
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store import flagblocks, keys
from mailsync_grpc.store.codec.envelope import (
    decode_flags,
    decode_internal_date,
    decode_partial,
    decode_summary,
)
from mailsync_grpc.store.databases import Databases
from mailsync_grpc.store.values import BLOCK_SHIFT, EnvelopePage, EnvelopeRow, FlagBlock, Summary

_BEYOND = b"\xff" * 9
"""Greater than whatever follows a mirror's number in a key."""
_UID = keys.pair.size
_RUN = 256
"""Rows read at a time; more than a page takes would only be dropped."""
# A page makes a thousand of them, and a named tuple's own constructor takes four times as long.
_new_row = partial(tuple.__new__, EnvelopeRow)


class MirrorReader:
    """Reads one mirror within a transaction; to the reader a mirror that is not its folder's (any more) is empty."""

    def __init__(
        self, txn: "lmdb.Transaction[bytes]", dbs: Databases, account: AccountNo, mirror: MirrorNo
    ) -> None:
        self._txn, self._dbs = txn, dbs
        self._account, self._mirror = account, mirror
        self._prefix = keys.pair.pack(account, mirror)
        self._is_live = (
            keys.is_current(txn.get(self._prefix, db=dbs.mirrors))
            and txn.get(keys.number.pack(account), db=dbs.accounts) is not None
        )
        self._segments: dict[int, bytes] = {}

    def page(self, after_uid: int | None, limit: int, max_bytes: int, *, newest_first: bool) -> EnvelopePage:
        """As `Store.page`."""
        rows: list[EnvelopeRow] = []
        scan = self._scan(self._dbs.envelopes, after_uid, backward=newest_first)
        octets = 0
        while octets <= max_bytes and (run := list(islice(scan, min(_RUN, limit + 1 - len(rows))))):
            found = self._rows(run)
            octets += sum([len(flags) + len(basic) + len(detail) for _, _, flags, basic, detail in found])
            rows += found
        count = limit if octets <= max_bytes else min(_fitting(rows, max_bytes), limit)
        bounds = keys.LogBounds.unpack(self._txn.get(keys.LOG_KEY, db=self._dbs.meta))
        return EnvelopePage(rows[:count], count < len(rows), Revision(bounds.head))

    def _rows(self, run: list[tuple[bytes, bytes]]) -> list[EnvelopeRow]:
        """Return rows of neighbouring keys with their flags, column by column, which C-speed loops do."""
        packed_keys, values = zip(*run, strict=True)
        uids = [uid for _, _, uid in keys.triple.iter_unpack(b"".join(packed_keys))]
        ids, details = zip(*map(keys.row_head, values), strict=True)
        flags: dict[int, bytes] = {}
        for number in {uid >> BLOCK_SHIFT for uid in uids}:
            flags.update(self._flags_of_block(number))
        basic = [value[keys.ROW_HEAD : detail] for value, detail in zip(values, details, strict=True)]
        detail = [value[start:] for value, start in zip(values, details, strict=True)]
        columns = zip(uids, ids, map(flags.__getitem__, uids), basic, detail, strict=True)
        return list(map(_new_row, columns))

    def _flags_of_block(self, number: int) -> Iterator[tuple[int, bytes]]:
        packed = self._txn.get(
            keys.triple.pack(self._account, self._mirror, number), b"", db=self._dbs.blocks
        )
        uids, hashes = flagblocks.unpack(number, packed)
        for flag_hash in set(hashes) - self._segments.keys():
            key = keys.flags_key(self._account, self._mirror, flag_hash)
            self._segments[flag_hash] = self._txn.get(key, b"", db=self._dbs.flags)
        return zip(uids, map(self._segments.__getitem__, hashes), strict=True)

    def _scan(
        self, db: "lmdb._Database", after: int | None, *, backward: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the mirror's rows of `db` beyond `after`, in either direction."""
        if not self._is_live:
            return
        with self._txn.cursor(db) as cursor:
            if not (self._to_last_before(cursor, after) if backward else self._to_first_after(cursor, after)):
                return
            prefix = self._prefix
            for item in cursor.iterprev() if backward else cursor.iternext():
                if not item[0].startswith(prefix):
                    return
                yield item

    def _to_first_after(self, cursor: "lmdb.Cursor[bytes]", after: int | None) -> bool:
        start = self._prefix + keys.number.pack(after or 0)
        if not cursor.set_range(start):
            return False
        return cursor.next() if after is not None and cursor.key() == start else True

    def _to_last_before(self, cursor: "lmdb.Cursor[bytes]", after: int | None) -> bool:
        end = self._prefix + (_BEYOND if after is None else keys.number.pack(after))
        return cursor.prev() if cursor.set_range(end) else cursor.last()

    def row(self, uid: int) -> EnvelopeRow | None:
        """Return one envelope."""
        value = self._value(uid)
        key = keys.triple.pack(self._account, self._mirror, uid)
        return self._rows([(key, value)])[0] if value is not None else None

    def _value(self, uid: int) -> bytes | None:
        if not self._is_live:
            return None
        return self._txn.get(keys.triple.pack(self._account, self._mirror, uid), db=self._dbs.envelopes)

    def known(self, uids: Sequence[int]) -> list[KnownEnvelope]:
        """Return what is stored of those of `uids` that are stored, in their order."""
        found = []
        for uid in uids:
            value = self._value(uid)
            if value is not None:
                envelope_id, detail = keys.row_head(value)
                summary = decode_summary(value[keys.ROW_HEAD : detail])
                found.append(KnownEnvelope(uid, envelope_id, *summary))
        return found

    def outside(self) -> UidSet:
        """Return the UIDs that the window leaves out."""
        return (
            keys.unpack_uids(self._txn.get(self._prefix, db=self._dbs.outside)) if self._is_live else UidSet()
        )

    def summaries(self, after_uid: int, limit: int) -> list[Summary]:
        """As `Store.summaries`."""
        found = []
        for key, value in islice(self._scan(self._dbs.envelopes, after_uid, backward=False), limit):
            _, detail = keys.row_head(value)
            date = decode_internal_date(value[keys.ROW_HEAD : detail])
            found.append(Summary(keys.number.unpack_from(key, _UID)[0], date, decode_partial(value[detail:])))
        return found

    def blocks(self, first: int, limit: int) -> list[FlagBlock]:
        """Return up to `limit` flag blocks from number `first` up."""
        after = first - 1 if first else None
        rows = islice(self._scan(self._dbs.blocks, after, backward=False), limit)
        return [FlagBlock(keys.number.unpack_from(key, _UID)[0], packed) for key, packed in rows]

    def newest_uids(self, count: int) -> list[int]:
        """Return the `count` highest stored UIDs, ascending."""
        newest: list[int] = []
        for key, packed in self._scan(self._dbs.blocks, None, backward=True):
            if len(newest) >= count:
                break
            newest = flagblocks.uids_of(keys.number.unpack_from(key, _UID)[0], packed) + newest
        return newest[max(len(newest) - count, 0) :]

    def table(self) -> dict[int, Flags]:
        """Return the table from flag hash to flags."""
        rows = self._scan(self._dbs.flags, None, backward=False)
        return {keys.wide.unpack_from(key, _UID)[0]: decode_flags(segment) for key, segment in rows}


def _fitting(rows: list[EnvelopeRow], max_bytes: int) -> int:
    """Return how many of `rows` have at most `max_bytes` together, the first in any case."""
    return max(bisect_right(list(accumulate(row.octets for row in rows)), max_bytes), 1)

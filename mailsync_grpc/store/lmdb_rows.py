"""Envelopes and flags of a mirror in LMDB: what a batch stores, changes and drops of them.

Keys and values are made before the write lock (`PutRows.of`); under it they are only put. Flag blocks are the one
thing that must be read to be written, so the changes of a whole batch are gathered and each block is merged once.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import lmdb

from mailsync_grpc.errors import FolderNotFoundError
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import FolderKey
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store import flagblocks, keys
from mailsync_grpc.store.base import ConflictError
from mailsync_grpc.store.databases import Databases
from mailsync_grpc.store.prepare import PreparedRow
from mailsync_grpc.store.values import BLOCK_SHIFT


class PutRows(NamedTuple):
    """Envelopes to be stored in one mirror, ready to be put: rows and places sorted by key."""

    folder: FolderKey
    rows: list[tuple[bytes, bytes]]
    places: list[tuple[bytes, bytes]]
    hashes: dict[int, int]
    table: dict[int, bytes]

    @classmethod
    def of(cls, folder: FolderKey, rows: Iterable[PreparedRow]) -> "PutRows":
        """Make keys and values; of two rows with one UID the later stays."""
        account, mirror = folder.account.no, folder.mirror
        by_uid = {prepared.row.uid: prepared for prepared in rows}
        uids = sorted(by_uid)
        ordered = [by_uid[uid].row for uid in uids]
        return cls(
            folder,
            [(keys.triple.pack(account, mirror, row.uid), keys.pack_row(row)) for row in ordered],
            sorted(
                (keys.id_key(account, row.envelope_id), keys.pair.pack(mirror, row.uid)) for row in ordered
            ),
            {uid: by_uid[uid].flag_hash for uid in uids},
            {prepared.flag_hash: prepared.row.flags for prepared in by_uid.values()},
        )


class MoveRow(NamedTuple):
    """An envelope to be taken from `uid` of `source` and stored as `new`, under the id that it has."""

    source: FolderKey
    uid: int
    envelope_id: bytes
    new: PutRows


@dataclass(slots=True)
class RowWriter:
    """Writes rows of one account within a transaction; `flush` must be called before it is committed."""

    txn: "lmdb.Transaction[bytes]"
    dbs: Databases
    account: AccountNo
    edits: dict[bytes, dict[int, int | None]] = field(default_factory=lambda: defaultdict(dict))
    checked: set[FolderKey] = field(default_factory=set)

    def require(self, folder: FolderKey) -> None:
        """Raise FolderNotFoundError or ConflictError unless the folder has this mirror."""
        if folder in self.checked:
            return
        entry = self.txn.get(keys.pair.pack(self.account, folder.mirror), db=self.dbs.mirrors)
        if not keys.is_current(entry):
            if self.txn.get(keys.pair.pack(self.account, folder.no), db=self.dbs.folders) is None:
                raise FolderNotFoundError(folder.name)
            raise ConflictError(f"{folder.name} has another mirror by now")
        self.checked.add(folder)

    def put(self, new: PutRows) -> None:
        """Store envelopes; one that is there already is replaced."""
        self.require(new.folder)
        with self.txn.cursor(self.dbs.envelopes) as cursor:
            consumed, added = cursor.putmulti(new.rows, overwrite=False)
        if added < consumed:
            self._replace(new)
        with self.txn.cursor(self.dbs.places) as cursor:
            cursor.putmulti(new.places)
        for uid, flag_hash in new.hashes.items():
            self._edit(new.folder, uid, flag_hash)
        for flag_hash, segment in new.table.items():
            self._put_table(new.folder, flag_hash, segment)

    def _replace(self, new: PutRows) -> None:
        for key, value in new.rows:
            before = self.txn.replace(key, value, db=self.dbs.envelopes)
            if before is not None and before != value:
                self._drop_place(keys.row_head(before)[0], key[keys.PREFIX :])

    def _put_table(self, folder: FolderKey, flag_hash: int, segment: bytes) -> None:
        key = keys.flags_key(self.account, folder.mirror, flag_hash)
        self.txn.put(key, segment, overwrite=False, db=self.dbs.flags)

    def _drop_place(self, envelope_id: bytes, place: bytes) -> None:
        # The id may be somewhere else by now, then it stays.
        key = keys.id_key(self.account, envelope_id)
        if self.txn.get(key, db=self.dbs.places) == place:
            self.txn.delete(key, db=self.dbs.places)

    def update(self, folder: FolderKey, prepared: PreparedRow) -> None:
        """Give a stored envelope other metadata; its id and its flags stay."""
        self.require(folder)
        row = prepared.row
        key = self._require_row(folder, row.uid, row.envelope_id)
        if self._flag_hash(folder, row.uid) != prepared.flag_hash:
            raise ConflictError(f"UID {row.uid} of {folder.name} has other flags by now")
        self.txn.put(key, keys.pack_row(row), db=self.dbs.envelopes)

    def move(self, move: MoveRow) -> None:
        """Take an envelope out of one folder and store it in another under the id that it has."""
        self.require(move.source)
        self._require_row(move.source, move.uid, move.envelope_id)
        self.drop(move.source, UidSet.of([move.uid]))
        self.put(move.new)

    def _require_row(self, folder: FolderKey, uid: int, envelope_id: bytes) -> bytes:
        """Return the key of a stored envelope. Raises ConflictError when another one, or none, is there."""
        key = keys.triple.pack(self.account, folder.mirror, uid)
        value = self.txn.get(key, db=self.dbs.envelopes)
        if value is None or keys.row_head(value)[0] != envelope_id:
            raise ConflictError(f"UID {uid} of {folder.name} is not stored, or is another message")
        return key

    def _flag_hash(self, folder: FolderKey, uid: int) -> int | None:
        """Return the flag hash of a stored envelope as it is in this batch."""
        number = uid >> BLOCK_SHIFT
        block = keys.triple.pack(self.account, folder.mirror, number)
        edits = self.edits.get(block, {})
        if uid in edits:
            return edits[uid]
        uids, hashes = flagblocks.unpack(number, self.txn.get(block, b"", db=self.dbs.blocks))
        return dict(zip(uids, hashes, strict=True)).get(uid)

    def put_flags(self, folder: FolderKey, uid: int, after: Flags, segment: bytes) -> None:
        """Store the flags of a stored envelope."""
        self.require(folder)
        with self.txn.cursor(self.dbs.envelopes) as cursor:
            if not cursor.set_key(keys.triple.pack(self.account, folder.mirror, uid)):
                raise ConflictError(f"UID {uid} of {folder.name} is not stored")
        self._edit(folder, uid, after.hash)
        self._put_table(folder, after.hash, segment)

    def drop(self, folder: FolderKey, uids: UidSet) -> None:
        """Delete those of `uids` that are stored."""
        self.require(folder)
        for first, last in uids.ranges:
            for uid in self._drop_range(folder, first, last):
                self._edit(folder, uid, None)

    def _drop_range(self, folder: FolderKey, first: int, last: int) -> list[int]:
        dropped = []
        end = keys.triple.pack(self.account, folder.mirror, last)
        with self.txn.cursor(self.dbs.envelopes) as cursor:
            found = cursor.set_range(keys.triple.pack(self.account, folder.mirror, first))
            while found and (key := cursor.key()) <= end:
                self._drop_place(keys.row_head(cursor.value())[0], key[keys.PREFIX :])
                dropped.append(keys.triple.unpack(key)[2])
                cursor.delete()
                found = bool(cursor.key())
        return dropped

    def _edit(self, folder: FolderKey, uid: int, flag_hash: int | None) -> None:
        block = keys.triple.pack(self.account, folder.mirror, uid >> BLOCK_SHIFT)
        self.edits[block][uid] = flag_hash

    def flush(self) -> None:
        """Merge the gathered changes into the flag blocks."""
        for key, changes in sorted(self.edits.items()):
            number = keys.triple.unpack(key)[2]
            merged = flagblocks.merge(number, self.txn.get(key, db=self.dbs.blocks), changes)
            if merged:
                self.txn.put(key, merged, db=self.dbs.blocks)
            else:
                self.txn.delete(key, db=self.dbs.blocks)
        self.edits.clear()

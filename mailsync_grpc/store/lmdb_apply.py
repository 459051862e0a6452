"""A prepared batch applied to LMDB, inside a transaction that the writer owns.

Nothing here is computed that could have been computed before the write lock: versions are compared, rows put, blocks
merged, events stamped with the revisions they get. Any error leaves the transaction to be aborted by the writer.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

import xxhash

from mailsync_grpc.errors import AccountExistsError, AccountNotFoundError, FolderNotFoundError
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.changes import (
    AccountChanged,
    AccountRemoved,
    Backfilled,
    EnvelopeAdded,
    EnvelopeMoved,
    EnvelopesEvicted,
    EnvelopesRemoved,
    EnvelopeUpdated,
    FlagsChanged,
    FolderChanged,
    FolderRemoved,
    FolderReset,
    FolderSynced,
    Reported,
    SyncRunChanged,
)
from mailsync_grpc.model.folder import Folder, FolderKey, FolderProgress
from mailsync_grpc.model.ids import FolderNo, Revision, account_name
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.store import keys
from mailsync_grpc.store.base import Applied
from mailsync_grpc.store.codec.event import commit_time_field, stamp
from mailsync_grpc.store.codec.records import INTENTS, PROGRESS, RUNS
from mailsync_grpc.store.lmdb_access import advance_access
from mailsync_grpc.store.lmdb_answers import put_answer, remove_answers
from mailsync_grpc.store.lmdb_intents import count_put, put_intent
from mailsync_grpc.store.lmdb_rows import MoveRow, PutRows, RowWriter
from mailsync_grpc.store.lmdb_runs import put_run
from mailsync_grpc.store.prepare import PreparedBatch, PreparedChange, check_version
from mailsync_grpc.store.values import LogRecord, SealedTokens
from mailsync_grpc.store.writer import WriteUnit

_NO_PROGRESS = PROGRESS.encode(FolderProgress())


Step = PutRows | MoveRow | PreparedChange


class CompiledBatch(NamedTuple):
    """A batch as LMDB will put it: neighbouring envelopes of a folder as one step, records encoded."""

    prepared: PreparedBatch
    steps: list[Step]
    progress: list[tuple[FolderKey, bytes]]
    outside: list[tuple[FolderKey, bytes]]
    runs: list[tuple[SyncRun, bytes]]
    intents: list[tuple[Intent, bytes]]

    @property
    def octets(self) -> int:
        """Roughly what the batch adds to the files."""
        rows = sum(len(value) for step in self.steps if isinstance(step, PutRows) for _, value in step.rows)
        outside = sum(len(record) for _, record in (*self.outside, *self.intents))
        return rows + outside + sum(len(change.event) for change in self.prepared.changes)


def compile_batch(prepared: PreparedBatch) -> CompiledBatch:
    """Make the batch's keys and values."""
    steps: list[Step] = []
    for folder, changes in groupby(prepared.changes, key=_rows_folder):
        if folder is None:
            steps.extend(_step(change) for change in changes)
        else:
            steps.append(PutRows.of(folder, (row for change in changes for row in change.rows)))
    batch = prepared.batch
    return CompiledBatch(
        prepared,
        steps,
        [(folder, PROGRESS.encode(record)) for folder, record in batch.progress],
        [(folder, keys.pack_uids(uids)) for folder, uids in batch.outside],
        [(run, RUNS.encode(run)) for run in batch.run_progress],
        [(intent, INTENTS.encode(intent)) for intent in batch.intents],
    )


def _step(prepared: PreparedChange) -> Step:
    change = prepared.change
    if not isinstance(change, EnvelopeMoved):
        return prepared
    new = PutRows.of(change.folder, prepared.rows)
    return MoveRow(change.source, change.source_uid, change.message.envelope_id, new)


def _rows_folder(prepared: PreparedChange) -> FolderKey | None:
    change = prepared.change
    return change.folder if isinstance(change, EnvelopeAdded | Backfilled) else None


def apply_batch(unit: WriteUnit, compiled: CompiledBatch) -> Applied:
    """Make every change of the batch and append its events. Raises as `Store.apply`."""
    batch = compiled.prepared.batch
    _require_account(unit, compiled.prepared)
    _Application(unit, batch.account).run(compiled)
    if batch.answer:
        put_answer(unit, batch.account.no, batch.answer)
    first = Revision(unit.bounds.head + 1)
    append_events(unit, batch.account, compiled.prepared.changes)
    return Applied(first, Revision(unit.bounds.head))


def _require_account(unit: WriteUnit, prepared: PreparedBatch) -> None:
    no, account_id = prepared.batch.account
    if unit.get(keys.number.pack(no), unit.dbs.accounts) is not None:
        return
    being_deleted = unit.get(keys.pair.pack(no, keys.WHOLE_ACCOUNT), unit.dbs.tombs) is not None
    if not prepared.creates or being_deleted:
        raise AccountNotFoundError(account_name(account_id))
    if unit.get(account_id.encode(), unit.dbs.account_ids) is not None:
        raise AccountExistsError(account_name(account_id))


def append_events(unit: WriteUnit, account: AccountKey, changes: Iterable[PreparedChange]) -> None:
    """Append an event for each change. Commit times never go back."""
    head, floor, floor_check, octets, last_time = unit.bounds
    time = max(last_time, unit.now)
    stamped = commit_time_field(time)
    items = []
    for _, kind, folder, other_folder, event, *_ in changes:
        head += 1
        whole = stamp(head, stamped, event)
        check = xxhash.xxh3_64_intdigest(whole)
        record = LogRecord(Revision(head), time, kind, account.no, folder, other_folder, check, whole)
        items.append((keys.wide.pack(head), keys.pack_log(record)))
        octets += len(whole)
    with unit.txn.cursor(unit.dbs.log) as cursor:
        cursor.putmulti(items, append=True)
    unit.bounds = keys.LogBounds(head, floor, floor_check, octets, time)


class _Application:
    """One batch on its way into the transaction."""

    def __init__(self, unit: WriteUnit, account: AccountKey) -> None:
        self._unit, self._dbs, self._account = unit, unit.dbs, account
        self._rows = RowWriter(unit.txn, unit.dbs, account.no)

    def run(self, compiled: CompiledBatch) -> None:
        for step in compiled.steps:
            if isinstance(step, PutRows):
                self._rows.put(step)
            elif isinstance(step, MoveRow):
                self._rows.move(step)
            else:
                self._change(step)
        self._rows.flush()
        for folder, record in compiled.progress:
            self._put_progress(folder, record)
        for folder, record in compiled.outside:
            self._put_outside(folder, record)
        for run, record in compiled.runs:
            put_run(self._unit, self._account.no, run, record)
        if tokens := compiled.prepared.batch.tokens:
            self._put_tokens(tokens)
        for intent, record in compiled.intents:
            put_intent(self._unit, intent, record)

    def _change(self, prepared: PreparedChange) -> None:
        match prepared.change:
            case FlagsChanged(folder, uid, _, _, after):
                self._rows.put_flags(folder, uid, after, prepared.flags)
            case EnvelopesRemoved(folder, uids) | EnvelopesEvicted(folder, uids):
                self._rows.drop(folder, uids)
            case EnvelopeUpdated(folder):
                self._rows.update(folder, prepared.rows[0])
            case Reported(folder):
                self._rows.require(folder)
            case _:
                self._change_record(prepared)

    def _change_record(self, prepared: PreparedChange) -> None:
        match prepared.change:
            case FolderSynced(folder):
                self._rows.require(folder)
                self._drop_mirrors(folder.no, keep=folder.mirror)
            case FolderChanged(folder):
                self._put_folder(folder, prepared.record)
            case FolderReset(folder):
                self._put_folder(folder, prepared.record, keeps_former=True)
            case FolderRemoved(folder):
                self._drop_folder(folder)
            case AccountChanged(account):
                self._put_account(account.version, prepared.record)
            case AccountRemoved():
                self._drop_account()
            case SyncRunChanged(run):
                put_run(self._unit, self._account.no, run, prepared.record)

    def _put_progress(self, folder: FolderKey, record: bytes) -> None:
        # What was seen of a mirror that was replaced meanwhile says nothing of the one that is there now.
        self._rows.require(folder)
        self._unit.put(keys.pair.pack(self._account.no, folder.no), record, self._dbs.progress)

    def _put_outside(self, folder: FolderKey, record: bytes) -> None:
        self._rows.require(folder)
        key = keys.pair.pack(self._account.no, folder.mirror)
        if record:
            self._unit.put(key, record, self._dbs.outside)
        else:
            self._unit.delete(key, self._dbs.outside)

    def _put_tokens(self, tokens: SealedTokens) -> None:
        key = keys.number.pack(self._account.no)
        stored = self._unit.get(key, self._dbs.tokens)
        self._next_version(stored, tokens.version, f"the login of {account_name(self._account.id)}")
        self._unit.put(key, keys.pack_tokens(tokens), self._dbs.tokens)

    def _next_version(self, stored: bytes | None, given: int, name: str) -> None:
        head = keys.record_head(stored)
        check_version(head.version if head else 0, given, name)

    def _put_account(self, version: int, record: bytes) -> None:
        advance_access(self._unit)
        key = keys.number.pack(self._account.no)
        self._next_version(self._unit.get(key, self._dbs.accounts), version, account_name(self._account.id))
        self._unit.put(key, keys.pack_record(version, 0, record), self._dbs.accounts)
        self._unit.put(self._account.id.encode(), key, self._dbs.account_ids)

    def _drop_account(self) -> None:
        advance_access(self._unit)
        # From here on nothing of the account can be read; `purge` deletes the rows, beginning with this tomb.
        self._unit.delete(keys.number.pack(self._account.no), self._dbs.accounts)
        self._unit.delete(self._account.id.encode(), self._dbs.account_ids)
        self._unit.delete(keys.number.pack(self._account.no), self._dbs.tokens)
        erasing = keys.Erasing(self._unit.bounds.floor + 1, self._unit.bounds.head + 1)
        tomb = keys.pair.pack(self._account.no, keys.WHOLE_ACCOUNT)
        self._unit.put(tomb, erasing.pack(), self._dbs.tombs)
        remove_answers(self._unit, self._account.no)
        count_put(self._unit)

    def _put_folder(self, folder: Folder, record: bytes, *, keeps_former: bool = False) -> None:
        key, account = keys.pair.pack(self._account.no, folder.no), self._account.no
        stored = self._unit.get(key, self._dbs.folders)
        self._next_version(stored, folder.version, folder.name)
        before = keys.record_head(stored)
        if before is None or before.mirror != folder.mirror:
            if before is not None and keeps_former:
                self._put_mirror(before.mirror, folder.no, former=True)
                self._rows.checked.clear()
            elif before is not None:
                self._drop_mirrors(folder.no)
            self._put_mirror(folder.mirror, folder.no)
            self._unit.put(key, _NO_PROGRESS, self._dbs.progress)
        self._unit.put(key, keys.pack_record(folder.version, folder.mirror, record), self._dbs.folders)
        self._unit.put(keys.id_key(account, folder.id), keys.number.pack(folder.no), self._dbs.folder_ids)

    def _drop_folder(self, folder: Folder) -> None:
        key = keys.pair.pack(self._account.no, folder.no)
        before = keys.record_head(self._unit.get(key, self._dbs.folders))
        if before is None:
            raise FolderNotFoundError(folder.name)
        self._drop_mirrors(folder.no)
        self._unit.delete(key, self._dbs.folders)
        self._unit.delete(key, self._dbs.progress)
        self._unit.delete(keys.id_key(self._account.no, folder.id), self._dbs.folder_ids)

    def _put_mirror(self, mirror: int, folder: FolderNo, *, former: bool = False) -> None:
        entry = keys.pack_mirror(folder, former=former)
        self._unit.put(keys.pair.pack(self._account.no, mirror), entry, self._dbs.mirrors)

    def _drop_mirrors(self, folder: FolderNo, keep: int = 0) -> None:
        """Drop the mirrors of a folder, its own and former ones, but for one."""
        for key in list(self._unit.keys_with(keys.number.pack(self._account.no), self._dbs.mirrors)):
            mirror = keys.pair.unpack(key)[1]
            if mirror != keep and keys.mirror_folder(self._unit.get(key, self._dbs.mirrors) or b"") == folder:
                self._drop_mirror(mirror)

    def _drop_mirror(self, mirror: int) -> None:
        # Without its entry here no row of the mirror can be read or written; `purge` deletes them.
        key = keys.pair.pack(self._account.no, mirror)
        self._unit.delete(key, self._dbs.mirrors)
        self._unit.put(key, b"", self._dbs.tombs)
        self._rows.checked.clear()

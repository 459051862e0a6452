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
    EnvelopesRemoved,
    FlagsChanged,
    FolderChanged,
    FolderRemoved,
    FolderReset,
    FolderSynced,
    SyncRunChanged,
)
from mailsync_grpc.model.folder import Folder, FolderKey, FolderProgress
from mailsync_grpc.model.ids import FolderNo, Revision, account_name
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.store import keys
from mailsync_grpc.store.base import KEPT_RUNS, Applied, LogRecord
from mailsync_grpc.store.codec.event import commit_time_field, stamp
from mailsync_grpc.store.codec.records import PROGRESS, RUNS
from mailsync_grpc.store.lmdb_answers import put_answer, remove_answers
from mailsync_grpc.store.lmdb_rows import PutRows, RowWriter
from mailsync_grpc.store.prepare import PreparedBatch, PreparedChange, check_version
from mailsync_grpc.store.writer import WriteUnit

_NO_PROGRESS = PROGRESS.encode(FolderProgress())


class CompiledBatch(NamedTuple):
    """A batch as LMDB will put it: neighbouring envelopes of a folder as one step, records encoded."""

    prepared: PreparedBatch
    steps: list[PutRows | PreparedChange]
    progress: list[tuple[FolderKey, bytes]]
    runs: list[tuple[SyncRun, bytes]]

    @property
    def octets(self) -> int:
        """Roughly what the batch adds to the files."""
        rows = sum(len(value) for step in self.steps if isinstance(step, PutRows) for _, value in step.rows)
        return rows + sum(len(change.event) for change in self.prepared.changes)


def compile_batch(prepared: PreparedBatch) -> CompiledBatch:
    """Make the batch's keys and values."""
    steps: list[PutRows | PreparedChange] = []
    for folder, changes in groupby(prepared.changes, key=_rows_folder):
        if folder is None:
            steps.extend(changes)
        else:
            steps.append(PutRows.of(folder, (row for change in changes for row in change.rows)))
    progress = [(folder, PROGRESS.encode(record)) for folder, record in prepared.batch.progress]
    return CompiledBatch(
        prepared, steps, progress, [(run, RUNS.encode(run)) for run in prepared.batch.run_progress]
    )


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
    for _, kind, folder, event, *_ in changes:
        head += 1
        whole = stamp(head, stamped, event)
        check = xxhash.xxh3_64_intdigest(whole)
        record = LogRecord(Revision(head), time, kind, account.no, folder, FolderNo(0), check, whole)
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
            else:
                self._change(step)
        self._rows.flush()
        for folder, record in compiled.progress:
            self._put_progress(folder, record)
        for run, record in compiled.runs:
            self._put_run(run, record)

    def _change(self, prepared: PreparedChange) -> None:
        match prepared.change:
            case FlagsChanged(folder, uid, _, _, after):
                self._rows.put_flags(folder, uid, after, prepared.flags)
            case EnvelopesRemoved(folder, uids):
                self._rows.drop(folder, uids)
            case FolderSynced(folder):
                self._rows.require(folder)
            case FolderChanged(folder) | FolderReset(folder):
                self._put_folder(folder, prepared.record)
            case FolderRemoved(folder):
                self._drop_folder(folder)
            case AccountChanged(account):
                self._put_account(account.version, prepared.record)
            case AccountRemoved():
                self._drop_account()
            case SyncRunChanged(run):
                self._put_run(run, prepared.record)

    def _put_progress(self, folder: FolderKey, record: bytes) -> None:
        # What was seen of a mirror that was replaced meanwhile says nothing of the one that is there now.
        self._rows.require(folder)
        self._unit.put(keys.pair.pack(self._account.no, folder.no), record, self._dbs.progress)

    def _next_version(self, stored: bytes | None, given: int, name: str) -> None:
        head = keys.record_head(stored)
        check_version(head.version if head else 0, given, name)

    def _put_account(self, version: int, record: bytes) -> None:
        key = keys.number.pack(self._account.no)
        self._next_version(self._unit.get(key, self._dbs.accounts), version, account_name(self._account.id))
        self._unit.put(key, keys.pack_record(version, 0, record), self._dbs.accounts)
        self._unit.put(self._account.id.encode(), key, self._dbs.account_ids)

    def _drop_account(self) -> None:
        # From here on nothing of the account can be read; `purge` deletes the rows, beginning with this tomb.
        self._unit.delete(keys.number.pack(self._account.no), self._dbs.accounts)
        self._unit.delete(self._account.id.encode(), self._dbs.account_ids)
        erasing = keys.Erasing(self._unit.bounds.floor + 1, self._unit.bounds.head + 1)
        tomb = keys.pair.pack(self._account.no, keys.WHOLE_ACCOUNT)
        self._unit.put(tomb, erasing.pack(), self._dbs.tombs)
        remove_answers(self._unit, self._account.no)

    def _put_folder(self, folder: Folder, record: bytes) -> None:
        key, account = keys.pair.pack(self._account.no, folder.no), self._account.no
        stored = self._unit.get(key, self._dbs.folders)
        self._next_version(stored, folder.version, folder.name)
        before = keys.record_head(stored)
        if before is None or before.mirror != folder.mirror:
            if before is not None:
                self._drop_mirror(before.mirror)
            self._unit.put(
                keys.pair.pack(account, folder.mirror), keys.number.pack(folder.no), self._dbs.mirrors
            )
            self._unit.put(key, _NO_PROGRESS, self._dbs.progress)
        self._unit.put(key, keys.pack_record(folder.version, folder.mirror, record), self._dbs.folders)
        self._unit.put(keys.id_key(account, folder.id), keys.number.pack(folder.no), self._dbs.folder_ids)

    def _drop_folder(self, folder: Folder) -> None:
        key = keys.pair.pack(self._account.no, folder.no)
        before = keys.record_head(self._unit.get(key, self._dbs.folders))
        if before is None:
            raise FolderNotFoundError(folder.name)
        self._drop_mirror(before.mirror)
        self._unit.delete(key, self._dbs.folders)
        self._unit.delete(key, self._dbs.progress)
        self._unit.delete(keys.id_key(self._account.no, folder.id), self._dbs.folder_ids)

    def _drop_mirror(self, mirror: int) -> None:
        # Without its entry here no row of the mirror can be read or written; `purge` deletes them.
        key = keys.pair.pack(self._account.no, mirror)
        self._unit.delete(key, self._dbs.mirrors)
        self._unit.put(key, b"", self._dbs.tombs)
        self._rows.checked.clear()

    def _put_run(self, run: SyncRun, record: bytes) -> None:
        key = keys.run_key(self._account.no, run.no)
        stored = self._unit.get(key, self._dbs.runs)
        self._next_version(stored, run.version, run.name)
        self._unit.put(key, keys.pack_record(run.version, 0, record), self._dbs.runs)
        if stored is None:
            self._trim_runs()

    def _trim_runs(self) -> None:
        prefix = keys.number.pack(self._account.no)
        kept = list(self._unit.keys_with(prefix, self._dbs.runs))
        for key in kept[:-KEPT_RUNS]:
            self._unit.delete(key, self._dbs.runs)

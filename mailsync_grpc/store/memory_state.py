"""One account's mirror as dictionaries, and what each change does to it: the plainest statement of the protocol.

`AccountState.fork` gives the copy that a batch is applied to; the store puts it in the original's place when the whole
batch went well, so a refused batch leaves no trace and readers see all of a batch or nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from mailsync_grpc.errors import FolderNotFoundError
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import (
    AccountChanged,
    AccountRemoved,
    Backfilled,
    Change,
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
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import Folder, FolderKey, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import KEPT_ANSWERS, KEPT_RUNS, ConflictError
from mailsync_grpc.store.codec.envelope import decode_evidence, decode_flags
from mailsync_grpc.store.memory_mirror import Mirror
from mailsync_grpc.store.prepare import PreparedBatch, PreparedChange, PreparedRow, check_version
from mailsync_grpc.store.values import NO_TOKENS, EnvelopeRow, SealedTokens, Twin


@dataclass(slots=True)
class AccountState:
    """Everything kept of one account; `dropped` are mirrors whose rows wait to be purged."""

    account: Account | None = None
    folders: dict[FolderNo, Folder] = field(default_factory=dict)
    progress: dict[FolderNo, FolderProgress] = field(default_factory=dict)
    mirrors: dict[MirrorNo, Mirror] = field(default_factory=dict)
    places: dict[bytes, tuple[MirrorNo, int]] = field(default_factory=dict)
    runs: dict[int, SyncRun] = field(default_factory=dict)
    intents: dict[int, Intent] = field(default_factory=dict)
    dropped: list[Mirror] = field(default_factory=list)
    tokens: SealedTokens = NO_TOKENS

    def fork(self) -> "AccountState":
        """Return an independent copy."""
        return AccountState(
            self.account,
            dict(self.folders),
            dict(self.progress),
            {number: mirror.fork() for number, mirror in self.mirrors.items()},
            dict(self.places),
            dict(self.runs),
            dict(self.intents),
            list(self.dropped),
            self.tokens,
        )

    def apply(self, prepared: PreparedBatch, now: int) -> None:
        """Make every change of the batch; `now` is in milliseconds. Raises ConflictError, FolderNotFoundError; then this copy is spoilt."""
        for change in prepared.changes:
            self._change(change)
        for folder, progress in prepared.batch.progress:
            self._mirror(folder)
            self.progress[folder.no] = progress
        for folder, uids in prepared.batch.outside:
            self._mirror(folder).outside = uids
        for run in prepared.batch.run_progress:
            self._put_run(run)
        if tokens := prepared.batch.tokens:
            check_version(self.tokens.version, tokens.version, "the login")
            self.tokens = tokens
        for intent in prepared.batch.intents:
            self._put_intent(intent, now)

    def _change(self, prepared: PreparedChange) -> None:
        match prepared.change:
            case EnvelopeAdded(folder) | Backfilled(folder):
                self._put_rows(folder, prepared.rows)
            case FlagsChanged(folder, uid, _, _, after):
                self._put_flags(folder, uid, after, prepared.flags)
            case EnvelopeUpdated(folder):
                self._update_row(folder, prepared.rows[0])
            case EnvelopeMoved(source, uid, folder):
                self._require_row(source, uid, prepared.rows[0].row.envelope_id)
                self._drop_rows(source, UidSet.of([uid]))
                self._put_rows(folder, prepared.rows)
            case EnvelopesRemoved(folder, uids) | EnvelopesEvicted(folder, uids):
                self._drop_rows(folder, uids)
            case Reported(folder):
                self._mirror(folder)
            case _:
                self._change_record(prepared.change)

    def _change_record(self, change: Change) -> None:
        match change:
            case FolderSynced(folder):
                self._mirror(folder)
                self._drop_mirrors(folder.no, keep=folder.mirror)
            case FolderChanged(folder):
                self._put_folder(folder)
            case FolderReset(folder):
                self._put_folder(folder, keeps_former=True)
            case FolderRemoved(folder):
                self._drop_folder(folder.no)
            case AccountChanged(account):
                check_version(self.account.version if self.account else 0, account.version, account.name)
                self.account = account
            case AccountRemoved():
                self.account = None
            case SyncRunChanged(run):
                self._put_run(run)

    def _known_folder(self, number: FolderNo) -> Folder:
        folder = self.folders.get(number)
        if folder is None:
            raise FolderNotFoundError(f"number {number}")
        return folder

    def _mirror(self, key: FolderKey) -> Mirror:
        folder = self._known_folder(key.no)
        if folder.mirror != key.mirror:
            raise ConflictError(f"{folder.name} has another mirror by now")
        return self.mirrors[key.mirror]

    def _put_rows(self, key: FolderKey, rows: tuple[PreparedRow, ...]) -> None:
        mirror = self._mirror(key)
        for row, flag_hash in rows:
            self._forget_place(key.mirror, mirror.rows.get(row.uid))
            mirror.rows[row.uid] = row
            mirror.hashes[row.uid] = flag_hash
            mirror.table.setdefault(flag_hash, decode_flags(row.flags))
            self.places[row.envelope_id] = (key.mirror, row.uid)

    def _require_row(self, key: FolderKey, uid: int, envelope_id: bytes) -> Mirror:
        mirror = self._mirror(key)
        stored = mirror.rows.get(uid)
        if stored is None or stored.envelope_id != envelope_id:
            raise ConflictError(f"UID {uid} of {key.name} is not stored, or is another message")
        return mirror

    def _update_row(self, key: FolderKey, prepared: PreparedRow) -> None:
        row, flag_hash = prepared
        mirror = self._require_row(key, row.uid, row.envelope_id)
        if mirror.hashes[row.uid] != flag_hash:
            raise ConflictError(f"UID {row.uid} of {key.name} has other flags by now")
        mirror.rows[row.uid] = row._replace(flags=mirror.rows[row.uid].flags)

    def _forget_place(self, mirror: MirrorNo, row: EnvelopeRow | None) -> None:
        # The id may be somewhere else by now, then it stays.
        if row is not None and self.places.get(row.envelope_id) == (mirror, row.uid):
            del self.places[row.envelope_id]

    def _put_flags(self, key: FolderKey, uid: int, after: Flags, segment: bytes) -> None:
        mirror = self._mirror(key)
        if uid not in mirror.rows:
            raise ConflictError(f"UID {uid} of {key.name} is not stored")
        mirror.rows[uid] = mirror.rows[uid]._replace(flags=segment)
        mirror.hashes[uid] = after.hash
        mirror.table.setdefault(after.hash, decode_flags(segment))

    def _drop_rows(self, key: FolderKey, uids: UidSet) -> None:
        mirror = self._mirror(key)
        for uid in [uid for uid in mirror.rows if uid in uids]:
            self._forget_place(key.mirror, mirror.rows.pop(uid))
            del mirror.hashes[uid]

    def _put_folder(self, folder: Folder, *, keeps_former: bool = False) -> None:
        before = self.folders.get(folder.no)
        check_version(before.version if before else 0, folder.version, folder.name)
        if before is not None and before.mirror != folder.mirror:
            if keeps_former:
                self.mirrors[before.mirror].former = True
            else:
                self._drop_mirrors(folder.no)
        if folder.mirror not in self.mirrors:
            self.mirrors[folder.mirror] = Mirror(folder.no)
            self.progress[folder.no] = FolderProgress()
        self.folders[folder.no] = folder

    def _drop_folder(self, number: FolderNo) -> None:
        self._known_folder(number)
        self._drop_mirrors(number)
        del self.folders[number], self.progress[number]

    def _drop_mirrors(self, folder: FolderNo, keep: int = 0) -> None:
        """Drop the mirrors of a folder, its own and former ones, but for one."""
        for number in [
            number for number, mirror in self.mirrors.items() if mirror.folder == folder and number != keep
        ]:
            mirror = self.mirrors.pop(number)
            for row in mirror.rows.values():
                self._forget_place(number, row)
            self.dropped.append(mirror)

    def _put_run(self, run: SyncRun) -> None:
        before = self.runs.get(run.no)
        check_version(before.version if before else 0, run.version, run.name)
        self.runs[run.no] = run
        if before is None:
            for number in sorted(self.runs)[:-KEPT_RUNS]:
                if self.runs[number].state.ended:
                    del self.runs[number]

    def _put_intent(self, intent: Intent, now: int) -> None:
        before = self.intents.get(intent.no)
        check_version(before.version if before else 0, intent.version, f"intent {intent.no}")
        self.intents[intent.no] = intent
        for number in sorted(self.intents) if before is None else ():
            oldest = self.intents[number]
            if not oldest.ended or oldest.end_time > now - KEPT_ANSWERS * 1_000:
                break
            del self.intents[number]

    def twins(self, marks: Sequence[bytes]) -> Iterator[Twin]:
        """Yield as `Store.twins` returns."""
        ids = sorted(self.places)
        for envelope_id in (one for mark in marks for one in _beginning_with(mark, ids)):
            number, uid = self.places[envelope_id]
            mirror = self.mirrors[number]
            evidence = decode_evidence(mirror.rows[uid].basic)
            if evidence is not None:
                yield Twin(mirror.folder, number, uid, envelope_id, evidence, mirror.former)

    def touch(self, number: FolderNo, as_of: int) -> None:
        """Record the time of the last look at a folder, if there is such a folder."""
        if number in self.progress:
            self.progress[number] = replace(self.progress[number], as_of=as_of)


def _beginning_with(mark: bytes, ids: list[bytes]) -> Iterator[bytes]:
    """Yield those of the sorted `ids` that begin with `mark`, found by halving: an account may have many."""
    place = bisect_left(ids, mark)
    while place < len(ids) and ids[place].startswith(mark):
        yield ids[place]
        place += 1

"""Records and log of the LMDB engine as one read transaction sees them.

Only what belongs to a live account is read: rows that wait for the purge are behind a tomb, not behind these doors.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import lmdb

from mailsync_grpc.errors import RevisionCompactedError, RevisionInFutureError
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.folder import Folder, FolderKey, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo, Revision
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.store import keys
from mailsync_grpc.store.codec.envelope import decode_evidence
from mailsync_grpc.store.codec.records import ACCOUNTS, FOLDERS, INTENTS, PROGRESS, RUNS
from mailsync_grpc.store.databases import Databases
from mailsync_grpc.store.lmdb_answers import is_fresh
from mailsync_grpc.store.values import EnvelopePlace, LogRecord, LogSlice, RecordedAnswer, SealedTokens, Twin


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One read transaction and the questions it answers; each method is as the `Store` method of its name."""

    txn: "lmdb.Transaction[bytes]"
    dbs: Databases

    def bounds(self) -> keys.LogBounds:
        """Return where the log begins and ends."""
        return keys.LogBounds.unpack(self.txn.get(keys.LOG_KEY, db=self.dbs.meta))

    def _items(
        self, db: "lmdb._Database", prefix: bytes, start: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows whose keys begin with `prefix`, ascending from `prefix + start`."""
        with self.txn.cursor(db) as cursor:
            if cursor.set_range(prefix + start) if prefix + start else cursor.first():
                for key, value in cursor:
                    if not key.startswith(prefix):
                        return
                    yield key, value

    def accounts(self, after: str, limit: int) -> list[Account]:
        """As `Store.accounts`."""
        # No id contains NUL, so this key is the first one after `after`.
        start = after.encode() + b"\0" if after else b""
        numbers = [value for _, value in islice(self._items(self.dbs.account_ids, b"", start), limit)]
        return [account for number in numbers if (account := self._account(number))]

    def account(self, account_id: str) -> Account | None:
        """As `Store.account`."""
        number = self.txn.get(account_id.encode(), db=self.dbs.account_ids) if account_id else None
        return self._account(number) if number else None

    def account_by_no(self, account: AccountNo) -> Account | None:
        """As `Store.account_by_no`."""
        return self._account(keys.number.pack(account))

    def tokens(self, account: AccountNo) -> SealedTokens:
        """As `Store.tokens`."""
        return keys.unpack_tokens(self.txn.get(keys.number.pack(account), db=self.dbs.tokens))

    def _account(self, key: bytes) -> Account | None:
        stored = self.txn.get(key, db=self.dbs.accounts)
        return ACCOUNTS.decode(keys.record_body(stored)) if stored else None

    def _is_live(self, account: AccountNo) -> bool:
        return self.txn.get(keys.number.pack(account), db=self.dbs.accounts) is not None

    def folders(self, account: AccountNo) -> list[tuple[Folder, FolderProgress]]:
        """As `Store.folders`."""
        if not self._is_live(account):
            return []
        rows = self._items(self.dbs.folders, keys.number.pack(account))
        return [self._folder(key, value) for key, value in rows]

    def _folder(self, key: bytes, value: bytes) -> tuple[Folder, FolderProgress]:
        progress = self.txn.get(key, db=self.dbs.progress)
        return FOLDERS.decode(keys.record_body(value)), PROGRESS.decode(
            progress
        ) if progress else FolderProgress()

    def folder(self, account: AccountNo, folder_id: bytes) -> tuple[Folder, FolderProgress] | None:
        """As `Store.folder`."""
        number = self.txn.get(keys.id_key(account, folder_id), db=self.dbs.folder_ids)
        return self.folder_by_no(account, FolderNo(keys.number.unpack(number)[0])) if number else None

    def folder_by_no(self, account: AccountNo, folder: FolderNo) -> tuple[Folder, FolderProgress] | None:
        """As `Store.folder_by_no`."""
        key = keys.pair.pack(account, folder)
        value = self.txn.get(key, db=self.dbs.folders)
        return self._folder(key, value) if value and self._is_live(account) else None

    def progress(self, folder: FolderKey) -> FolderProgress:
        """Return how far a mirror is, nowhere when it is not the folder's."""
        account, number = folder.account.no, folder.no
        is_there = keys.is_current(self.txn.get(keys.pair.pack(account, folder.mirror), db=self.dbs.mirrors))
        stored = self.txn.get(keys.pair.pack(account, number), db=self.dbs.progress) if is_there else None
        return PROGRESS.decode(stored) if stored else FolderProgress()

    def runs(self, account: AccountNo) -> list[SyncRun]:
        """As `Store.runs`."""
        if not self._is_live(account):
            return []
        rows = list(self._items(self.dbs.runs, keys.number.pack(account)))
        return [RUNS.decode(keys.record_body(value)) for _, value in reversed(rows)]

    def run(self, account: AccountNo, run: int) -> SyncRun | None:
        """As `Store.run`."""
        stored = self.txn.get(keys.run_key(account, run), db=self.dbs.runs)
        return RUNS.decode(keys.record_body(stored)) if stored and self._is_live(account) else None

    def intent(self, account: AccountNo, intent: int) -> Intent | None:
        """As `Store.intent`."""
        stored = self.txn.get(keys.intent_key(account, intent), db=self.dbs.intents)
        return INTENTS.decode(keys.record_body(stored)) if stored and self._is_live(account) else None

    def open_intents(self, account: AccountNo) -> list[Intent]:
        """As `Store.open_intents`."""
        if not self._is_live(account):
            return []
        found = [key for key, _ in self._items(self.dbs.open_intents, keys.number.pack(account))]
        return [
            INTENTS.decode(keys.record_body(self.txn.get(key, b"", db=self.dbs.intents))) for key in found
        ]

    def accounts_with_intents(self) -> set[AccountNo]:
        """As `Store.accounts_with_intents`."""
        owners = {keys.key_account(key) for key, _ in self._items(self.dbs.open_intents, b"")}
        return {owner for owner in owners if self._is_live(owner)}

    def intents_put(self) -> int:
        """Return how often intents were put."""
        stored = self.txn.get(keys.INTENTS_KEY, db=self.dbs.meta)
        return int(keys.wide.unpack(stored)[0]) if stored else 0

    def locate(self, account: AccountNo, envelope_id: bytes) -> EnvelopePlace | None:
        """As `Store.locate`."""
        place = self.txn.get(keys.id_key(account, envelope_id), db=self.dbs.places)
        if place is None or not self._is_live(account):
            return None
        mirror, uid = keys.pair.unpack(place)
        entry = self.txn.get(keys.pair.pack(account, mirror), db=self.dbs.mirrors)
        return EnvelopePlace(keys.mirror_folder(entry), uid) if entry and keys.is_current(entry) else None

    def twins(self, account: AccountNo, marks: Sequence[bytes]) -> list[Twin]:
        """As `Store.twins`."""
        if not self._is_live(account):
            return []
        places = (
            place for mark in marks for place in self._items(self.dbs.places, keys.id_key(account, mark))
        )
        return [twin for key, place in places if (twin := self._twin(account, key[keys.PREFIX :], place))]

    def _twin(self, account: AccountNo, envelope_id: bytes, place: bytes) -> Twin | None:
        """Return a stored envelope, None when its mirror was dropped or nothing identifies it."""
        mirror, uid = keys.pair.unpack(place)
        entry = self.txn.get(keys.pair.pack(account, mirror), db=self.dbs.mirrors)
        value = self.txn.get(keys.triple.pack(account, mirror, uid), db=self.dbs.envelopes)
        if entry is None or value is None:
            return None
        evidence = decode_evidence(value[keys.ROW_HEAD : keys.row_head(value)[1]])
        if evidence is None:
            return None
        folder, former = keys.mirror_folder(entry), not keys.is_current(entry)
        return Twin(folder, MirrorNo(mirror), uid, envelope_id, evidence, former)

    def recorded_answer(self, scope: str, request_id: str, now: int) -> RecordedAnswer | None:
        """As `Store.recorded_answer`; `now` is in milliseconds."""
        stored = self.txn.get(keys.answer_digest(scope, request_id), db=self.dbs.answers)
        if stored is None or not is_fresh(keys.answer_time(stored), now):
            return None
        return keys.unpack_answer(scope, request_id, stored)

    def log(self, after: Revision, limit: int, max_bytes: int) -> LogSlice:
        """As `Store.log`."""
        bounds, erased = self._require(after), self._erased()
        records: list[LogRecord] = []
        for key, value in islice(self._items(self.dbs.log, b"", keys.wide.pack(after + 1)), max(limit, 1)):
            if erased and keys.wide.unpack(key)[0] < erased.get(keys.log_account(value), 0):
                value = keys.without_event(value)
            max_bytes -= keys.log_event_size(value)
            if records and max_bytes < 0:
                break
            records.append(keys.unpack_log(key, value))
        return LogSlice(records, Revision(bounds.floor), Revision(bounds.head))

    def _erased(self) -> dict[int, int]:
        """Removed accounts that wait for the purge, each with the revision below which its events are not told.

        Else a reader would meet, between two steps of the purge, messages of folders that were never made.
        """
        tombs = ((keys.pair.unpack(key), value) for key, value in self._items(self.dbs.tombs, b""))
        return {
            account: keys.Erasing.unpack(value).until
            for (account, mirror), value in tombs
            if mirror == keys.WHOLE_ACCOUNT
        }

    def log_check(self, revision: Revision) -> int:
        """As `Store.log_check`."""
        bounds = self._require(revision)
        if revision == bounds.floor:
            return bounds.floor_check
        return self._record(revision).check

    def kept_times(self) -> tuple[int, int]:
        """Return the commit times of the oldest and the newest kept event in milliseconds, 0 without any."""
        bounds = self.bounds()
        if bounds.floor == bounds.head:
            return 0, 0
        return self._record(bounds.floor + 1).commit_time, self._record(bounds.head).commit_time

    def _record(self, revision: int) -> LogRecord:
        key = keys.wide.pack(revision)
        return keys.unpack_log(key, self.txn.get(key, b"", db=self.dbs.log))

    def _require(self, revision: int) -> keys.LogBounds:
        bounds = self.bounds()
        if revision < bounds.floor:
            raise RevisionCompactedError(bounds.floor, bounds.head)
        if revision > bounds.head:
            raise RevisionInFutureError(f"revision {revision} was never written (head is {bounds.head})")
        return bounds

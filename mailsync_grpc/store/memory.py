"""The store in memory: for tests, and the model that other engines are compared with.

Everything is under one lock and nothing survives the process. What a batch does is in `memory_state`, the log in
`memory_log`; here are the records that span accounts, and the reads.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence

from mailsync_grpc.errors import AccountExistsError, AccountNotFoundError
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import KnownEnvelope
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import Folder, FolderKey, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo, RandomBytes, Revision, account_name
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Applied, Batch, Clock, Counter, RecordedAnswer
from mailsync_grpc.store.memory_access import MemoryAccess
from mailsync_grpc.store.memory_answers import MemoryAnswers
from mailsync_grpc.store.memory_log import MemoryLog
from mailsync_grpc.store.memory_mirror import Mirror
from mailsync_grpc.store.memory_state import AccountState
from mailsync_grpc.store.prepare import PreparedBatch, prepare
from mailsync_grpc.store.values import (
    NO_TOKENS,
    Authorization,
    EnvelopePage,
    EnvelopePlace,
    EnvelopeRow,
    FlagBlock,
    LogSlice,
    SealedTokens,
    StoreStats,
    Summary,
    Trimmed,
    Twin,
)

_EPOCH_BYTES = 16
_END = object()


class MemoryStore:
    """`Store` without files. `clock` and `random` are the sources of time and of the epoch."""

    def __init__(self, clock: Clock = time.time, random: RandomBytes = os.urandom) -> None:
        self._epoch = random(_EPOCH_BYTES)
        self._clock = clock
        self._lock = threading.RLock()
        self._committed = threading.Condition(self._lock)
        self._counters: dict[Counter, int] = {}
        self._accounts: dict[AccountNo, AccountState] = {}
        self._answers = MemoryAnswers()
        self._authorizations: dict[bytes, Authorization] = {}
        self.access = MemoryAccess(self._lock, self._answers, clock)
        self._log = MemoryLog()
        self._removed: set[AccountNo] = set()
        self._intents_put = 0
        self._garbage: deque[Iterator[None]] = deque()

    @property
    def epoch(self) -> bytes:
        """As `Store.epoch`."""
        return self._epoch

    def close(self) -> None:
        """There is nothing to release."""

    # Writing

    def allocate(self, counter: Counter, count: int = 1) -> int:
        """As `Store.allocate`."""
        with self._lock:
            last = self._counters.get(counter, 0)
            self._counters[counter] = last + count
            return last + 1

    def apply(self, batch: Batch) -> Applied:
        """As `Store.apply`."""
        prepared = prepare(batch, self._progress)
        with self._committed:
            state = self._state_for(prepared)
            if batch.answer:
                self._answers.require_none(batch.answer, self._clock())
            state.apply(prepared, int(self._clock() * 1_000))
            self._intents_put += len(batch.intents) + prepared.removes
            first = Revision(self._log.head + 1)
            self._log.append(batch.account.no, prepared.changes, self._clock())
            self._commit(prepared, state)
            self._committed.notify_all()
            return Applied(first, self._log.head)

    def _progress(self, folder: FolderKey) -> FolderProgress:
        with self._lock:
            state = self._accounts.get(folder.account.no)
            mirror = state.mirrors.get(folder.mirror) if state else None
            return state.progress[folder.no] if state and mirror and not mirror.former else FolderProgress()

    def _state_for(self, prepared: PreparedBatch) -> AccountState:
        no, account_id = prepared.batch.account
        state = self._accounts.get(no)
        if state is not None:
            return state.fork()
        if not prepared.creates or no in self._removed:
            raise AccountNotFoundError(account_name(account_id))
        if self.account(account_id):
            raise AccountExistsError(account_name(account_id))
        return AccountState()

    def _commit(self, prepared: PreparedBatch, state: AccountState) -> None:
        no, answer = prepared.batch.account.no, prepared.batch.answer
        self._garbage.extend(_rows(mirror) for mirror in state.dropped)
        state.dropped.clear()
        if state.account is not self._known(no):
            self.access.advance()
        if prepared.removes:
            self._remove(no)
        else:
            self._accounts[no] = state
        if answer:
            self._answers.put(no, answer, self._clock())

    def _known(self, no: AccountNo) -> Account | None:
        state = self._accounts.get(no)
        return state.account if state else None

    def _remove(self, no: AccountNo) -> None:
        self._removed.add(no)
        self._garbage.extend(_rows(mirror) for mirror in self._accounts.pop(no).mirrors.values())
        self._garbage.append(self._log.erase(no, self._log.head))
        self._answers.erase(no)

    def keep_authorization(self, key: bytes, kept: Authorization) -> None:
        """As `Store.keep_authorization`."""
        with self._lock:
            self._authorizations[key] = kept

    def take_authorization(self, key: bytes) -> Authorization | None:
        """As `Store.take_authorization`."""
        with self._lock:
            kept = self._authorizations.pop(key, None)
        return kept if kept and kept.expire_time > self._clock() * 1_000 else None

    def touch(self, as_of: Sequence[tuple[AccountNo, FolderNo, int]]) -> None:
        """As `Store.touch`."""
        with self._lock:
            for account, folder, millis in as_of:
                if account in self._accounts:
                    self._accounts[account].touch(folder, millis)

    def purge(self, limit: int) -> bool:
        """As `Store.purge`."""
        with self._lock:
            now = self._clock()
            self._answers.expire(now)
            live = {key: kept for key, kept in self._authorizations.items() if kept.expire_time > now * 1_000}
            self._authorizations = live
            while self._garbage and limit > 0:
                if next(self._garbage[0], _END) is _END:
                    self._garbage.popleft()
                limit -= 1
            return bool(self._garbage)

    def trim_log(self, max_age: float, max_bytes: int, limit: int) -> Trimmed:
        """As `Store.trim_log`."""
        with self._lock:
            return self._log.trim(max_age, max_bytes, limit, self._clock())

    # Reading the mirror

    def accounts(self, after: str = "", limit: int = 1_000) -> list[Account]:
        """As `Store.accounts`."""
        with self._lock:
            found = [state.account for state in self._accounts.values() if state.account]
        return sorted((one for one in found if one.id > after), key=lambda one: one.id)[:limit]

    def account(self, account_id: str) -> Account | None:
        """As `Store.account`."""
        return next(
            (account for account in self.accounts(limit=sys.maxsize) if account.id == account_id), None
        )

    def account_by_no(self, account: AccountNo) -> Account | None:
        """As `Store.account_by_no`."""
        with self._lock:
            return self._known(account)

    def tokens(self, account: AccountNo) -> SealedTokens:
        """As `Store.tokens`."""
        with self._lock:
            state = self._accounts.get(account)
            return state.tokens if state else NO_TOKENS

    def folders(self, account: AccountNo) -> list[tuple[Folder, FolderProgress]]:
        """As `Store.folders`."""
        with self._lock:
            state = self._accounts.get(account)
            found = state.folders.items() if state else ()
            return [(folder, state.progress[number]) for number, folder in sorted(found)] if state else []

    def folder(self, account: AccountNo, folder_id: bytes) -> tuple[Folder, FolderProgress] | None:
        """As `Store.folder`."""
        return next((found for found in self.folders(account) if found[0].id == folder_id), None)

    def folder_by_no(self, account: AccountNo, folder: FolderNo) -> tuple[Folder, FolderProgress] | None:
        """As `Store.folder_by_no`."""
        return next((found for found in self.folders(account) if found[0].no == folder), None)

    def _mirror(self, account: AccountNo, mirror: MirrorNo) -> Mirror:
        state = self._accounts.get(account)
        found = state.mirrors.get(mirror) if state else None
        return found if found and not found.former else Mirror(FolderNo(0))

    def page(
        self, folder: Folder, after_uid: int | None, limit: int, max_bytes: int, newest_first: bool = True
    ) -> EnvelopePage:
        """As `Store.page`."""
        with self._lock:
            mirror = self._mirror(folder.account.no, folder.mirror)
            rows, more = mirror.page(after_uid, max(limit, 1), max_bytes, newest_first=newest_first)
            return EnvelopePage(rows, more, self._log.head)

    def envelope(self, folder: Folder, uid: int) -> EnvelopeRow | None:
        """As `Store.envelope`."""
        with self._lock:
            return self._mirror(folder.account.no, folder.mirror).rows.get(uid)

    def locate(self, account: AccountNo, envelope_id: bytes) -> EnvelopePlace | None:
        """As `Store.locate`."""
        with self._lock:
            state = self._accounts.get(account)
            place = state.places.get(envelope_id) if state else None
            mirror = state.mirrors[place[0]] if state and place else None
            return EnvelopePlace(mirror.folder, place[1]) if mirror and place and not mirror.former else None

    def twins(self, account: AccountNo, marks: Sequence[bytes]) -> list[Twin]:
        """As `Store.twins`."""
        with self._lock:
            state = self._accounts.get(account)
            return list(state.twins(marks)) if state else []

    def outside(self, account: AccountNo, mirror: MirrorNo) -> UidSet:
        """As `Store.outside`."""
        with self._lock:
            return self._mirror(account, mirror).outside

    def summaries(self, account: AccountNo, mirror: MirrorNo, after_uid: int, limit: int) -> list[Summary]:
        """As `Store.summaries`."""
        with self._lock:
            return self._mirror(account, mirror).summaries(after_uid, limit)

    def known(self, folder: Folder, uids: Sequence[int]) -> list[KnownEnvelope]:
        """As `Store.known`."""
        with self._lock:
            return self._mirror(folder.account.no, folder.mirror).known(uids)

    def flag_blocks(self, account: AccountNo, mirror: MirrorNo, first: int, limit: int) -> list[FlagBlock]:
        """As `Store.flag_blocks`."""
        with self._lock:
            return self._mirror(account, mirror).blocks(first, limit)

    def newest_uids(self, account: AccountNo, mirror: MirrorNo, count: int) -> list[int]:
        """As `Store.newest_uids`."""
        with self._lock:
            uids = sorted(self._mirror(account, mirror).rows)
        return uids[max(len(uids) - count, 0) :]

    def flag_table(self, account: AccountNo, mirror: MirrorNo) -> dict[int, Flags]:
        """As `Store.flag_table`."""
        with self._lock:
            return dict(self._mirror(account, mirror).table)

    def runs(self, account: AccountNo) -> list[SyncRun]:
        """As `Store.runs`."""
        with self._lock:
            state = self._accounts.get(account)
            return [state.runs[number] for number in sorted(state.runs, reverse=True)] if state else []

    def run(self, account: AccountNo, run: int) -> SyncRun | None:
        """As `Store.run`."""
        return next((found for found in self.runs(account) if found.no == run), None)

    def intent(self, account: AccountNo, intent: int) -> Intent | None:
        """As `Store.intent`."""
        with self._lock:
            state = self._accounts.get(account)
            return state.intents.get(intent) if state else None

    def open_intents(self, account: AccountNo) -> list[Intent]:
        """As `Store.open_intents`."""
        with self._lock:
            state = self._accounts.get(account)
            found = sorted(state.intents.items()) if state else []
        return [intent for _, intent in found if not intent.ended]

    def accounts_with_intents(self) -> set[AccountNo]:
        """As `Store.accounts_with_intents`."""
        with self._lock:
            return {account for account in self._accounts if self.open_intents(account)}

    def wait_for_intents(self, after: int, timeout: float) -> int:
        """As `Store.wait_for_intents`."""
        with self._committed:
            self._committed.wait_for(lambda: self._intents_put > after, timeout)
            return self._intents_put

    def recorded_answer(self, scope: str, request_id: str) -> RecordedAnswer | None:
        """As `Store.recorded_answer`."""
        with self._lock:
            return self._answers.get(scope, request_id, self._clock())

    # Reading the log

    def log(self, after: Revision, limit: int, max_bytes: int) -> LogSlice:
        """As `Store.log`."""
        with self._lock:
            return self._log.read(after, limit, max_bytes)

    def log_check(self, revision: Revision) -> int:
        """As `Store.log_check`."""
        with self._lock:
            return self._log.check(revision)

    def wait_for_commit(self, after: Revision, timeout: float) -> Revision:
        """As `Store.wait_for_commit`."""
        with self._committed:
            self._committed.wait_for(lambda: self._log.head > after, timeout)
            return self._log.head

    def stats(self) -> StoreStats:
        """As `Store.stats`; there are no files."""
        with self._lock:
            envelopes = sum(
                len(mirror.rows) for state in self._accounts.values() for mirror in state.mirrors.values()
            )
            log = self._log
            times = log.oldest_time, log.newest_time
            return StoreStats(0, log.bytes, log.floor, log.head, *times, envelopes, len(self._accounts))


def _rows(mirror: Mirror) -> Iterator[None]:
    while mirror.rows:
        mirror.rows.popitem()
        yield

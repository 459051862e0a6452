"""The store in memory: for tests, and the model that other engines are compared with.

Everything is under one lock and nothing survives the process. What a batch does is in `memory_state`, the log in
`memory_log`, the reads are in `memory_reading`; here are the records that span accounts.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence

from mailsync_grpc.errors import AccountExistsError, AccountNotFoundError
from mailsync_grpc.model.folder import FolderKey, FolderProgress
from mailsync_grpc.model.ids import AccountNo, FolderNo, RandomBytes, Revision, account_name
from mailsync_grpc.store.base import Applied, Batch, Clock, Counter
from mailsync_grpc.store.memory_access import MemoryAccess
from mailsync_grpc.store.memory_mirror import Mirror
from mailsync_grpc.store.memory_reading import MemoryReading
from mailsync_grpc.store.memory_state import AccountState
from mailsync_grpc.store.prepare import PreparedBatch, prepare
from mailsync_grpc.store.values import (
    Authorization,
    Trimmed,
)

_EPOCH_BYTES = 16
_END = object()


class MemoryStore(MemoryReading):
    """`Store` without files. `clock` and `random` are the sources of time and of the epoch."""

    def __init__(self, clock: Clock = time.time, random: RandomBytes = os.urandom) -> None:
        super().__init__(clock)
        self._epoch = random(_EPOCH_BYTES)
        self._committed = threading.Condition(self._lock)
        self._counters: dict[Counter, int] = {}
        self._authorizations: dict[bytes, Authorization] = {}
        self.access = MemoryAccess(self._lock, self._answers, clock)
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

    # Waiting for commits

    def wait_for_intents(self, after: int, timeout: float) -> int:
        """As `Store.wait_for_intents`."""
        with self._committed:
            self._committed.wait_for(lambda: self._intents_put > after, timeout)
            return self._intents_put

    def wait_for_commit(self, after: Revision, timeout: float) -> Revision:
        """As `Store.wait_for_commit`."""
        with self._committed:
            self._committed.wait_for(lambda: self._log.head > after, timeout)
            return self._log.head


def _rows(mirror: Mirror) -> Iterator[None]:
    while mirror.rows:
        mirror.rows.popitem()
        yield

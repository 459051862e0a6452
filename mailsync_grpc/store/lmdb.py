"""The embedded store: LMDB in the data directory, shared by the processes of one server.

Reads are short transactions of their own (`lmdb_reading`); writes go through the process's one writer
thread (`writer`), which gathers them; the layout is in `keys`. Processes tell each other of commits by hints, and look
by themselves every half second, so a lost hint costs no more than that.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mailsync_grpc.model.folder import FolderKey, FolderProgress
from mailsync_grpc.model.ids import AccountNo, FolderNo, RandomBytes, Revision
from mailsync_grpc.store import failpoints
from mailsync_grpc.store.base import Applied, Batch, Clock, Counter
from mailsync_grpc.store.environment import MAP_SIZE, Environment, open_environment
from mailsync_grpc.store.hints import Hints
from mailsync_grpc.store.lmdb_access import LmdbAccess
from mailsync_grpc.store.lmdb_apply import apply_batch, compile_batch
from mailsync_grpc.store.lmdb_authorizations import keep_authorization, take_authorization
from mailsync_grpc.store.lmdb_purge import purge, trim_log
from mailsync_grpc.store.lmdb_read import Snapshot
from mailsync_grpc.store.lmdb_reading import LmdbReading
from mailsync_grpc.store.lmdb_touch import allocate, touch
from mailsync_grpc.store.lock import DirectoryLock
from mailsync_grpc.store.prepare import prepare
from mailsync_grpc.store.values import (
    Authorization,
    Trimmed,
)
from mailsync_grpc.store.writer import Writer

DEFAULT_MAX_BYTES = 64 << 30
_LOOK_INTERVAL = 0.5
_READER_CHECK_INTERVAL = 3_600.0


def open_store(
    data_dir: Path,
    *,
    exclusive: bool,
    max_bytes: int = DEFAULT_MAX_BYTES,
    map_size: int = MAP_SIZE,
    clock: Clock = time.time,
    random: RandomBytes = os.urandom,
) -> "LmdbStore":
    """Open or create the store in `data_dir`; the server opens it `exclusive`, its workers do not.

    `max_bytes` is the size at which writes are refused. Raises ConfigError, StoreCorruptError, StoreLockedError,
    StoreSchemaError.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = DirectoryLock(data_dir) if exclusive else None
    try:
        environment = open_environment(data_dir, max_bytes, map_size, random, exclusive=exclusive)
    except BaseException:
        if lock:
            lock.release()
        raise
    return LmdbStore(environment, data_dir, lock, clock)


class LmdbStore(LmdbReading):
    """`Store` on LMDB. Made by `open_store`; to be used by the process that opened it, from any of its threads."""

    def __init__(
        self, environment: Environment, data_dir: Path, lock: DirectoryLock | None, clock: Clock
    ) -> None:
        super().__init__(environment, clock)
        self._lock = lock
        self._is_closed = False
        self._commits = threading.Condition()
        self._readers_checked = time.monotonic()
        self._hints = Hints(data_dir, self._wake)
        self._writer = Writer(environment, clock, self._committed)
        self.access = LmdbAccess(environment, self._writer)

    @property
    def epoch(self) -> bytes:
        """As `Store.epoch`."""
        return self._environment.epoch

    def close(self) -> None:
        """As `Store.close`."""
        self._environment.require_own_process()
        if self._is_closed:
            return
        self._is_closed = True
        self._writer.close()
        self._hints.close()
        self._environment.close()
        if self._lock:
            self._lock.release()

    # Writing

    def allocate(self, counter: Counter, count: int = 1) -> int:
        """As `Store.allocate`."""
        return self._writer.do(lambda unit: allocate(unit, counter, count))

    def apply(self, batch: Batch) -> Applied:
        """As `Store.apply`."""
        compiled = compile_batch(prepare(batch, self._progress))
        return self._writer.do(
            lambda unit: apply_batch(unit, compiled), compiled.octets, frees=compiled.prepared.may_use_reserve
        )

    def _progress(self, folder: FolderKey) -> FolderProgress:
        with self._snapshot() as snapshot:
            return snapshot.progress(folder)

    def keep_authorization(self, key: bytes, kept: Authorization) -> None:
        """As `Store.keep_authorization`."""
        self._writer.do(lambda unit: keep_authorization(unit, key, kept))

    def take_authorization(self, key: bytes) -> Authorization | None:
        """As `Store.take_authorization`."""
        return self._writer.do(lambda unit: take_authorization(unit, key), frees=True)

    def touch(self, as_of: Sequence[tuple[AccountNo, FolderNo, int]]) -> None:
        """As `Store.touch`."""
        self._writer.do(lambda unit: touch(unit, as_of))

    def purge(self, limit: int) -> bool:
        """As `Store.purge`."""
        if time.monotonic() - self._readers_checked > _READER_CHECK_INTERVAL:
            self._environment.env.reader_check()
            self._readers_checked = time.monotonic()
        return self._writer.do(lambda unit: purge(unit, limit), frees=True)

    def trim_log(self, max_age: float, max_bytes: int, limit: int) -> Trimmed:
        """As `Store.trim_log`."""
        return self._writer.do(lambda unit: trim_log(unit, max_age, max_bytes, limit), frees=True)

    # Commits, of this process and of others

    def _wake(self) -> None:
        with self._commits:
            self._commits.notify_all()

    def _committed(self, _head: int) -> None:
        self._wake()
        failpoints.hit("before_hint")
        self._hints.send()

    def wait_for_commit(self, after: Revision, timeout: float) -> Revision:
        """As `Store.wait_for_commit`."""
        return Revision(self._wait(lambda snapshot: snapshot.bounds().head, after, timeout))

    def wait_for_intents(self, after: int, timeout: float) -> int:
        """As `Store.wait_for_intents`."""
        return self._wait(Snapshot.intents_put, after, timeout)

    def _wait(self, read: Callable[[Snapshot], int], after: int, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        with self._commits:
            while (found := self._read(read)) <= after and (left := deadline - time.monotonic()) > 0:
                self._commits.wait(min(left, _LOOK_INTERVAL))
        return found

    def _read(self, read: Callable[[Snapshot], int]) -> int:
        with self._snapshot() as snapshot:
            return read(snapshot)

"""The embedded store: LMDB in the data directory, shared by the processes of one server.

Reads are short transactions of their own (`lmdb_read`, `lmdb_mirror`); writes go through the process's one writer
thread (`writer`), which gathers them; the layout is in `keys`. Processes tell each other of commits by hints, and look
by themselves every half second, so a lost hint costs no more than that.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import KnownEnvelope
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import Folder, FolderKey, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo, RandomBytes, Revision
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store import failpoints
from mailsync_grpc.store.base import Applied, Batch, Clock, Counter, RecordedAnswer
from mailsync_grpc.store.environment import MAP_SIZE, Environment, open_environment
from mailsync_grpc.store.hints import Hints
from mailsync_grpc.store.lmdb_access import LmdbAccess
from mailsync_grpc.store.lmdb_apply import apply_batch, compile_batch
from mailsync_grpc.store.lmdb_authorizations import keep_authorization, take_authorization
from mailsync_grpc.store.lmdb_mirror import MirrorReader
from mailsync_grpc.store.lmdb_purge import purge, trim_log
from mailsync_grpc.store.lmdb_read import Snapshot
from mailsync_grpc.store.lmdb_touch import allocate, touch
from mailsync_grpc.store.lock import DirectoryLock
from mailsync_grpc.store.prepare import prepare
from mailsync_grpc.store.values import (
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


class LmdbStore:
    """`Store` on LMDB. Made by `open_store`; to be used by the process that opened it, from any of its threads."""

    def __init__(
        self, environment: Environment, data_dir: Path, lock: DirectoryLock | None, clock: Clock
    ) -> None:
        self._environment = environment
        self._lock = lock
        self._clock = clock
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

    @contextmanager
    def _snapshot(self) -> Iterator[Snapshot]:
        with self._environment.read() as txn:
            yield Snapshot(txn, self._environment.dbs)

    @contextmanager
    def _mirror(self, account: AccountNo, mirror: MirrorNo) -> Iterator[MirrorReader]:
        with self._environment.read() as txn:
            yield MirrorReader(txn, self._environment.dbs, account, mirror)

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
        deadline = time.monotonic() + timeout
        with self._commits:
            while (head := self._head()) <= after and (left := deadline - time.monotonic()) > 0:
                self._commits.wait(min(left, _LOOK_INTERVAL))
        return head

    def _head(self) -> Revision:
        with self._snapshot() as snapshot:
            return Revision(snapshot.bounds().head)

    # Reading the mirror

    def accounts(self, after: str = "", limit: int = 1_000) -> list[Account]:
        """As `Store.accounts`."""
        with self._snapshot() as snapshot:
            return snapshot.accounts(after, limit)

    def account(self, account_id: str) -> Account | None:
        """As `Store.account`."""
        with self._snapshot() as snapshot:
            return snapshot.account(account_id)

    def account_by_no(self, account: AccountNo) -> Account | None:
        """As `Store.account_by_no`."""
        with self._snapshot() as snapshot:
            return snapshot.account_by_no(account)

    def tokens(self, account: AccountNo) -> SealedTokens:
        """As `Store.tokens`."""
        with self._snapshot() as snapshot:
            return snapshot.tokens(account)

    def folders(self, account: AccountNo) -> list[tuple[Folder, FolderProgress]]:
        """As `Store.folders`."""
        with self._snapshot() as snapshot:
            return snapshot.folders(account)

    def folder(self, account: AccountNo, folder_id: bytes) -> tuple[Folder, FolderProgress] | None:
        """As `Store.folder`."""
        with self._snapshot() as snapshot:
            return snapshot.folder(account, folder_id)

    def folder_by_no(self, account: AccountNo, folder: FolderNo) -> tuple[Folder, FolderProgress] | None:
        """As `Store.folder_by_no`."""
        with self._snapshot() as snapshot:
            return snapshot.folder_by_no(account, folder)

    def page(
        self, folder: Folder, after_uid: int | None, limit: int, max_bytes: int, newest_first: bool = True
    ) -> EnvelopePage:
        """As `Store.page`."""
        with self._mirror(folder.account.no, folder.mirror) as mirror:
            return mirror.page(after_uid, max(limit, 1), max_bytes, newest_first=newest_first)

    def envelope(self, folder: Folder, uid: int) -> EnvelopeRow | None:
        """As `Store.envelope`."""
        with self._mirror(folder.account.no, folder.mirror) as mirror:
            return mirror.row(uid)

    def locate(self, account: AccountNo, envelope_id: bytes) -> EnvelopePlace | None:
        """As `Store.locate`."""
        with self._snapshot() as snapshot:
            return snapshot.locate(account, envelope_id)

    def known(self, folder: Folder, uids: Sequence[int]) -> list[KnownEnvelope]:
        """As `Store.known`."""
        with self._mirror(folder.account.no, folder.mirror) as mirror:
            return mirror.known(uids)

    def twins(self, account: AccountNo, marks: Sequence[bytes]) -> list[Twin]:
        """As `Store.twins`."""
        with self._snapshot() as snapshot:
            return snapshot.twins(account, marks)

    def outside(self, account: AccountNo, mirror: MirrorNo) -> UidSet:
        """As `Store.outside`."""
        with self._mirror(account, mirror) as reader:
            return reader.outside()

    def summaries(self, account: AccountNo, mirror: MirrorNo, after_uid: int, limit: int) -> list[Summary]:
        """As `Store.summaries`."""
        with self._mirror(account, mirror) as reader:
            return reader.summaries(after_uid, limit)

    def flag_blocks(self, account: AccountNo, mirror: MirrorNo, first: int, limit: int) -> list[FlagBlock]:
        """As `Store.flag_blocks`."""
        with self._mirror(account, mirror) as reader:
            return reader.blocks(first, limit)

    def newest_uids(self, account: AccountNo, mirror: MirrorNo, count: int) -> list[int]:
        """As `Store.newest_uids`."""
        with self._mirror(account, mirror) as reader:
            return reader.newest_uids(count)

    def flag_table(self, account: AccountNo, mirror: MirrorNo) -> dict[int, Flags]:
        """As `Store.flag_table`."""
        with self._mirror(account, mirror) as reader:
            return reader.table()

    def runs(self, account: AccountNo) -> list[SyncRun]:
        """As `Store.runs`."""
        with self._snapshot() as snapshot:
            return snapshot.runs(account)

    def run(self, account: AccountNo, run: int) -> SyncRun | None:
        """As `Store.run`."""
        with self._snapshot() as snapshot:
            return snapshot.run(account, run)

    def recorded_answer(self, scope: str, request_id: str) -> RecordedAnswer | None:
        """As `Store.recorded_answer`."""
        with self._snapshot() as snapshot:
            return snapshot.recorded_answer(scope, request_id, int(self._clock() * 1_000))

    # Reading the log

    def log(self, after: Revision, limit: int, max_bytes: int) -> LogSlice:
        """As `Store.log`."""
        with self._snapshot() as snapshot:
            return snapshot.log(after, limit, max_bytes)

    def log_check(self, revision: Revision) -> int:
        """As `Store.log_check`."""
        with self._snapshot() as snapshot:
            return snapshot.log_check(revision)

    def stats(self) -> StoreStats:
        """As `Store.stats`; rows that wait for the purge count among the envelopes."""
        environment = self._environment
        with self._snapshot() as snapshot:
            txn, dbs, bounds = snapshot.txn, environment.dbs, snapshot.bounds()
            return StoreStats(
                environment.used(txn),
                bounds.octets,
                Revision(bounds.floor),
                Revision(bounds.head),
                *snapshot.kept_times(),
                txn.stat(dbs.envelopes)["entries"],
                txn.stat(dbs.accounts)["entries"],
            )

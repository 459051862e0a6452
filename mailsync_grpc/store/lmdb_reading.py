"""The reads of the embedded store, each a short transaction of its own (`lmdb_read`, `lmdb_mirror`)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import KnownEnvelope
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo, Revision
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Clock
from mailsync_grpc.store.environment import Environment
from mailsync_grpc.store.lmdb_mirror import MirrorReader
from mailsync_grpc.store.lmdb_read import Snapshot
from mailsync_grpc.store.values import (
    EnvelopePage,
    EnvelopePlace,
    EnvelopeRow,
    FlagBlock,
    LogSlice,
    RecordedAnswer,
    SealedTokens,
    StoreStats,
    Summary,
    Twin,
)


class LmdbReading:
    """`StoreReading` on LMDB."""

    def __init__(self, environment: Environment, clock: Clock) -> None:
        self._environment = environment
        self._clock = clock

    @contextmanager
    def _snapshot(self) -> Iterator[Snapshot]:
        with self._environment.read() as txn:
            yield Snapshot(txn, self._environment.dbs)

    @contextmanager
    def _mirror(self, account: AccountNo, mirror: MirrorNo) -> Iterator[MirrorReader]:
        with self._environment.read() as txn:
            yield MirrorReader(txn, self._environment.dbs, account, mirror)

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

    def intent(self, account: AccountNo, intent: int) -> Intent | None:
        """As `Store.intent`."""
        with self._snapshot() as snapshot:
            return snapshot.intent(account, intent)

    def open_intents(self, account: AccountNo) -> list[Intent]:
        """As `Store.open_intents`."""
        with self._snapshot() as snapshot:
            return snapshot.open_intents(account)

    def accounts_with_intents(self) -> set[AccountNo]:
        """As `Store.accounts_with_intents`."""
        with self._snapshot() as snapshot:
            return snapshot.accounts_with_intents()

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

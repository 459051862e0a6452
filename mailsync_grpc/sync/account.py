"""One account's turn: connect, list folders, look at what is due, fetch what is pending, settle runs and states.

A turn is one job of the scheduler and holds one thread and one connection. It does what is due and one bounded slice of
backfill, then says when it wants its next turn. Failures are told apart by whom they concern: a folder's own (it is
marked, backs off and never blocks the others), the server's (the account becomes UNREACHABLE and backs off with full
jitter), the credentials' (AUTH_FAILED: tried again seldom, at once when the account is edited).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from mailsync_grpc import metrics
from mailsync_grpc.errors import (
    AccountNotFoundError,
    CredentialsNeededError,
    FolderNotFoundError,
    FolderNotSelectableError,
    ImapAuthError,
    ImapError,
    ImapProtocolError,
    ImapRefusedError,
    MailsyncError,
    StoreFullError,
    UnsafeArgumentError,
)
from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.model.account import Account, AccountState
from mailsync_grpc.model.changes import AccountChanged, FolderChanged, FolderChangeKind
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo, RandomBytes
from mailsync_grpc.store.base import Batch, ConflictError, Store
from mailsync_grpc.sync import plan, retry
from mailsync_grpc.sync.backfill import Backfill
from mailsync_grpc.sync.commit import Committer, RenumberedError
from mailsync_grpc.sync.doubt import Doubt
from mailsync_grpc.sync.folder import FolderSync
from mailsync_grpc.sync.folders import FolderTree, marked
from mailsync_grpc.sync.retry import Backoff
from mailsync_grpc.sync.run_keeper import RunKeeper
from mailsync_grpc.sync.scheduler import Lane

BACKFILL_SLICE = 5.0
"""Seconds of backfill in one turn."""
LISTING_INTERVAL = 300.0
"""Seconds between two listings of an account's folders."""
CONFLICT_DELAY = 0.1
STORE_FULL_DELAY = 30.0
IDLE = 86_400.0
"""Seconds until a paused account is looked at although nothing nudged it."""
FOLDERS_OWN = (ImapRefusedError, ImapProtocolError, FolderNotSelectableError, UnsafeArgumentError)
"""Failures that concern one folder and not its account."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Environment:
    """What every account of a worker shares. `clock` is monotonic seconds, `now` milliseconds since 1970."""

    store: Store
    connect: Callable[[Account], Connection]
    clock: Callable[[], float]
    now: Callable[[], int]
    random: RandomBytes
    draw: retry.Random
    stopping: Callable[[], bool]


@dataclass(slots=True)
class AccountSync:
    """What a worker knows of one account between two turns; all of it can be lost.

    `failed` tells that the account's record says so: when it says ACTIVE again, an API call asked to try at once.
    """

    env: Environment
    no: AccountNo
    connection: Connection | None = None
    login: tuple[object, ...] = ()
    next_poll: float = 0.0
    next_listing: float = 0.0
    failed: bool = False
    backoff: Backoff = field(default_factory=Backoff)
    folder_backoff: dict[FolderNo, Backoff] = field(default_factory=dict)
    doubts: dict[MirrorNo, Doubt] = field(default_factory=dict)
    as_of: dict[FolderNo, int] = field(default_factory=dict)
    tree: FolderTree | None = None
    keeper: RunKeeper | None = None

    def turn(self, nudged: bool) -> tuple[float, Lane] | None:
        """Do what is due; return when the next turn is wanted and in which lane, None when the account is gone.

        `nudged` says that the account, its folders or its runs were changed by an API call.
        """
        account = self.env.store.account_by_no(self.no)
        if account is None:
            self.close()
            return None
        if account.paused:
            self.close()
            self.as_of = {}
            return self.env.clock() + IDLE, Lane.POLL
        self._follow_edits(account)
        keeper = self._keeper(account, nudged)
        if self.backoff.waits(self.env.clock()) and not (keeper.requested and self.backoff.failures < 2):
            return self.backoff.until, Lane.POLL
        return self._guarded(account, keeper)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    # Preparation

    def _follow_edits(self, account: Account) -> None:
        login = (account.host, account.port, account.security, account.ca_pem, account.sealed_credentials)
        resumed = self.failed and account.state is AccountState.ACTIVE
        if login != self.login or resumed:
            self.close()
            self.backoff.clear()
            self.login, self.next_poll = login, 0.0

    def _keeper(self, account: Account, nudged: bool) -> RunKeeper:
        if self.keeper is None:
            self.keeper = RunKeeper(self.env.store, account.key, self.env.now)
            self.tree = FolderTree(self.env.store, account.key, self.env.random)
            nudged = True
        if nudged:
            self.keeper.refresh()
        return self.keeper

    # Failures

    def _guarded(self, account: Account, keeper: RunKeeper) -> tuple[float, Lane] | None:
        try:
            more = self._work(account, keeper)
            self._settle_state(account, AccountState.ACTIVE)
        except AccountNotFoundError:
            self.close()
            return None
        except (ConflictError, FolderNotFoundError):
            return self.env.clock() + CONFLICT_DELAY, Lane.POLL
        except CredentialsNeededError as error:
            self._settle_state(account, AccountState.CREDENTIALS_NEEDED, error.reason, str(error))
            return self.env.clock() + IDLE, Lane.POLL
        except StoreFullError as error:
            log.warning("sync_stopped", account=account.name, reason=error.reason, detail=str(error))
            return self.env.clock() + STORE_FULL_DELAY, Lane.POLL
        except ImapError as error:
            return self._failed(account, keeper, error), Lane.POLL
        self.backoff.clear()
        return (self.env.clock(), Lane.BACKFILL) if more else (self.next_poll, Lane.POLL)

    def _failed(self, account: Account, keeper: RunKeeper, error: ImapError) -> float:
        self.close()
        metrics.SYNC_ERRORS.labels(reason=error.reason).inc()
        delay = retry.auth_delay if isinstance(error, ImapAuthError) else retry.network_delay
        self.backoff.fail(self.env.clock(), delay, self.env.draw)
        # What was due still is: a login that then finds nothing to do would pass for a success.
        self.next_poll = self.backoff.until
        state = AccountState.AUTH_FAILED if isinstance(error, ImapAuthError) else AccountState.UNREACHABLE
        log.warning("account_failed", account=account.name, reason=error.reason, detail=str(error))
        try:
            keeper.fail(error)
            # One refused connection is no outage: the state is told when the second try fails too.
            if state is AccountState.AUTH_FAILED or self.backoff.failures > 1:
                self._settle_state(account, state, error.reason, str(error))
        except (AccountNotFoundError, ConflictError, StoreFullError):
            return self.env.clock() + CONFLICT_DELAY
        return self.backoff.until

    def _settle_state(
        self, account: Account, state: AccountState, reason: str = "", message: str = ""
    ) -> None:
        changed = account.in_state(state, self.env.now(), reason, message)
        if self.connection is not None and account.capabilities != self._capabilities:
            changed = replace(changed, version=account.version + 1, capabilities=self._capabilities)
        if changed is not account:
            self.env.store.apply(Batch(account.key, (AccountChanged(changed),)))
        self.failed = state is not AccountState.ACTIVE

    @property
    def _capabilities(self) -> tuple[str, ...]:
        return tuple(sorted(self.connection.capabilities)) if self.connection is not None else ()

    # Work

    def _work(self, account: Account, keeper: RunKeeper) -> bool:
        """Do one turn's work; True when pending messages are left."""
        connection = self._connected(account)
        self._list_when_due(connection, keeper)
        folders = self._selected()
        self.as_of = {folder.no: self.as_of[folder.no] for folder, _ in folders if folder.no in self.as_of}
        keeper.begin(folders, account.settings)
        self._look(account, keeper, folders)
        more = self._backfill(account, keeper)
        keeper.settle([folder for folder, _ in self._selected()])
        return more or keeper.waiting

    def _connected(self, account: Account) -> Connection:
        if self.connection is None or self.connection.closed:
            self.connection = self.env.connect(account)
        return self.connection

    def _list_when_due(self, connection: Connection, keeper: RunKeeper) -> None:
        assert self.tree is not None
        if self.env.clock() >= self.next_listing or keeper.waiting:
            self.tree.refresh(connection)
            self.next_listing = self.env.clock() + (0.0 if self.tree.missing else LISTING_INTERVAL)

    def _selected(self) -> list[tuple[Folder, FolderProgress]]:
        stored = {folder.no: (folder, progress) for folder, progress in self.env.store.folders(self.no)}
        return [stored[folder.no] for folder in plan.order(f for f, _ in stored.values() if f.selected)]

    def _look(
        self, account: Account, keeper: RunKeeper, folders: list[tuple[Folder, FolderProgress]]
    ) -> None:
        due = self.env.clock() >= self.next_poll
        if due:
            self.next_poll = self.env.clock() + retry.jittered(account.settings.poll_interval, self.env.draw)
        for folder, progress in folders:
            wanted = keeper.wants(folder)
            waits = self.folder_backoff.setdefault(folder.no, Backoff()).waits(self.env.clock())
            if wanted or (not waits and (due or progress.expected_exists is None)):
                self._look_at(account, keeper, folder, progress)

    def _look_at(self, account: Account, keeper: RunKeeper, folder: Folder, progress: FolderProgress) -> None:
        state = self._committer(account, keeper, folder, progress)
        try:
            FolderSync(state).look(full=keeper.wants(folder) and keeper.full)
        except RenumberedError:
            self.folder_backoff[folder.no].until = self.next_poll
        except FOLDERS_OWN as error:
            self._folder_failed(keeper, state.folder, error)
        else:
            metrics.SYNC_POLLS.labels(result="changed" if state.changed else "unchanged").inc()
            self.as_of[folder.no] = state.progress.as_of
            self.folder_backoff[folder.no].clear()
            self._mark(state.folder, "", "")
            keeper.compared(folder, len(state.progress.pending))

    def _folder_failed(self, keeper: RunKeeper, folder: Folder, error: MailsyncError) -> None:
        metrics.SYNC_POLLS.labels(result="failed").inc()
        metrics.SYNC_ERRORS.labels(reason=error.reason).inc()
        log.warning("folder_failed", folder=folder.name, reason=error.reason, detail=str(error))
        self.folder_backoff[folder.no].fail(self.env.clock(), retry.network_delay, self.env.draw)
        keeper.failed(folder, error)
        self._mark(folder, error.reason, str(error))
        if self.connection is None or self.connection.closed:
            # The next folder gets a new connection in the next turn, behind the account's own back-off.
            raise error if isinstance(error, ImapError) else ImapProtocolError(str(error))

    def _mark(self, folder: Folder, reason: str, message: str) -> None:
        changed = marked(folder, reason, message)
        if changed is not None:
            self.env.store.apply(Batch(folder.account, (FolderChanged(changed, FolderChangeKind.STATE),)))

    def _backfill(self, account: Account, keeper: RunKeeper) -> bool:
        """Fetch pending messages for one slice, folder by folder; True when some are left."""
        end = min(self.env.clock() + BACKFILL_SLICE, self.next_poll)
        left = False

        def more() -> bool:
            return self.env.clock() < end and not keeper.cancelled and not self.env.stopping()

        for folder, progress in self._selected():
            backoff = self.folder_backoff.setdefault(folder.no, Backoff())
            if not progress.pending or backoff.waits(self.env.clock()):
                continue
            if left and not more():
                break
            state = self._committer(account, keeper, folder, progress)
            try:
                Backfill(state, self.doubts.setdefault(folder.mirror, Doubt())).run(more)
            except RenumberedError:
                backoff.until = self.next_poll
                continue
            except FOLDERS_OWN as error:
                self._folder_failed(keeper, state.folder, error)
            left = left or bool(state.progress.pending)
        return left

    def _committer(
        self, account: Account, keeper: RunKeeper, folder: Folder, progress: FolderProgress
    ) -> Committer:
        run = keeper.covering(folder)
        connection = self._connected(account)
        return Committer(
            self.env.store, connection, account, folder, progress, self.env.now, self.env.random, run
        )

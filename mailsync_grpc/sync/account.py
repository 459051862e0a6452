"""One account's turn: connect, do what is due (`visit`), settle the account's state, say when the next turn is wanted.

A turn is one job of the scheduler and holds one thread and one connection. It does what is due and one bounded slice of
backfill. Failures are told apart by whom they concern: a folder's own (`visit` marks it), the server's (the account
becomes UNREACHABLE and backs off with full jitter), the credentials' (AUTH_FAILED: tried again seldom, at once when the
account is edited).
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from mailsync_grpc import metrics
from mailsync_grpc.errors import (
    AccountNotFoundError,
    AccountPausedError,
    BudgetSpentError,
    ConnectionsSpentError,
    CredentialsNeededError,
    FolderNotFoundError,
    ImapAuthError,
    ImapError,
    ImapExpiredError,
    ImapThrottledError,
    ImapUnreachableError,
    MailsyncError,
    StoreFullError,
)
from mailsync_grpc.imap.budget import Use
from mailsync_grpc.imap.changing import ChangingConnection
from mailsync_grpc.imap.connecting import endpoint_of
from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.model.account import Account, AccountState
from mailsync_grpc.model.changes import AccountChanged
from mailsync_grpc.model.folder import MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.store.base import Batch, ConflictError
from mailsync_grpc.sync import retry
from mailsync_grpc.sync.environment import Environment
from mailsync_grpc.sync.folders import FolderTree
from mailsync_grpc.sync.follow_up import FollowUp
from mailsync_grpc.sync.intents import Intents
from mailsync_grpc.sync.moves import Transit
from mailsync_grpc.sync.notes import FolderNotes
from mailsync_grpc.sync.retry import Backoff
from mailsync_grpc.sync.run_keeper import RunKeeper
from mailsync_grpc.sync.scheduler import Lane, Plan
from mailsync_grpc.sync.show_folders import show_folders
from mailsync_grpc.sync.turn import Turn
from mailsync_grpc.sync.visit import Visit

LISTING_INTERVAL = 300.0
"""Seconds between two listings of an account's folders."""
CONFLICT_DELAY = 0.1
CREDENTIALS_DELAY = 300.0
"""Seconds until credentials that could not be read are looked for again: a secret kept outside may be there by then."""
STORE_FULL_DELAY = 30.0
IDLE = 86_400.0
"""Seconds until a paused account is looked at although nothing nudged it."""

log = structlog.get_logger()


@dataclass(slots=True)
class AccountSync:
    """What a worker knows of one account between two turns; all of it can be lost.

    `failed` tells that the account's record says so: when it says ACTIVE again, an API call asked to try at once.
    `trouble` is what the account failed with last.
    """

    env: Environment
    no: AccountNo
    connection: Connection | None = None
    login: tuple[object, ...] = ()
    next_poll: float = 0.0
    next_listing: float = 0.0
    failed: bool = False
    trouble: ImapError | None = None
    backoff: Backoff = field(default_factory=Backoff)
    notes: dict[MirrorNo, FolderNotes] = field(default_factory=dict)
    as_of: dict[FolderNo, int] = field(default_factory=dict)
    transit: Transit = field(default_factory=Transit)
    tree: FolderTree | None = None
    keeper: RunKeeper | None = None

    def turn(self, nudged: bool, lane: Lane = Lane.BACKFILL) -> Plan | None:
        """Do what is due in `lane`; return when the next turn is wanted, None when the account is gone.

        `nudged` says that the account, its folders or its runs were changed by an API call.
        """
        account = self.env.store.account_by_no(self.no)
        if account is None:
            self.close()
            return None
        try:
            return self._turn(account, nudged, lane)
        except AccountNotFoundError:
            self.close()
            return None
        except (ConflictError, FolderNotFoundError):
            return Plan(self.env.clock() + CONFLICT_DELAY)
        except StoreFullError as error:
            log.warning("sync_stopped", account=account.name, reason=error.reason, detail=str(error))
            self._intents(account).break_off(error)
            return Plan(self.env.clock() + STORE_FULL_DELAY)
        except Exception:
            # Who waits for a change would wait until the fault is mended.
            self._intents(account).break_off(MailsyncError("a fault of the service; nothing was sent"))
            raise

    def _turn(self, account: Account, nudged: bool, lane: Lane) -> Plan:
        if account.paused:
            self._intents(account).break_off(AccountPausedError(f"{account.name} is paused; resume it first"))
            self.close()
            self.as_of.clear()
            return Plan(self.env.clock() + IDLE)
        self._follow_edits(account)
        keeper = self._keeper(account, nudged)
        asked = keeper.requested or self.env.store.open_intents(self.no)
        if self.backoff.waits(self.env.clock()) and not (asked and self.backoff.failures < 2):
            self._intents(account).break_off(self.trouble or ImapUnreachableError("the mail server is away"))
            return Plan(self.backoff.until)
        return self._guarded(account, keeper, lane)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    # Preparation

    def _follow_edits(self, account: Account) -> None:
        login = (endpoint_of(account), account.username, account.sealed_credentials)
        resumed = self.failed and account.state is AccountState.ACTIVE
        if login != self.login or resumed:
            self.close()
            self.backoff.clear()
            if not self.login:
                self._take_up_breaker(account)
            self.login, self.next_poll = login, 0.0

    def _take_up_breaker(self, account: Account) -> None:
        """Go on waiting where a process before us found the credentials refused: restarts must lock nobody out."""
        if account.state is AccountState.AUTH_FAILED:
            self.failed = True
            age = max(0, self.env.now() - account.state_since) / 1_000
            self.backoff = retry.auth_resumed(age, self.env.clock())

    def _keeper(self, account: Account, nudged: bool) -> RunKeeper:
        if self.keeper is None:
            self.keeper = RunKeeper(self.env.store, account.key, self.env.now)
            self.tree = FolderTree(self.env.store, account.key, self.env.random)
            nudged = True
        if nudged:
            self.keeper.refresh()
            if self.keeper.cancelled:
                self.keeper.settle([])
        return self.keeper

    # Failures

    def _guarded(self, account: Account, keeper: RunKeeper, lane: Lane) -> Plan:
        try:
            more = self._work(account, keeper, lane)
            self._settle_state(account, AccountState.ACTIVE)
        except CredentialsNeededError as error:
            self._intents(account).break_off(error)
            keeper.fail(error)
            self._settle_state(account, AccountState.CREDENTIALS_NEEDED, error.reason, str(error))
            return Plan(self.env.clock() + CREDENTIALS_DELAY)
        except BudgetSpentError as error:
            self._intents(account).break_off(error)
            log.info("account_waits", account=account.name, detail=str(error))
            return Plan(self.env.clock() + retry.jittered(error.retry_after, self.env.draw))
        except ImapExpiredError as error:
            return self._expired(account, keeper, error)
        except ImapError as error:
            return self._failed(account, keeper, error)
        self.backoff.clear()
        self._make_room()
        return Plan(self._next_look(), self.env.clock() if more else None)

    def _next_look(self) -> float:
        own = [notes.look_due for notes in self.notes.values() if notes.look_due is not None]
        return min([self.next_poll, *own])

    def _expired(self, account: Account, keeper: RunKeeper, error: ImapExpiredError) -> Plan:
        """Log in again at once, the first time: sessions end with the token that opened them."""
        if self.backoff.failures:
            return self._failed(account, keeper, error)
        self.close()
        self.next_poll = self.env.clock()
        self.backoff.fail(self.next_poll, retry.at_once, self.env.draw)
        return Plan(self.next_poll)

    def _failed(self, account: Account, keeper: RunKeeper, error: ImapError) -> Plan:
        self.close()
        self.trouble = error
        self._intents(account).break_off(error)
        metrics.SYNC_ERRORS.labels(reason=error.reason).inc()
        delay = retry.auth_delay if isinstance(error, ImapAuthError) else retry.network_delay
        self.backoff.fail(self.env.clock(), delay, self.env.draw)
        # What was due still is: a login that then finds nothing to do would pass for a success.
        self.next_poll = self.backoff.until
        state = AccountState.AUTH_FAILED if isinstance(error, ImapAuthError) else AccountState.UNREACHABLE
        log.warning("account_failed", account=account.name, reason=error.reason, detail=str(error))
        keeper.fail(error)
        # One refused connection is no outage: the state is told when the second try fails too.
        if state is AccountState.AUTH_FAILED or self.backoff.failures > 1:
            self._settle_state(account, state, error.reason, str(error))
        return Plan(self.backoff.until)

    def _make_room(self) -> None:
        if self.connection is not None and self.connection.lease.wanted:
            self.connection.logout()
            self.connection = None

    def _settle_state(
        self, account: Account, state: AccountState, reason: str = "", message: str = ""
    ) -> None:
        changed = account.in_state(state, self.env.now(), reason, message)
        if self.connection is not None and account.capabilities != self._capabilities:
            changed = replace(changed, version=account.version + 1, capabilities=self._capabilities)
        if not account.view_truncated and any(notes.view_cut for notes in self.notes.values()):
            changed = replace(changed, version=account.version + 1, view_truncated=True)
        if changed is not account:
            self.env.store.apply(Batch(account.key, (AccountChanged(changed),)))
        self.failed = state is not AccountState.ACTIVE

    @property
    def _capabilities(self) -> tuple[str, ...]:
        return tuple(sorted(self.connection.capabilities)) if self.connection is not None else ()

    # Work

    def _work(self, account: Account, keeper: RunKeeper, lane: Lane) -> bool:
        """Do one turn's work; True when pending messages are left."""
        settled = self._changed(account)
        if settled and self.connection is not None:
            with suppress(ImapError):  # one that has idled may be dead; then another takes its place
                self.connection.noop()
        connection = self._connected(account)
        connection.lease.check(Use.POLL)
        self._list_when_due(connection, keeper, settled)
        # An interval that was made shorter counts at once.
        latest = self.env.clock() + retry.longest(account.settings.poll_interval)
        self.next_poll = min(self.next_poll, latest)
        due = self.env.clock() >= self.next_poll
        if due:
            self.next_poll = self.env.clock() + retry.jittered(account.settings.poll_interval, self.env.draw)
        visit = Visit(
            Turn(
                *(self.env, account, connection, keeper, self.notes, self.as_of, self.transit, self._tree),
                *(self.next_poll, lane, settled),
            )
        )
        follow_up = FollowUp(visit.turn, self._intents(account), dict(self.transit.looked))
        more = visit.through(due)
        follow_up.conclude(more)
        return more

    def _intents(self, account: Account) -> Intents:
        return Intents(self.env.store, account.key, self.env.now, self.env.spool)

    def _changed(self, account: Account) -> tuple[Intent, ...]:
        """Make the changes of the mail server that callers asked for; return those that the mirror is to show."""
        intents = self._intents(account)
        if intents.of_folders() and self.connection is not None:
            # A folder that one session deletes breaks others that have it open.
            self.connection.logout()
            self.connection = None
        intents.carry_out(lambda: ChangingConnection(self._spare_connection(account)))
        return intents.settled()

    def _spare_connection(self, account: Account) -> Connection:
        """Return a connection of its own, in the place of the sync's where the server puts up with one only."""
        try:
            return self.env.connect(account)
        except (ConnectionsSpentError, ImapThrottledError):
            if self.connection is None:
                raise
            self.close()
            return self.env.connect(account)

    def _connected(self, account: Account) -> Connection:
        if any(notes.distrusts(self.connection, self.env.clock()) for notes in self.notes.values()):
            self.close()
        if self.connection is None or self.connection.closed:
            self.connection = self.env.connect(account)
        return self.connection

    def _list_when_due(self, connection: Connection, keeper: RunKeeper, settled: tuple[Intent, ...]) -> None:
        of_folders = [intent for intent in settled if not intent.of_messages]
        if of_folders:
            show_folders(self._tree, connection, of_folders)
        elif self.env.clock() >= self.next_listing or self._tree.missing or keeper.waiting:
            self._tree.refresh(connection)
        else:
            return
        self.next_listing = self.env.clock() + LISTING_INTERVAL

    @property
    def _tree(self) -> FolderTree:
        assert self.tree is not None
        return self.tree

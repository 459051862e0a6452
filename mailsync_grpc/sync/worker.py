"""A sync worker process: its accounts, their turns, and how it hears of changes.

Worker `index` of `count` has the accounts whose number leaves `index` when divided by `count`. It learns of commands by
reading the event log it shares with the API process: an account, folder or run that changed makes its account due. The
log is durable, so a lost hint delays a command and loses none. A pipe ties it to its parent: a beat goes up every
second from the loop that hands out turns, and the end of the pipe ends the worker.
"""

import gc
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe

import structlog

from mailsync_grpc import metrics
from mailsync_grpc.config import Config
from mailsync_grpc.errors import RevisionCompactedError, StoreFullError, places
from mailsync_grpc.imap.budget import Process, Use
from mailsync_grpc.imap.connecting import connector, ledger_of
from mailsync_grpc.model.changes import EventKind
from mailsync_grpc.model.ids import AccountNo, FolderNo, Revision
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.sync.account import AccountSync
from mailsync_grpc.sync.environment import Environment
from mailsync_grpc.sync.logins import logins
from mailsync_grpc.sync.scheduler import Lane, Plan, Scheduler
from mailsync_grpc.vault import open_vault

BEAT = 1.0
END_PATIENCE = 5.0
"""Seconds from the parent's end to ours, whatever turns wait for."""
FAULT_DELAY = 60.0
"""Seconds before an account is tried again in which a fault of ours showed, so that it is no tight loop."""
TOUCH_INTERVAL = 60.0
LOG_READ = 1_000
LOG_READ_BYTES = 8 << 20
COMMANDS = frozenset(
    {
        EventKind.ACCOUNT_CHANGED,
        EventKind.ACCOUNT_REMOVED,
        EventKind.FOLDER_CHANGED,
        EventKind.SYNC_RUN_CHANGED,
    }
)

log = structlog.get_logger()


@dataclass(slots=True)
class Worker:
    """The turns of one process's accounts. `beat` is called about every second while the loop is alive."""

    env: Environment
    index: int
    count: int
    threads: int
    stopping: threading.Event
    beat: Callable[[], None] = lambda: None
    _scheduler: Scheduler = field(init=False)
    _wake: threading.Condition = field(default_factory=threading.Condition)
    _syncs: dict[AccountNo, AccountSync] = field(default_factory=dict)
    _nudged: set[AccountNo] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Give backfills at most half of the threads, so that polls always find one."""
        self._scheduler = Scheduler({Lane.POLL: self.threads, Lane.BACKFILL: max(1, self.threads // 2)})

    def run(self) -> None:
        """Hand out turns until `stopping` is set, then wait for those that run."""
        seen = self.env.store.stats().log_head
        self._adopt_all()
        follower = threading.Thread(target=self._follow_log, args=(seen,), name="follow-log", daemon=True)
        follower.start()
        with ThreadPoolExecutor(self.threads, thread_name_prefix="turn") as pool:
            while not self.stopping.is_set():
                self.beat()
                job = self._next()
                if job is not None:
                    pool.submit(self._turn, *job)
        follower.join()
        for sync in self._syncs.values():
            sync.close()
        self._touch({})

    # Turns

    def _next(self) -> tuple[AccountNo, Lane] | None:
        with self._wake:
            job = self._scheduler.take(self.env.clock())
            if job is None:
                due = self._scheduler.next_due()
                wait = BEAT / 2 if due is None else min(max(due - self.env.clock(), 0.01), BEAT / 2)
                self._wake.wait(wait)
            return job

    def _turn(self, account: AccountNo, lane: Lane) -> None:
        sync = self._syncs.setdefault(account, AccountSync(self.env, account))
        with self._wake:
            nudged = account in self._nudged
            self._nudged.discard(account)
        try:
            planned = sync.turn(nudged, lane)
        except Exception as error:  # noqa: BLE001 - a fault of ours in one account must not stop the others
            fault = type(error).__name__
            log.warning("turn_failed", account=account, error=fault, frames=places(error))
            sync.close()
            planned = Plan(self.env.clock() + FAULT_DELAY)
        with self._wake:
            if planned is None:
                self._scheduler.forget(account)
                self._syncs.pop(account, None)
            else:
                self._scheduler.put(account, *planned)
            self._wake.notify()

    # Commands

    def _adopt_all(self) -> None:
        accounts = self._stored()
        # Spread over the first seconds, so that a restart does not open every connection at once.
        spread = min(10.0, len(accounts) / 50)
        for account in accounts:
            self._scheduler.put(account, self.env.clock() + spread * self.env.draw())

    def _stored(self) -> set[AccountNo]:
        """Return this worker's accounts as the store has them."""
        found: set[AccountNo] = set()
        after = ""
        while accounts := self.env.store.accounts(after):
            after = accounts[-1].id
            found |= {account.no for account in accounts if self._mine(account.no)}
        return found

    def _mine(self, account: AccountNo) -> bool:
        return account % self.count == self.index

    def _follow_log(self, seen: Revision) -> None:
        touched: dict[tuple[AccountNo, FolderNo], int] = {}
        touch_at = self.env.clock() + TOUCH_INTERVAL
        while not self.stopping.is_set():
            try:
                self.env.store.wait_for_commit(seen, BEAT)
                seen = self._obey(seen)
                if self.env.clock() >= touch_at:
                    touch_at = self.env.clock() + TOUCH_INTERVAL
                    self._touch(touched)
            except Exception as error:  # noqa: BLE001 - a worker that hears no commands is worse than a full store
                log.warning("log_not_followed", error=type(error).__name__, frames=places(error))
                self.stopping.wait(BEAT)

    def _obey(self, seen: Revision) -> Revision:
        try:
            while records := self.env.store.log(seen, LOG_READ, LOG_READ_BYTES).records:
                self._nudge({record.account for record in records if record.kind in COMMANDS})
                seen = records[-1].revision
        except RevisionCompactedError as error:
            # What was dropped may have held commands, and every account's records still say what they were.
            self._nudge({*self._stored(), *self._syncs})
            return Revision(error.head)
        return seen

    def _nudge(self, concerned: set[AccountNo]) -> None:
        accounts = {account for account in concerned if self._mine(account)}
        if accounts:
            with self._wake:
                self._nudged |= accounts
                for account in accounts:
                    self._scheduler.nudge(account)
                self._wake.notify()

    # Freshness

    def _touch(self, touched: dict[tuple[AccountNo, FolderNo], int]) -> None:
        """Write the times of looks that changed nothing, all in one transaction."""
        syncs = list(self._syncs.values())
        looks = {(sync.no, folder): as_of for sync in syncs for folder, as_of in dict(sync.as_of).items()}
        news = [(*key, as_of) for key, as_of in looks.items() if touched.get(key) != as_of]
        if looks:
            metrics.FOLDER_STALENESS.set(max(0, self.env.now() - min(looks.values())) / 1_000)
        if news:
            with suppress(StoreFullError):  # the times are only shown, and told again in a minute
                self.env.store.touch(news)
                touched.update(looks)


def run(config: Config, index: int, count: int, pipe: Pipe) -> None:
    """Be worker `index` of `count` until SIGTERM or until the parent's end of `pipe` closes (spawned, never forked)."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when a terminal's Ctrl-C stops us
    threading.Thread(target=end_with, args=(pipe, stopping), name="parent", daemon=True).start()
    store = open_store(config.data_dir, exclusive=False, max_bytes=config.store.max_bytes)
    relax_collector()
    try:
        environment = _environment(config, store, stopping)
        Worker(environment, index, count, config.worker_threads, stopping, Beat(pipe)).run()
    finally:
        store.close()


def relax_collector() -> None:
    """Look for reference cycles seldom: a batch is tens of thousands of values without any, and looking took a tenth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _environment(config: Config, store: Store, stopping: threading.Event) -> Environment:
    vault, books = open_vault(config), ledger_of(config, Process.SYNC)
    return Environment(
        store=store,
        connect=connector(config.imap, vault, logins(store, vault, config), books, Use.POLL),
        clock=time.monotonic,
        now=lambda: time.time_ns() // 1_000_000,
        random=os.urandom,
        draw=random.SystemRandom().random,
        stopping=stopping.is_set,
    )


def end_with(
    pipe: Pipe,
    stopping: threading.Event,
    patience: float = END_PATIENCE,
    end: Callable[[int], object] = os._exit,
) -> None:
    """Stop when the parent's end of the pipe closes; end the process when turns do not let it stop in time."""
    with suppress(EOFError, OSError):
        pipe.recv_bytes()
    stopping.set()
    # A turn may wait for its mail server for minutes; what it has not committed is done again.
    time.sleep(patience)
    end(1)


@dataclass(slots=True)
class Beat:
    """Tells the parent that this process is alive, at most once a second."""

    pipe: Pipe
    last: float = 0.0

    def __call__(self) -> None:
        """Send a beat when one is due; a parent that is gone is noticed by the reader of the pipe."""
        now = time.monotonic()
        if now - self.last >= BEAT:
            self.last = now
            with suppress(OSError):
                self.pipe.send_bytes(b".")

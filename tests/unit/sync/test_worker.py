"""A worker hears every command, whatever the store does meanwhile, and never runs two turns of one account at once."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe

from mailsync_grpc.errors import ImapUnreachableError, MailsyncError, RevisionCompactedError, StoreFullError
from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import AccountChanged
from mailsync_grpc.model.ids import AccountNo, FolderNo, Revision
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import LogSlice
from mailsync_grpc.sync.account import AccountSync
from mailsync_grpc.sync.environment import Environment
from mailsync_grpc.sync.worker import Worker, end_with
from tests.support.store import account_of

PATIENCE = 5.0


class FailingStore(MemoryStore):
    """A store whose next read of new events raises what `faults` holds."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[MailsyncError] = []

    def log(self, after: Revision, limit: int, max_bytes: int) -> LogSlice:
        """As `Store.log`, but for the faults."""
        found = super().log(after, limit, max_bytes)
        if found.records and self.faults:
            raise self.faults.pop()
        return found


class UntouchableStore(MemoryStore):
    """A store that takes no times while it is full."""

    full = True

    def touch(self, as_of: Sequence[tuple[AccountNo, FolderNo, int]]) -> None:
        """As `Store.touch`, but for the fault."""
        if self.full:
            raise StoreFullError("for a while")
        super().touch(as_of)


def register(store: MemoryStore, account_id: str) -> None:
    account = account_of(store, account_id)
    store.apply(Batch(account.key, (AccountChanged(account),)))


@dataclass
class Server:
    """A mail server that no connection reaches; `open` lets those that try give up."""

    open: threading.Event = field(default_factory=threading.Event)
    tried: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    trying: int = 0
    most: int = 0

    def connect(self, _: Account) -> Connection:
        """Wait for `open`, and count who waits."""
        self.trying += 1
        self.most = max(self.most, self.trying)
        self.tried.release()
        self.open.wait(PATIENCE)
        self.trying -= 1
        raise ImapUnreachableError("nobody is there")


def environment(store: MemoryStore, server: Server, stopping: threading.Event) -> Environment:
    return Environment(
        store=store,
        connect=server.connect,
        clock=time.monotonic,
        now=lambda: time.time_ns() // 1_000_000,
        random=bytes,
        draw=lambda: 0.0,
        stopping=stopping.is_set,
    )


@contextmanager
def working(store: MemoryStore, server: Server) -> Iterator[None]:
    """A worker of all accounts at work in a thread."""
    stopping = threading.Event()
    env = environment(store, server, stopping)
    thread = threading.Thread(target=Worker(env, 0, 1, 4, stopping).run)
    thread.start()
    try:
        yield
    finally:
        server.open.set()
        stopping.set()
        thread.join()


def test_a_log_that_cannot_be_read_for_a_while_loses_no_command() -> None:
    store, server = FailingStore(), Server()
    with working(store, server):
        store.faults.append(StoreFullError("for a moment"))
        register(store, "one")
        assert server.tried.acquire(timeout=PATIENCE)


def test_commands_that_were_dropped_with_old_events_are_obeyed_without_a_second_turn_beside_the_first() -> (
    None
):
    store, server = FailingStore(), Server()
    with working(store, server):
        register(store, "first")
        assert server.tried.acquire(timeout=PATIENCE)
        store.faults.append(RevisionCompactedError(1, 2))
        register(store, "second")
        assert server.tried.acquire(timeout=PATIENCE), "of the second account"
        assert not server.tried.acquire(timeout=0.3), "the first account's turn is not over"
    assert server.most == 2


def test_times_of_looks_that_a_full_store_does_not_take_are_told_later() -> None:
    store = UntouchableStore()
    worker = Worker(environment(store, Server(), threading.Event()), 0, 1, 1, threading.Event())
    sync = worker._syncs[AccountNo(1)] = AccountSync(worker.env, AccountNo(1))
    sync.as_of[FolderNo(1)] = 1_000
    touched: dict[tuple[AccountNo, FolderNo], int] = {}
    worker._touch(touched)
    assert not touched
    store.full = False
    worker._touch(touched)
    assert touched == {(1, 1): 1_000}


def test_a_worker_whose_parent_is_gone_ends_whatever_its_turns_wait_for() -> None:
    ours, theirs = Pipe()
    stopping, ended = threading.Event(), threading.Event()
    thread = threading.Thread(target=end_with, args=(theirs, stopping, 0.0, lambda _: ended.set()))
    thread.start()
    assert not stopping.wait(0.05)
    ours.close()
    assert ended.wait(PATIENCE)
    assert stopping.is_set()
    thread.join()

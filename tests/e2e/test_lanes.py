"""Backfills on every thread that may have one leave the polls of other accounts on time, in a worker at work."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from ipaddress import ip_network
from itertools import pairwise

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connecting import endpoint_of
from mailsync_grpc.imap.connection import Connection, connect
from mailsync_grpc.imap.endpoint import Policy
from mailsync_grpc.model.account import Account, Security, SyncSettings
from mailsync_grpc.model.changes import AccountChanged, SyncRunChanged
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.model.run import RunKind, SyncRun
from mailsync_grpc.store.base import Batch, Counter
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.sync.environment import Environment
from mailsync_grpc.sync.fetching import BACKFILL_SLICE
from mailsync_grpc.sync.worker import Worker
from tests.support.hostile import METADATA, HostileServer
from tests.support.hostile_faults import meanwhile

OTHERS = 4
SECONDS = 6.0
INTERVAL = 0.3
BATCH = 10
BATCH_SECONDS = 0.03
POLICY = Policy(allow_networks=(ip_network("127.0.0.0/8"),), allow_plaintext=True)


def register(store: MemoryStore, server: HostileServer, name: str, interval: float) -> AccountNo:
    account = Account(
        *(AccountNo(store.allocate(Counter.ACCOUNT)), name, 1, server.host, server.port),
        security=Security.PLAINTEXT,
        username=server.mailbox.user,
        sealed_credentials=b"sealed",
        settings=SyncSettings(poll_interval=interval, batch_size=BATCH),
    )
    run = SyncRun(account.key, store.allocate(Counter.SYNC_RUN), 1, RunKind.INITIAL)
    store.apply(Batch(account.key, (AccountChanged(account), SyncRunChanged(run))))
    return account.no


def connected(account: Account) -> Connection:
    return connect(endpoint_of(account), POLICY, Password("ann", "secret"))


def tick(times: list[float]) -> None:
    times.append(time.monotonic())


def longest_pause(times: list[float]) -> float:
    return max(later - earlier for earlier, later in pairwise(times))


def pending(store: MemoryStore, account: AccountNo) -> int:
    return sum(len(progress.pending) for _, progress in store.folders(account))


@contextmanager
def working(store: MemoryStore) -> Iterator[None]:
    """A worker of all accounts with four threads, in this process."""
    stopping = threading.Event()
    env = Environment(
        store=store,
        connect=connected,
        clock=time.monotonic,
        now=lambda: time.time_ns() // 1_000_000,
        random=os.urandom,
        draw=lambda: 0.5,
        stopping=stopping.is_set,
    )
    thread = threading.Thread(target=Worker(env, 0, 1, 4, stopping).run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def test_long_backfills_leave_the_polls_of_other_accounts_on_time() -> None:
    store = MemoryStore()
    with ExitStack() as stack:
        huge, *small = [stack.enter_context(HostileServer()) for _ in range(1 + OTHERS)]
        huge.mailbox.deliver(messages(3_000))
        huge.always(METADATA, meanwhile(lambda: time.sleep(BATCH_SECONDS)))
        long = [register(store, huge, f"long{number}", 30.0) for number in range(4)]
        heard: list[list[float]] = [[] for _ in small]
        for number, server in enumerate(small):
            register(store, server, f"other{number}", INTERVAL)
            server.always(b".", meanwhile(partial(tick, heard[number])))
        with working(store):
            time.sleep(SECONDS)
            assert all(pending(store, account) for account in long), "the backfills are still at it"
    assert all(longest_pause(times) < BACKFILL_SLICE / 2 for times in heard)
    assert all(times[-1] - times[0] > SECONDS / 2 for times in heard)

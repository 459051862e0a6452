"""A process to be killed: `python -m tests.support.crash_child <what> <data directory> <acknowledgements>`.

`sync` is a sync worker over the store there, with its purge, as the server runs them, except that everything that takes
its time takes hardly any and comes in small pieces, so that a second holds a hundred commits of every kind. `purge` only
purges. Each head of the log that it sees is added to the file of acknowledgements, with the check of its event.
"""

import os
import random
import sys
import threading
import time
from pathlib import Path

from mailsync_grpc.cli.demo.loopback import PASSWORD
from mailsync_grpc.content.spool import Spool
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connecting import endpoint_of
from mailsync_grpc.imap.connection import Connection, connect
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.sync import account, brake, fetching, removals, retry, worker
from mailsync_grpc.sync.environment import Environment
from tests.support.mirror import POLICY

PURGED_ROWS = 3
SPOOL_KEY = bytes(range(32))


def hurry() -> None:
    """Shorten every wait of the sync and cut its work small."""
    fetching.BACKFILL_SLICE = 0.02
    account.LISTING_INTERVAL, account.CONFLICT_DELAY = 0.1, 0.01
    retry.NETWORK_BASE, retry.NETWORK_CAP = 0.01, 0.05
    worker.TOUCH_INTERVAL = 0.1
    removals.REMOVAL_CHUNK = 2
    brake.COUNT, brake.PAUSE = 3, 0.05


def purge_for_ever(store: Store) -> None:
    while True:
        while store.purge(PURGED_ROWS):
            pass
        time.sleep(0.05)


def acknowledge_for_ever(store: Store, path: Path) -> None:
    with path.open("ab", buffering=0) as told:
        head = Revision(0)
        while True:
            seen, head = head, store.wait_for_commit(head, 1.0)
            if head > seen:
                told.write(b"%d %d\n" % (head, store.log_check(head)))


def connected(account: Account) -> Connection:
    return connect(endpoint_of(account), POLICY, Password(account.username, PASSWORD))


def sync_for_ever(store: Store, directory: Path) -> None:
    stopping = threading.Event()
    environment = Environment(
        store=store,
        connect=connected,
        clock=time.monotonic,
        now=lambda: time.time_ns() // 1_000_000,
        random=os.urandom,
        draw=random.random,
        stopping=stopping.is_set,
        spool=Spool(directory / "spool", SPOOL_KEY, 1 << 30),
    )
    worker.Worker(environment, 0, 1, 4, stopping).run()


def main(what: str, directory: str, acknowledgements: str) -> None:
    """Do `what` until killed."""
    hurry()
    store = open_store(Path(directory), exclusive=True)
    threading.Thread(target=acknowledge_for_ever, args=(store, Path(acknowledgements)), daemon=True).start()
    if what == "sync":
        threading.Thread(target=purge_for_ever, args=(store,), daemon=True).start()
        sync_for_ever(store, Path(directory))
    else:
        purge_for_ever(store)


if __name__ == "__main__":
    main(*sys.argv[1:])

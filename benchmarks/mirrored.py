"""A folder that is mirrored already, in a durable store, and the worker's own step over it, called in this process.

So neither the scheduler's nor the caller's waiting is measured.
"""

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Usage, timed
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connecting import endpoint_of
from mailsync_grpc.imap.connection import connect
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.sync.commit import Committer
from mailsync_grpc.sync.folder import FolderSync
from mailsync_grpc.sync.notes import FolderNotes
from mailsync_grpc.sync.worker import relax_collector
from tests.support.mail import Mailbox
from tests.support.mirror import POLICY, Mirror


@contextmanager
def as_in_a_worker() -> Iterator[None]:
    """Let this process collect garbage as seldom as a worker does."""
    before = gc.get_threshold()
    relax_collector()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@contextmanager
def mirrored(mailbox: Mailbox, directory: Path) -> Iterator[Mirror]:
    """The mailbox mirrored in a store in `directory`, until the block ends; its files stay."""
    mirror = Mirror(mailbox, store=open_store(directory, exclusive=True))
    try:
        mirror.settle()
        yield mirror
    finally:
        mirror.close()


@contextmanager
def connected(user: str, password: str, store: Store) -> Iterator[Callable[[bool], Usage]]:
    """Yield a function that looks at INBOX once, in full or for what changed, over one connection."""
    (account,) = store.accounts()
    with connect(endpoint_of(account), POLICY, Password(user, password)) as connection:

        def look(full: bool) -> Usage:
            stored = store.folders(account.no)
            folder, progress = next(pair for pair in stored if pair[0].display_name == "INBOX")
            state = Committer(
                store, connection, account, folder, progress, FolderNotes(), time.monotonic, _now, os.urandom
            )
            return timed(lambda: FolderSync(state, lambda _: True).look(full))

        yield look


def _now() -> int:
    return time.time_ns() // 1_000_000

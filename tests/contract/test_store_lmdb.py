"""What the LMDB engine promises to several processes and threads on one data directory."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import lmdb
import pytest

from mailsync_grpc.errors import (
    StoreFullError,
    StoreLockedError,
)
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.store.base import Counter
from mailsync_grpc.store.lmdb import LmdbStore, open_store
from mailsync_grpc.store.lock import LOCK_FILE
from mailsync_grpc.store.writer import WriteUnit
from tests.support.store import EVERYTHING, Mailbox, message_of
from tests.support.store_process import Spawn, environment_of, said, wait_until


def test_what_was_committed_is_there_when_opened_again(lmdb_store: LmdbStore, data_dir: Path) -> None:
    inbox = Mailbox.make(lmdb_store)
    inbox.add(message_of(1, "\\Seen"))
    rows, epoch = inbox.rows(), lmdb_store.epoch
    lmdb_store.close()
    again = open_store(data_dir, exclusive=True)
    inbox.store = again
    assert (inbox.rows(), again.epoch) == (rows, epoch)
    assert again.allocate(Counter.ACCOUNT) == inbox.account.no + 1
    again.close()


def test_double_start(data_dir: Path, spawn: Spawn) -> None:
    """A second server is refused with the first one's pid, and may start when that one is gone, however it went."""
    open_store_with_account(data_dir)
    first = spawn("hold")
    assert said(first) == "held"
    with pytest.raises(StoreLockedError, match=rf"pid {first.pid}\b"):
        open_store(data_dir, exclusive=True)
    first.kill()
    first.wait()
    open_store(data_dir, exclusive=True).close()
    assert (data_dir / LOCK_FILE).read_text() == f"{os.getpid()}\n"


def open_store_with_account(data_dir: Path) -> None:
    store = open_store(data_dir, exclusive=True)
    Mailbox.make(store)
    store.close()


def test_a_commit_of_another_process_ends_the_wait(lmdb_store: LmdbStore, spawn: Spawn) -> None:
    inbox = Mailbox.make(lmdb_store)
    head = lmdb_store.stats().log_head
    child = spawn("commit")
    assert lmdb_store.wait_for_commit(head, 60) > head
    assert child.wait() == 0
    assert len(inbox.rows()) == 5


def test_a_lost_hint_delays_the_wait_by_half_a_second(
    lmdb_store: LmdbStore, data_dir: Path, spawn: Spawn
) -> None:
    Mailbox.make(lmdb_store)
    head = lmdb_store.stats().log_head
    for hint in (data_dir / "hints").iterdir():
        hint.unlink()
    child = spawn("commit")
    assert child.wait() == 0
    assert lmdb_store.wait_for_commit(head, 60) > head


def test_sockets_of_dead_processes_are_cleared_away(
    lmdb_store: LmdbStore, data_dir: Path, spawn: Spawn
) -> None:
    Mailbox.make(lmdb_store)
    child = spawn("read")
    assert said(child) == "reading"
    assert len(list((data_dir / "hints").iterdir())) == 2
    child.kill()
    child.wait()
    lmdb_store.allocate(Counter.FOLDER)
    wait_until(lambda: len(list((data_dir / "hints").iterdir())) == 1)


# Python 3.12 warns of forking a process with threads, which is the very thing tested.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork_guard(lmdb_store: LmdbStore) -> None:
    """A forked child cannot use the store, and its end leaves the parent's alone."""
    inbox = Mailbox.make(lmdb_store)
    pid = os.fork()
    if pid == 0:
        refused = 0
        for use in (lmdb_store.accounts, partial(inbox.add, message_of(1)), lmdb_store.close):
            try:
                use()
            except RuntimeError:
                refused += 1
        os._exit(0 if refused == 3 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    inbox.add(message_of(1))
    assert len(inbox.rows()) == 1


@pytest.mark.parametrize("how", ["opening", "hourly"])
def test_stale_reader(lmdb_store: LmdbStore, spawn: Spawn, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The slot of a killed reader, which would hold back every page since, is cleared at the next open and hourly."""
    Mailbox.make(lmdb_store)
    child = spawn("read")
    assert said(child) == "reading"
    child.kill()
    child.wait()
    assert str(child.pid) in environment_of(lmdb_store).env.readers()
    if how == "opening":
        assert spawn("commit").wait() == 0
    else:
        monkeypatch.setattr("mailsync_grpc.store.lmdb._READER_CHECK_INTERVAL", 0.0)
        lmdb_store.purge(1)
    assert str(child.pid) not in environment_of(lmdb_store).env.readers()


def test_a_closed_store_refuses_further_writes(data_dir: Path) -> None:
    store = open_store(data_dir, exclusive=True)
    store.close()
    with pytest.raises(RuntimeError, match="closed"):
        store.allocate(Counter.ACCOUNT)


def test_jobs_that_wait_together_share_a_commit(lmdb_store: LmdbStore) -> None:
    """One fsync for all: what queues up behind a slow commit is committed as one group."""
    inbox = Mailbox.make(lmdb_store)
    begun, go_on = threading.Event(), threading.Event()

    def slow(_: object) -> None:
        begun.set()
        go_on.wait(30)

    threads = [threading.Thread(target=lmdb_store._writer.do, args=(slow,))]
    threads[0].start()
    begun.wait(30)
    commits = environment_of(lmdb_store).env.info()["last_txnid"]
    threads += [threading.Thread(target=inbox.add, args=(message_of(uid),)) for uid in range(1, 11)]
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: lmdb_store._writer._queue.qsize() == 10)
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(inbox.rows()) == 10
    assert environment_of(lmdb_store).env.info()["last_txnid"] == commits + 1


def test_a_job_that_fails_late_in_a_group_takes_back_its_revisions(lmdb_store: LmdbStore) -> None:
    """Whatever a job did to the log's bounds before it failed is undone with its transaction."""
    inbox, begun, go_on = Mailbox.make(lmdb_store), threading.Event(), threading.Event()

    def slow(_: WriteUnit) -> None:
        begun.set()
        go_on.wait(30)

    def fail_late(unit: WriteUnit) -> None:
        unit.bounds = unit.bounds._replace(head=unit.bounds.head + 1)
        raise StoreFullError("late")

    with ThreadPoolExecutor(3) as pool:
        pool.submit(lmdb_store._writer.do, slow)
        begun.wait(30)
        failing = pool.submit(lmdb_store._writer.do, fail_late)
        wait_until(lambda: lmdb_store._writer._queue.qsize() == 1)
        adding = pool.submit(inbox.add, message_of(1))
        wait_until(lambda: lmdb_store._writer._queue.qsize() == 2)
        go_on.set()
        assert isinstance(failing.exception(), StoreFullError)
        assert adding.result() == (3, 3)
    assert [record.revision for record in lmdb_store.log(Revision(0), 9, EVERYTHING).records] == [1, 2, 3]


def test_closing_commits_what_was_queued(data_dir: Path) -> None:
    """A batch is acknowledged or refused, whatever happens to the store meanwhile."""
    store = open_store(data_dir, exclusive=True)
    inbox = Mailbox.make(store)
    acknowledged: list[Revision] = []

    def write() -> None:
        for uid in range(1, 10_000):
            try:
                acknowledged.append(inbox.add(message_of(uid)).last)
            except (RuntimeError, lmdb.Error):
                return

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: len(acknowledged) > 5)
    store.close()
    writer.join()
    inbox.store = open_store(data_dir, exclusive=True)
    assert len(inbox.rows()) == len(acknowledged)
    inbox.store.close()


def test_the_server_ends_at_once_when_terminated_with_a_store_open(data_dir: Path, spawn: Spawn) -> None:
    open_store_with_account(data_dir)
    child = spawn("hold")
    assert said(child) == "held"
    child.send_signal(signal.SIGTERM)
    assert child.wait(30) == -signal.SIGTERM

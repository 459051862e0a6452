"""What the LMDB engine promises beyond the protocol: processes, limits, damage, and refusals that say what to do."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import lmdb
import pytest

from mailsync_grpc.errors import (
    ConfigError,
    StoreCorruptError,
    StoreFullError,
    StoreLockedError,
    StoreSchemaError,
)
from mailsync_grpc.model.changes import AccountRemoved
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.store import keys
from mailsync_grpc.store.base import KEPT_LOG, Batch, Counter
from mailsync_grpc.store.environment import Environment, refuse_network_file_system
from mailsync_grpc.store.lmdb import LmdbStore, open_store
from mailsync_grpc.store.lock import LOCK_FILE
from tests.support.store import EVERYTHING, Mailbox, ManualClock, message_of

ROOT = Path(__file__).parents[2]
Spawn = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Where the stores of a test are."""
    # Longer than the path of a Unix socket may be.
    return tmp_path / ("data" * 30)


@pytest.fixture
def lmdb_store(data_dir: Path, clock: ManualClock) -> Iterator[LmdbStore]:
    """An empty LMDB store, opened as the server does."""
    store = open_store(data_dir, exclusive=True, clock=clock)
    yield store
    store.close()


@pytest.fixture
def spawn(data_dir: Path) -> Iterator[Spawn]:
    """Start another process on the data directory; see tests.support.store_child."""
    children: list[subprocess.Popen[str]] = []

    def start(what: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "tests.support.store_child", what, str(data_dir)]
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


def said(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


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


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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


def test_stale_reader(data_dir: Path, spawn: Spawn) -> None:
    """The slot of a killed reader, which would hold back every page since, is cleared when the store is opened."""
    open_store_with_account(data_dir)
    child = spawn("read")
    assert said(child) == "reading"
    child.kill()
    child.wait()
    store = open_store(data_dir, exclusive=True)
    assert environment_of(store).env.reader_check() == 0
    assert str(child.pid) not in environment_of(store).env.readers()
    store.close()


def environment_of(store: LmdbStore) -> Environment:
    return store._environment


def test_reader_bloat(lmdb_store: LmdbStore) -> None:
    """No read outlives its call, so pages are used again and rewriting the same rows does not grow the file."""
    inbox = Mailbox.make(lmdb_store)
    messages = [message_of(uid, text="x" * 200) for uid in range(1, 51)]

    def rewrite() -> int:
        for _ in range(30):
            inbox.backfill(*messages)
            lmdb_store.page(inbox.folder, None, 10, EVERYTHING)
        return int(environment_of(lmdb_store).env.info()["last_pgno"])

    settled = rewrite()
    assert rewrite() < settled * 1.2


def test_map_full(data_dir: Path, clock: ManualClock) -> None:
    """At the limit writes are refused; reads go on, retention and deletes free space, and then writes go on too."""
    store = open_store(data_dir, exclusive=True, clock=clock, max_bytes=4 << 20)
    inbox, doomed = Mailbox.make(store), Mailbox.make(store, "doomed")
    doomed.backfill(*(message_of(uid, text="y" * 500) for uid in range(1, 501)))
    added = fill(inbox)
    assert len(inbox.rows()) == added
    with pytest.raises(StoreFullError, match=r"store\.max_bytes"):
        inbox.add(message_of(added + 1, text="z" * 500))
    clock.now += 60
    assert store.trim_log(0, 0, 10)
    assert store.stats().log_floor == 10
    store.apply(Batch(doomed.account.key, (AccountRemoved(doomed.account.key),)))
    while store.purge(200):
        pass
    inbox.add(message_of(added + 1))
    assert len(inbox.rows()) == added + 1
    store.close()


def fill(inbox: Mailbox) -> int:
    for uid in range(1, 100_000):
        try:
            inbox.add(message_of(uid, text="z" * 500))
        except StoreFullError:
            return uid - 1
    raise AssertionError("the limit was never met")


def test_a_full_store_may_drop_events_younger_than_an_hour(data_dir: Path, clock: ManualClock) -> None:
    store = open_store(data_dir, exclusive=True, clock=clock, max_bytes=2 << 20)
    inbox = Mailbox.make(store)
    store.trim_log(0, 0, 100)
    assert store.stats().log_floor == 0
    added = fill(inbox)
    clock.now += KEPT_LOG / 60
    assert store.trim_log(EVERYTHING, 1_000, 1)
    while store.trim_log(EVERYTHING, 1_000, 1_000):
        pass
    assert store.stats().log_floor > 0
    inbox.add(message_of(added + 1))
    store.close()


def test_disk_full(lmdb_store: LmdbStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk down to its reserve stops writes as the limit does, and they go on when space returns."""
    inbox = Mailbox.make(lmdb_store)
    usage = os.statvfs(environment_of(lmdb_store).path)
    full = os.statvfs_result((*usage[:4], 100, *usage[5:]))
    with monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", lambda _: full)
        with pytest.raises(StoreFullError):
            inbox.add(message_of(1))
        assert inbox.rows() == []
        assert not lmdb_store.purge(10)
    inbox.add(message_of(1))
    assert len(inbox.rows()) == 1


def truncate(path: Path) -> None:
    os.truncate(path, 3 * 4096)


def overwrite(path: Path) -> None:
    path.write_bytes(b"not a store" * 1_000)


def empty(path: Path) -> None:
    with lmdb.open(str(path.parent), max_dbs=20) as env, env.begin(write=True) as txn:
        txn.drop(env.open_db(b"meta", txn=txn), delete=False)


@pytest.mark.parametrize("damage", [truncate, overwrite, empty])
def test_a_damaged_store_refuses_to_open_and_says_what_to_do(
    data_dir: Path, damage: Callable[[Path], None]
) -> None:
    store = open_store(data_dir, exclusive=True)
    Mailbox.make(store).backfill(*map(message_of, range(1, 500)))
    store.close()
    damage(data_dir / "store" / "data.mdb")
    with pytest.raises(StoreCorruptError, match=r"data\.mdb is damaged .* restore a backup, or move"):
        open_store(data_dir, exclusive=True)
    # The refusal let go of everything: once the damage is moved away a new store can be made.
    (data_dir / "store").rename(data_dir / "damaged")
    open_store(data_dir, exclusive=True).close()


@pytest.mark.parametrize(("schema", "age"), [(keys.SCHEMA + 1, "newer"), (0, "older")])
def test_a_store_of_another_schema_is_refused_with_what_to_do(data_dir: Path, schema: int, age: str) -> None:
    open_store(data_dir, exclusive=True).close()
    with lmdb.open(str(data_dir / "store"), max_dbs=20) as env, env.begin(write=True) as txn:
        txn.put(keys.SCHEMA_KEY, keys.number.pack(schema), db=env.open_db(b"meta", txn=txn))
    with pytest.raises(
        StoreSchemaError, match=rf"{age} version .*schema {schema}, this one reads {keys.SCHEMA}"
    ):
        open_store(data_dir, exclusive=True)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/root / ext4 rw 0 0\nserver:/x {tmp_path}/with\\040space {kind} rw 0 0\n")
    refuse_network_file_system(tmp_path / "local", mounts)
    with pytest.raises(ConfigError, match=f"data_dir: .* {kind}"):
        refuse_network_file_system(tmp_path / "with space" / "store", mounts)


def test_the_data_directory_is_its_owners_alone(lmdb_store: LmdbStore, data_dir: Path) -> None:
    Mailbox.make(lmdb_store)
    for path in (data_dir, *data_dir.rglob("*")):
        if not path.is_socket():
            assert path.stat().st_mode & 0o077 == 0


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

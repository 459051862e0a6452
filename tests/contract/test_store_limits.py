"""Where the LMDB engine says no: full, damaged, of another schema, on a network file system; and that it says what to do."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lmdb
import pytest

from mailsync_grpc.errors import (
    ConfigError,
    StoreCorruptError,
    StoreFullError,
)
from mailsync_grpc.model.changes import AccountRemoved
from mailsync_grpc.model.intent import Intent, IntentKind, IntentState, Outcome
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import KEPT_LOG, Batch
from mailsync_grpc.store.environment import refuse_network_file_system
from mailsync_grpc.store.lmdb import LmdbStore, open_store
from mailsync_grpc.store.values import SealedTokens, Trimmed
from tests.support.store import EVERYTHING, Mailbox, ManualClock, message_of
from tests.support.store_process import environment_of


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
    # A provider gives a renewed token once, so there is room for it.
    store.apply(Batch(inbox.account.key, tokens=SealedTokens(1, b"t" * 4_000)))
    assert store.tokens(inbox.account.no).version == 1
    clock.now += 60
    assert store.trim_log(0, 0, 10).more
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
    assert store.trim_log(EVERYTHING, 1_000, 1) == Trimmed(0, 1, more=True)
    while store.trim_log(EVERYTHING, 1_000, 1_000).more:
        pass
    assert store.stats().log_floor > 0
    inbox.add(message_of(added + 1))
    store.close()


def test_a_full_store_takes_what_became_of_a_change_and_no_new_one(
    data_dir: Path, clock: ManualClock
) -> None:
    """The mail server has made it; who waits for the answer would be told when there is space, and it be looked for until then."""
    store = open_store(data_dir, exclusive=True, clock=clock, max_bytes=2 << 20)
    inbox = Mailbox.make(store)
    uids = UidSet.of(range(1, 20_000, 2))
    asked = Intent(inbox.account.key, 1, 1, IntentKind.EXPUNGE, uids=uids)
    begun = replace(asked, version=2, state=IntentState.BEGUN)
    for intent in (asked, begun):
        store.apply(Batch(inbox.account.key, intents=(intent,)))
    fill(inbox)
    settled = replace(begun, version=3, state=IntentState.SETTLED, outcome=Outcome(uids))
    ended = replace(settled, version=4, state=IntentState.ENDED)
    for intent in (settled, ended):
        store.apply(Batch(inbox.account.key, intents=(intent,)))
    with pytest.raises(StoreFullError):
        store.apply(Batch(inbox.account.key, intents=(replace(asked, no=2),)))
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
    with lmdb.open(str(path.parent), max_dbs=32) as env, env.begin(write=True) as txn:
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

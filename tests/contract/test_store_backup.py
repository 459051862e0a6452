"""A backup is a whole store of one moment and of its own, made while others write; a half one is none."""

from pathlib import Path

import lmdb
import pytest

from mailsync_grpc.errors import ConfigError, StoreCorruptError, StoreSchemaError
from mailsync_grpc.model.intent import Intent, IntentKind, IntentState
from mailsync_grpc.store import keys
from mailsync_grpc.store.backup import back_up
from mailsync_grpc.store.base import Batch, Counter
from mailsync_grpc.store.lmdb import open_store
from tests.support.cli import mailsync
from tests.support.replay import Replayer, listed
from tests.support.store import Mailbox, message_of
from tests.support.store_process import Spawn, said


@pytest.fixture
def filled(data_dir: Path) -> Path:
    """The data directory of a store with an account of a few folders."""
    store = open_store(data_dir, exclusive=True)
    for number in range(3):
        Mailbox.make(store, name=f"Folder {number}").backfill(*map(message_of, range(1, 200)))
    store.close()
    return data_dir


def test_a_backup_holds_everything_under_an_epoch_of_its_own(filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "copy"
    made = back_up(filled, target)
    assert [path.name for path in target.rglob("*")] == ["store", "data.mdb"]
    store, copy = open_store(filled, exclusive=True), open_store(target, exclusive=True)
    assert listed(copy) == listed(store)
    assert (copy.stats().log_head, made.accounts) == (store.stats().log_head, 1)
    assert made.epoch == copy.epoch != store.epoch
    copy.close()
    store.close()


def test_a_backup_is_as_of_one_moment_while_others_write(
    data_dir: Path, tmp_path: Path, spawn: Spawn
) -> None:
    store = open_store(data_dir, exclusive=True)
    for number in range(3):
        Mailbox.make(store, name=f"Folder {number}")
    store.close()
    writing = spawn("write")
    for number in range(5):
        assert said(writing)
        target = tmp_path / f"copy {number}"
        back_up(data_dir, target)
        copy = open_store(target, exclusive=True)
        assert Replayer(copy).catch_up() == listed(copy)
        assert copy.stats().envelopes
        copy.close()
    assert writing.poll() is None


def test_a_backup_leaves_out_the_freed_pages(data_dir: Path, tmp_path: Path) -> None:
    store = open_store(data_dir, exclusive=True)
    inbox = Mailbox.make(store)
    for _ in range(20):
        inbox.backfill(*(message_of(uid, text="x" * 500) for uid in range(1, 300)))
    used = store.stats().bytes_used
    store.close()
    made = back_up(data_dir, tmp_path / "copy")
    assert made.octets < used * 1.1
    assert (tmp_path / "copy" / "store" / "data.mdb").stat().st_mode & 0o077 == 0


def test_a_backup_refuses_what_is_not_empty_and_leaves_it_alone(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    for target in (tmp_path / "kept", filled, tmp_path / "kept" / "file"):
        with pytest.raises(ConfigError):
            back_up(filled, target)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["file"]


def test_a_backup_of_no_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no store in"):
        back_up(tmp_path / "nowhere", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_what_cannot_be_backed_up_leaves_no_half_copy(filled: Path, tmp_path: Path) -> None:
    with lmdb.open(str(filled / "store"), max_dbs=32) as env, env.begin(write=True) as txn:
        txn.put(keys.SCHEMA_KEY, keys.number.pack(keys.SCHEMA + 1), db=env.open_db(b"meta", txn=txn))
    with pytest.raises(StoreSchemaError, match="newer"):
        back_up(filled, tmp_path / "copy")
    (filled / "store" / "data.mdb").write_bytes(b"not a store" * 1_000)
    with pytest.raises(StoreCorruptError):
        back_up(filled, tmp_path / "copy")
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_backup_that_was_killed_is_no_store(filled: Path, tmp_path: Path) -> None:
    """Not even one with the epoch of the original."""
    environment = {"MAILSYNC_FAILPOINT": "before_backup", "MAILSYNC_DATA_DIR": str(filled)}
    done = mailsync("backup", str(tmp_path / "copy"), environment=environment)
    assert done.returncode < 0
    assert not (tmp_path / "copy" / "store").exists()
    again = mailsync("backup", str(tmp_path / "copy"), environment={"MAILSYNC_DATA_DIR": str(filled)})
    assert again.returncode == 2
    assert "is not empty; name a new directory" in again.stderr


def test_what_callers_have_asked_for_and_not_got_is_left_to_the_original(
    data_dir: Path, tmp_path: Path
) -> None:
    """A store made of the backup must not make the change a second time, perhaps much later."""
    store = open_store(data_dir, exclusive=True)
    mailbox = Mailbox.make(store)
    kinds = (IntentState.ASKED, IntentState.ENDED)
    intents = tuple(
        Intent(mailbox.account.key, store.allocate(Counter.INTENT), 1, IntentKind.EXPUNGE, state=state)
        for state in kinds
    )
    store.apply(Batch(mailbox.account.key, intents=intents))
    store.close()
    back_up(data_dir, tmp_path / "copy")
    copy = open_store(tmp_path / "copy", exclusive=True)
    assert copy.open_intents(mailbox.account.no) == []
    assert copy.accounts_with_intents() == set()
    assert [copy.intent(mailbox.account.no, one.no) for one in intents] == [None, intents[1]]
    copy.close()

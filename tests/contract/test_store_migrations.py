"""A store of an older version becomes one of this version, wholly or not at all, and says what to do where it cannot."""

import json
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import lmdb
import pytest

from mailsync_grpc.errors import StoreSchemaError
from mailsync_grpc.model.folder import FolderProgress
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store import keys
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.codec.records import PROGRESS
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.store.values import NO_TOKENS, SealedTokens
from tests.support.replay import Replayer, listed
from tests.support.store import Mailbox, message_of

ROOT = Path(__file__).parents[2]
FOLDERS = 3
# As version 1 wrote it: UIDs up to `history_end` were there at the first look, 12 and 14 have arrived since.
PENDING = UidSet.parse("1:3,9,12,14")
V1_PROGRESS = {
    "cursor": 14, "pending": {"ranges": [[1, 3], [9, 9], [12, 12], [14, 14]]}, "history_end": 10, "expected_exists": 9,
    "stored": 2, "synced": True, "as_of": 5, "verified_at": 4,
}  # fmt: skip
V2_PROGRESS = FolderProgress(
    cursor=14,
    pending=PENDING,
    arriving=UidSet.parse("12,14"),
    expected_exists=9,
    stored=2,
    synced=True,
    as_of=5,
    verified_at=4,
)


def edited(data_dir: Path, schema: int, progress: dict[str, object]) -> None:
    """Make the store what a version of that schema would have written."""
    with lmdb.open(str(data_dir / "store"), max_dbs=20) as env, env.begin(write=True) as txn:
        handle = env.open_db(b"progress", txn=txn)
        for key in list(txn.cursor(handle).iternext(values=False)):
            txn.put(key, json.dumps([progress]).encode(), db=handle)
        txn.drop(env.open_db(b"outside", txn=txn))
        txn.put(keys.SCHEMA_KEY, keys.number.pack(schema), db=env.open_db(b"meta", txn=txn))


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    """The data directory of a store of schema 1 with a few folders and messages."""
    store = open_store(tmp_path / "v1", exclusive=True)
    for number in range(FOLDERS):
        Mailbox.make(store, name=f"Folder {number}").backfill(message_of(5), message_of(11, "\\Seen"))
    store.close()
    edited(tmp_path / "v1", 1, V1_PROGRESS)
    return tmp_path / "v1"


def found(data_dir: Path) -> tuple[int, list[bytes], bool]:
    """The schema, the progress records and whether there is a database `outside`, as they are in the files."""
    with lmdb.open(str(data_dir / "store"), max_dbs=20) as env, env.begin() as txn:
        schema = txn.get(keys.SCHEMA_KEY, b"", db=env.open_db(b"meta", txn=txn))
        progress = [value for _, value in txn.cursor(env.open_db(b"progress", txn=txn))]
        return keys.number.unpack(schema)[0], progress, txn.get(b"outside") is not None


def test_a_store_of_version_1_is_migrated_by_the_server_that_opens_it(version_1: Path) -> None:
    store = open_store(version_1, exclusive=True)
    (account,) = store.accounts()
    assert [progress for _, progress in store.folders(account.no)] == [V2_PROGRESS] * FOLDERS
    assert Replayer(store).catch_up() == listed(store)
    folder, _ = store.folders(account.no)[0]
    store.apply(Batch(account.key, outside=((folder.key, UidSet.parse("7")),)))
    store.close()
    again = open_store(version_1, exclusive=True)
    assert again.outside(account.no, folder.mirror) == UidSet.parse("7")
    assert again.folders(account.no)[1][1] == V2_PROGRESS
    again.close()


def opened_by_a_child(data_dir: Path, failpoint: str) -> bool:
    """Let a server open the store that dies at the failpoint; whether it came through."""
    command = [sys.executable, "-m", "tests.support.store_child", "open", str(data_dir)]
    environment = {**os.environ, "MAILSYNC_FAILPOINT": failpoint}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def test_migrate_crash(version_1: Path, tmp_path: Path) -> None:
    """SIGKILL at each point of the migration leaves version 1 or version 2; the next server makes it version 2."""
    migrated = shutil.copytree(version_1, tmp_path / "migrated")
    assert opened_by_a_child(migrated, "")
    before, after = found(version_1), found(migrated)
    left = []
    for point in count(1):
        data_dir = shutil.copytree(version_1, tmp_path / f"killed {point}")
        if opened_by_a_child(data_dir, f"in_opening:{point}"):
            break
        left.append(found(data_dir))
        open_store(data_dir, exclusive=True).close()
        assert found(data_dir) == after
    # With databases made, after each record, before the commit; and after it.
    assert left == [before] * (FOLDERS + 2) + [after]
    assert [PROGRESS.decode(record) for record in after[1]] == [V2_PROGRESS] * FOLDERS


def test_a_process_that_is_no_server_migrates_nothing(version_1: Path) -> None:
    """A server of the older version may be at work."""
    before = found(version_1)
    with pytest.raises(StoreSchemaError, match="start `mailsync serve`, which migrates it"):
        open_store(version_1, exclusive=False)
    assert found(version_1) == before


@pytest.mark.parametrize(("schema", "age"), [(keys.SCHEMA + 1, "newer"), (0, "older")])
def test_a_store_that_cannot_be_migrated_is_refused_as_it_is_with_what_to_do(
    version_1: Path, schema: int, age: str
) -> None:
    edited(version_1, schema, V1_PROGRESS)
    before = found(version_1)
    with pytest.raises(
        StoreSchemaError,
        match=rf"{age} version .*schema {schema}, this one reads 1 to {keys.SCHEMA}\); run that version, or move",
    ):
        open_store(version_1, exclusive=True)
    assert found(version_1) == before


def test_accounts_of_version_2_log_in_with_passwords_and_may_have_tokens(tmp_path: Path) -> None:
    store = open_store(tmp_path, exclusive=True)
    account = Mailbox.make(store).account
    store.close()
    with lmdb.open(str(tmp_path / "store"), max_dbs=20) as env, env.begin(write=True) as txn:
        accounts, key = env.open_db(b"accounts", txn=txn), keys.number.pack(account.no)
        stored = txn.get(key, b"", db=accounts)
        (record,) = json.loads(keys.record_body(stored))
        del record["auth_kind"]
        txn.put(key, keys.pack_record(account.version, 0, json.dumps([record]).encode()), db=accounts)
        for name in (b"tokens", b"authorizations"):
            txn.drop(env.open_db(name, txn=txn))
        txn.put(keys.SCHEMA_KEY, keys.number.pack(2), db=env.open_db(b"meta", txn=txn))
    migrated = open_store(tmp_path, exclusive=True)
    assert migrated.account(account.id) == account
    assert migrated.tokens(account.no) == NO_TOKENS
    migrated.apply(Batch(account.key, tokens=SealedTokens(1, b"one")))
    assert migrated.tokens(account.no) == SealedTokens(1, b"one")
    migrated.close()

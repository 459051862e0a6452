"""Killed anywhere, an LMDB store comes back whole: nothing acknowledged is lost, and its log tells what it holds."""

import os
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from mailsync_grpc.model.folder import FolderProgress
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.lmdb import open_store
from tests.support.replay import Replayer, listed
from tests.support.store import Mailbox, all_rows
from tests.support.store_child import BATCH, kept_uids, moved_uid

ROOT = Path(__file__).parents[2]
RUNS = int(os.environ.get("MAILSYNC_CRASH_RUNS", "2"))
FAILPOINTS = ("before_commit", "in_commit", "after_commit", "before_hint")
FOLDERS = 4
KILLED = -9


def written_until_killed(
    data_dir: Path, failpoint: str = "", acknowledgements: int = sys.maxsize
) -> list[str]:
    """Run a writing child until it dies at the failpoint or is killed; return the lines it acknowledged."""
    command = [sys.executable, "-m", "tests.support.store_child", "write", str(data_dir)]
    environment = {**os.environ, "MAILSYNC_FAILPOINT": failpoint}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = []
        for line in child.stdout:
            lines.append(line)
            if len(lines) == acknowledgements:
                child.kill()
        assert child.wait() == KILLED
    return lines


def expected_uids(lines: list[str]) -> dict[FolderNo, set[int]]:
    expected: dict[FolderNo, set[int]] = defaultdict(set)
    for line in lines:
        folder, first = map(int, line.split())
        expected[FolderNo(folder)] |= kept_uids(first) - {first}
    return expected


def check_whole(store: Store, acknowledged: dict[FolderNo, set[int]]) -> None:
    """Everything acknowledged is stored, each batch wholly or not at all, and the log folds to the store."""
    (account,) = store.accounts()
    *written, (target, _) = store.folders(account.no)
    moved = set()
    for folder, progress in written:
        stored = {row.uid for row in all_rows(store, folder)}
        assert acknowledged[folder.no] <= stored
        firsts = range(1, progress.cursor, BATCH)
        assert stored == set().union(*map(kept_uids, firsts)) - set(firsts)
        moved |= {moved_uid(folder.no, first) for first in firsts}
    assert {row.uid for row in all_rows(store, target)} == moved
    assert Replayer(store).catch_up() == listed(store)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory whose store has an account with a few folders."""
    store = open_store(tmp_path / "data", exclusive=True)
    for number in range(FOLDERS):
        Mailbox.make(store, name=f"Folder {number}")
    store.close()
    return tmp_path / "data"


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_crash_everywhere(data_dir: Path, failpoint: str) -> None:
    """SIGKILL at each named point of a commit, again and again on one store."""
    acknowledged: dict[FolderNo, set[int]] = defaultdict(set)
    for run in range(RUNS):
        lines = written_until_killed(data_dir, f"{failpoint}:{random.Random(run).randint(1, 60)}")
        for folder, uids in expected_uids(lines).items():
            acknowledged[folder] |= uids
        store = open_store(data_dir, exclusive=True)
        check_whole(store, acknowledged)
        store.close()


def test_crash_everywhere_at_random(data_dir: Path) -> None:
    """SIGKILL from outside after a random number of acknowledgements."""
    acknowledged: dict[FolderNo, set[int]] = defaultdict(set)
    for run in range(RUNS):
        lines = written_until_killed(data_dir, acknowledgements=random.Random(run).randint(1, 200))
        for folder, uids in expected_uids(lines).items():
            acknowledged[folder] |= uids
        store = open_store(data_dir, exclusive=True)
        check_whole(store, acknowledged)
        store.close()


def test_a_new_store_whose_creation_was_cut_short_is_created_again(tmp_path: Path) -> None:
    """Schema, epoch and databases come with one commit, so a data directory without it is simply new."""
    (tmp_path / "store").mkdir()
    store = open_store(tmp_path, exclusive=True)
    folder = Mailbox.make(store).folder
    assert store.folder_by_no(folder.account.no, folder.no) == (folder, FolderProgress())
    store.close()

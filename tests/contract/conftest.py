"""The store engines that the conformance suite runs over."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailsync_grpc.store.base import Store
from mailsync_grpc.store.lmdb import LmdbStore, open_store
from mailsync_grpc.store.memory import MemoryStore
from tests.support.store import Mailbox, ManualClock
from tests.support.store_process import Spawn

ROOT = Path(__file__).parents[2]
ENGINES = ("memory", "lmdb")


@pytest.fixture
def clock() -> ManualClock:
    """The store's clock, which the test moves."""
    return ManualClock()


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """An empty store of each engine."""
    opened: Store = MemoryStore(clock)
    if request.param == "lmdb":
        opened = open_store(tmp_path / "data", exclusive=True, clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def inbox(store: Store) -> Mailbox:
    """The INBOX of an account in that store."""
    return Mailbox.make(store)


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

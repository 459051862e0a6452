"""The store engines that the conformance suite runs over."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailsync_grpc.store.base import Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.store.memory import MemoryStore
from tests.support.store import Mailbox, ManualClock

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

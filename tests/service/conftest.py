"""An API over a memory store, fresh for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailsync_grpc.store.base import Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.store.memory import MemoryStore
from tests.support.api import Api, serving


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The API with default settings and an empty store."""
    async with serving(MemoryStore(), tmp_path) as served:
        yield served


@pytest.fixture(params=["memory", "lmdb"])
async def api_of_each_engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Api]:
    """The same over a store of each engine."""
    store: Store = (
        MemoryStore() if request.param == "memory" else open_store(tmp_path / "data", exclusive=True)
    )
    async with serving(store, tmp_path) as served:
        yield served
    store.close()

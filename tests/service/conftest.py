"""An API over a memory store, fresh for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailsync_grpc.store.memory import MemoryStore
from tests.support.api import Api, serving


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """The API with default settings and an empty store."""
    async with serving(MemoryStore(), tmp_path) as served:
        yield served

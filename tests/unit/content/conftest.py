"""Fixtures of the content tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mailsync_grpc.imap.sessions import Sessions
from tests.unit.content.cache_rig import CacheRig
from tests.unit.content.rig import ReaderRig
from tests.unit.content.session_fakes import FakeServer


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[ReaderRig]:
    rig = ReaderRig(tmp_path / "content")
    await rig.reader.__aenter__()
    yield rig
    await rig.reader.__aexit__(None, None, None)


@pytest.fixture
def cached(tmp_path: Path) -> Iterator[CacheRig]:
    rig = CacheRig(tmp_path / "content")
    yield rig
    rig.cache.close()


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
async def sessions(server: FakeServer) -> AsyncIterator[Sessions]:
    sessions = Sessions(server.connect, per_account=2, threads=8)
    yield sessions
    await sessions.close()
    assert all(connection.closed for connection in server.connections)

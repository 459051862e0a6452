"""A server that does harm on command, and a mirror of its mailbox with small batches."""

from collections.abc import Iterator

import pytest

from mailsync_grpc.model.account import SyncSettings
from tests.support.hostile import HostileServer
from tests.support.mirror import Mirror


@pytest.fixture
def hostile() -> Iterator[HostileServer]:
    """A mail server in memory, honest until a rule spoils its answers."""
    with HostileServer() as server:
        yield server
        server.heal()


@pytest.fixture
def hostile_mirror(hostile: HostileServer) -> Iterator[Mirror]:
    """A mirror of the hostile server's empty mailbox, not yet synced."""
    mirror = Mirror(hostile.mailbox, SyncSettings(batch_size=10, flags_window=10))
    yield mirror
    mirror.close()

"""Mirrors, not yet synced, of mailboxes on every kind of mail server, and a server that does harm on command."""

from collections.abc import Iterator

import pytest

from mailsync_grpc.model.account import SyncSettings
from tests.support.hostile import HostileMailbox, HostileServer
from tests.support.mirror import Mirror


@pytest.fixture
def faked_mailbox() -> Iterator[HostileMailbox]:
    """An empty mailbox on a server that does no harm."""
    with HostileServer() as server:
        yield server.mailbox


@pytest.fixture(
    params=[
        pytest.param("mailbox", id="dovecot"),
        pytest.param("mailbox_plain", id="plain_server"),
        pytest.param("faked_mailbox", id="honest_fake"),
    ]
)
def mirror(request: pytest.FixtureRequest) -> Iterator[Mirror]:
    """A mirror of an empty mailbox, not yet synced."""
    mirror = Mirror(request.getfixturevalue(request.param), SyncSettings(batch_size=100, flags_window=10))
    yield mirror
    mirror.close()


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

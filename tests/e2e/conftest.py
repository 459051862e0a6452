"""Mirrors, not yet synced, of mailboxes on every kind of mail server, a server that does harm on command, and a content reader."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mailsync_grpc.model.account import SyncSettings
from tests.support.content_rig import ContentRig
from tests.support.content_site import Site
from tests.support.hostile import HostileMailbox, HostileServer
from tests.support.hostile_session import CONDSTORE, FULL, PLAIN
from tests.support.mail import Mailbox
from tests.support.mirror import Mirror
from tests.support.service import Service, Stubs, running


@pytest.fixture
def faked_mailbox() -> Iterator[HostileMailbox]:
    """An empty mailbox on a server that does no harm."""
    with HostileServer() as server:
        yield server.mailbox


@pytest.fixture
def faked_condstore() -> Iterator[HostileMailbox]:
    """The same on one that tells mod-sequences, and not what vanished."""
    with HostileServer(CONDSTORE) as server:
        yield server.mailbox


SHARP = [
    pytest.param("mailbox", id="dovecot"),
    pytest.param("faked_mailbox", id="honest_fake"),
    pytest.param("faked_condstore", id="without_qresync"),
]
"""Mailboxes on servers that tell what changed since the last look, for `mirror`."""


@pytest.fixture(params=[*SHARP, pytest.param("mailbox_plain", id="plain_server")])
def mirror(request: pytest.FixtureRequest) -> Iterator[Mirror]:
    """A mirror of an empty mailbox, not yet synced."""
    mirror = Mirror(request.getfixturevalue(request.param), SyncSettings(batch_size=100, flags_window=10))
    yield mirror
    mirror.close()


@pytest.fixture(params=[pytest.param(FULL, id="extended"), pytest.param(PLAIN, id="plain")])
def hostile(request: pytest.FixtureRequest) -> Iterator[HostileServer]:
    """A mail server in memory, honest until a rule spoils its answers."""
    with HostileServer(request.param) as server:
        yield server
        server.heal()


@pytest.fixture
def hostile_mirror(hostile: HostileServer) -> Iterator[Mirror]:
    """A mirror of the hostile server's empty mailbox, not yet synced."""
    mirror = Mirror(hostile.mailbox, SyncSettings(batch_size=10, flags_window=10))
    yield mirror
    mirror.close()


@pytest.fixture
async def rig(mailbox: Mailbox, tmp_path: Path) -> AsyncIterator[ContentRig]:
    """A content reader on an empty mailbox."""
    rig = ContentRig(mailbox, tmp_path)
    await rig.reader.__aenter__()
    yield rig
    await rig.reader.__aexit__(None, None, None)
    rig.client.logout()


@pytest.fixture
def site(tmp_path: Path, mailbox: Mailbox) -> Iterator[Site]:
    """A service with one account on an empty mailbox."""
    with running(Service(tmp_path / "home")) as service, Stubs(service.address) as stubs:
        yield Site(service, stubs, mailbox)

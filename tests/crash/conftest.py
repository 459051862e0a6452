"""Offices in which a worker is killed: over a real mail server, and over Gmail."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailsync_grpc.cli.demo.loopback import PASSWORD
from tests.support.crash_office import Office, opened
from tests.support.hostile import HostileServer
from tests.support.hostile_session import GMAIL
from tests.support.mail import Mailbox


@pytest.fixture
def office(tmp_path: Path, mailbox: Mailbox) -> Office:
    return opened(tmp_path, mailbox)


@pytest.fixture
def gmail(tmp_path: Path) -> Iterator[Office]:
    with HostileServer(GMAIL) as server:
        server.mailbox = server.mailbox.with_password(PASSWORD)
        yield opened(tmp_path, server.mailbox)

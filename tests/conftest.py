"""Fixtures every test may use: a real Dovecot, a mailbox of one's own; and hypothesis's profiles.

`make test` runs in several processes, each with its own Dovecots; a file's tests all run in one of them. Nothing is
shared between the processes, so no test may reach for what has a fixed name or port on the machine.
"""

import os
from collections.abc import Generator, Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, settings

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.dovecot_config import PLAIN_CAPABILITY, DovecotOptions
from tests.support.mail import Mailbox

_USERS = tuple(f"user{number:04}" for number in range(2000))
_LOG_LINES = 40
UIDPLUS_CAPABILITY = f"{PLAIN_CAPABILITY} UIDPLUS UNSELECT SPECIAL-USE LIST-EXTENDED"
_next_user = count()

# No deadlines: a shared machine's pauses are not failures of the code.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, print_blob=True)
settings.register_profile(
    "soak", max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))


@pytest.fixture(scope="session")
def dovecot() -> Iterator[DovecotServer]:
    """A Dovecot with all its extensions, started once in a process; missing, it is an error that says what to install."""
    with DovecotServer(_USERS) as server:
        yield server


@pytest.fixture(scope="session")
def dovecot_plain() -> Iterator[DovecotServer]:
    """A Dovecot that announces no extension: what is not announced must not be used."""
    with DovecotServer(_USERS, DovecotOptions(capability=PLAIN_CAPABILITY)) as server:
        yield server


@pytest.fixture(scope="session")
def dovecot_without_move() -> Iterator[DovecotServer]:
    """A Dovecot that announces UIDPLUS and neither MOVE nor CONDSTORE."""
    with DovecotServer(_USERS, DovecotOptions(capability=UIDPLUS_CAPABILITY)) as server:
        yield server


@pytest.fixture
def mailbox(dovecot: DovecotServer) -> Mailbox:
    """An empty mailbox of a user that no other test of this process, and hence of its server, has."""
    return Mailbox(dovecot, _USERS[next(_next_user)])


@pytest.fixture
def mailbox_plain(dovecot_plain: DovecotServer) -> Mailbox:
    """The same on the server without extensions."""
    return Mailbox(dovecot_plain, _USERS[next(_next_user)])


@pytest.fixture
def mailbox_without_move(dovecot_without_move: DovecotServer) -> Mailbox:
    """The same on the server without MOVE."""
    return Mailbox(dovecot_without_move, _USERS[next(_next_user)])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what its mail servers said last."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name, value in item.funcargs.items():
            if isinstance(value, DovecotServer) and value.directory.exists():
                report.sections.append((f"log of {name}", "\n".join(value.log().splitlines()[-_LOG_LINES:])))
    return report

"""Killed anywhere, a sync worker goes on where the store says: nothing is lost, nothing is told twice.

What a worker leaves behind is its commits, so a kill before and after each of them is a kill between any two steps of a
look, a backfill, a removal, a reset or a purge. `MAILSYNC_CRASH_RUNS` says how often each test kills.
"""

import random
from pathlib import Path

import pytest

from mailsync_grpc.model.window import SyncMode
from tests.support.crash import RUNS, Crashing, Site
from tests.support.mail import Mailbox
from tests.support.model_client import Change, Kind

FAILPOINTS = ("before_commit", "in_commit", "after_commit", "before_hint")
FIRST_SYNC_COMMITS = 30
pytestmark = pytest.mark.timeout(60 + 20 * RUNS)


@pytest.fixture
def crashing(tmp_path: Path, mailbox: Mailbox, request: pytest.FixtureRequest) -> Crashing:
    return Crashing(Site(tmp_path), mailbox, random.Random(request.node.name))


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_crash_everywhere(crashing: Crashing, failpoint: str) -> None:
    """SIGKILL at each named point of a commit, again and again on one store, while the mailbox changes."""
    for _ in range(RUNS):
        crashing.kill(f"{failpoint}:{crashing.rng.randint(1, 80)}")
        crashing.check()


def test_crash_everywhere_at_random(crashing: Crashing) -> None:
    """SIGKILL from outside, after a random number of acknowledged commits."""
    for _ in range(RUNS):
        crashing.kill(acknowledged=crashing.rng.randint(1, 60))
        crashing.check()


def test_crash_everywhere_while_much_of_a_folder_is_gone(crashing: Crashing) -> None:
    """SIGKILL between the looks that a mass disappearance waits for, which then are counted anew."""
    for _ in range(RUNS):
        crashing.client.make(Change(Kind.APPEND, "INBOX", many=12))
        crashing.check()
        crashing.client.make(Change(Kind.EXPUNGE, "INBOX", many=1_000))
        crashing.kill(acknowledged=crashing.rng.randint(1, 10))
        crashing.check()
    assert b"mass_disappearance" in crashing.site.logged()


def test_crash_everywhere_while_modes_change(crashing: Crashing) -> None:
    """SIGKILL while metadata that was left is fetched in the background, and while none is any more."""
    full, minimal = SyncMode.FULL_METADATA, SyncMode.MINIMAL
    crashing.client.make(Change(Kind.APPEND, "INBOX", many=20))
    crashing.check()
    for run in range(RUNS):
        crashing.set_modes({"one": (minimal, full)[run % 2], "two": (full, minimal)[run % 2]})
        crashing.kill(acknowledged=crashing.rng.randint(1, 12))
        crashing.check()


@pytest.mark.parametrize("failpoint", ["before_commit", "after_commit"])
def test_crash_everywhere_in_the_first_sync(tmp_path: Path, mailbox: Mailbox, failpoint: str) -> None:
    """SIGKILL in a backfill, evenly from its first commit to its last; each time another store."""
    for run in range(RUNS):
        crashing = Crashing(Site(tmp_path / str(run)), mailbox, random.Random(run))
        crashing.client.make(Change(Kind.APPEND, "INBOX", many=40))
        crashing.kill(f"{failpoint}:{1 + run * FIRST_SYNC_COMMITS // RUNS}")
        crashing.check()

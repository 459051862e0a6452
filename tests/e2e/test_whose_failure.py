"""Failures are told apart by whom they concern, a folder or the server, and each backs off by itself."""

from dataclasses import replace
from itertools import pairwise

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.errors import UnsafeArgumentError
from mailsync_grpc.model.account import AccountState
from mailsync_grpc.model.changes import AccountChanged, FolderChanged, FolderChangeKind
from mailsync_grpc.model.folder import Folder, MirrorNo, Selection
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.run import RunKind
from mailsync_grpc.store.base import Batch, Counter
from tests.support.agreement import assert_agreed
from tests.support.hostile import LOGIN, HostileServer
from tests.support.hostile_faults import closing, refusing
from tests.support.mirror import Mirror

WORK = b'EXAMINE "Work"'
WHOLE = b"UID FETCH 1:* (UID FLAGS)"


@pytest.fixture
def mirror(hostile_mirror: Mirror) -> Mirror:
    """A mirror of 30 messages in INBOX and five in Work, synced."""
    hostile_mirror.mailbox.create_folders("Work")
    hostile_mirror.mailbox.deliver(messages(30))
    hostile_mirror.mailbox.deliver(messages(5, seed=7), "Work")
    hostile_mirror.settle()
    select(hostile_mirror, "Work")
    hostile_mirror.settle()
    return hostile_mirror


def select(mirror: Mirror, name: str) -> None:
    folder, _ = mirror.folder(name)
    chosen = replace(folder, version=folder.version + 1, selection=Selection.SELECTED)
    mirror.store.apply(Batch(folder.account, (FolderChanged(chosen, FolderChangeKind.SELECTED),)))


def state(mirror: Mirror) -> AccountState:
    account = mirror.store.account("test")
    assert account is not None
    return account.state


def live(mirror: Mirror, seconds: float) -> None:
    """Take each turn at the time at which the one before wanted it, as a worker does."""
    end = mirror.clock() + seconds
    while mirror.clock() < end:
        planned = mirror.sync.turn(nudged=False)
        assert planned is not None
        mirror.clock.skipped += max((planned.backfill or planned.poll) - mirror.clock(), 0.0)


# A folder's


def test_a_folder_that_fails_when_its_full_comparison_is_due_starts_one_run_and_not_one_a_turn(
    mirror: Mirror, hostile: HostileServer
) -> None:
    hostile.always(WORK, refusing(b"[NOPERM] not yours any more"))
    mirror.clock.skipped += mirror.settings.full_interval
    sent = len(hostile.received)
    for _ in range(6):
        mirror.settle()
    runs = mirror.store.runs(mirror.account.no)
    assert sum(run.kind is RunKind.SCHEDULED for run in runs) == 1
    looks = list(pairwise(hostile.received[sent:]))
    assert looks.count((b'EXAMINE "INBOX"', WHOLE)) == 1, "the others are compared once"


def test_a_folder_whose_name_no_command_can_carry_fails_alone(mirror: Mirror) -> None:
    inbox, _ = mirror.folder()
    numbers = mirror.store.allocate(Counter.FOLDER), mirror.store.allocate(Counter.MIRROR)
    odd = Folder(
        *(inbox.account, FolderNo(numbers[0]), bytes(10), MirrorNo(numbers[1]), 1, b"a\r\nb", "a b"),
        selection=Selection.SELECTED,
    )
    mirror.store.apply(Batch(inbox.account, (FolderChanged(odd, FolderChangeKind.CREATED),)))
    mirror.mailbox.deliver(messages(2, seed=3), "Work")
    mirror.poll()
    assert_agreed(mirror, "INBOX", "Sent", "Work")
    assert mirror.folder("a b")[0].error_reason == UnsafeArgumentError.reason
    assert state(mirror) is AccountState.ACTIVE


# The server's


def test_a_server_that_drops_every_look_is_told_and_not_hammered(
    mirror: Mirror, hostile: HostileServer
) -> None:
    connections = hostile.connections
    hostile.always(b"EXAMINE|STATUS", closing(0))
    live(mirror, 1_800)
    assert state(mirror) is AccountState.UNREACHABLE
    assert hostile.connections - connections < 12
    hostile.heal()
    mirror.clock.skipped += 600
    mirror.poll()
    assert state(mirror) is AccountState.ACTIVE


def test_resuming_an_account_whose_login_failed_tries_it_at_once(
    mirror: Mirror, hostile: HostileServer
) -> None:
    mirror.mailbox = mirror.mailbox.with_password("wrong")
    mirror.sync.close()
    mirror.poll()
    assert state(mirror) is AccountState.AUTH_FAILED
    mirror.mailbox = hostile.mailbox
    mirror.mailbox.deliver(messages(1, seed=6))
    account = mirror.store.account("test")
    assert account is not None
    resumed = account.in_state(AccountState.ACTIVE, now=1)
    mirror.store.apply(Batch(account.key, (AccountChanged(resumed),)))
    mirror.settle()
    assert_agreed(mirror)


def test_a_login_that_fails_before_the_first_sync_is_not_repeated_at_once(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    """The event of the failure makes the account due at once, and its first run still waits."""
    hostile_mirror.mailbox = hostile_mirror.mailbox.with_password("wrong")
    hostile_mirror.settle()
    hostile_mirror.settle()
    assert len(hostile.sent(LOGIN)) == 1

"""Work is done when it is due or asked for, whatever was cancelled and however the machine's clock is set."""

from dataclasses import replace

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.imap.budget import DAY_HOURS, HOUR
from mailsync_grpc.model.changes import SyncRunChanged
from mailsync_grpc.model.run import RunKind, RunState, SyncRun
from mailsync_grpc.store.base import Batch, Counter
from tests.support.agreement import added, assert_agreed
from tests.support.hostile import LOGIN, METADATA, HostileServer
from tests.support.hostile_faults import closing, meanwhile
from tests.support.mirror import Mirror

DAY = DAY_HOURS * HOUR
FULL = rb"UID FETCH 1:\* \(UID FLAGS\)$"

# Cancelled runs


def ask(mirror: Mirror) -> None:
    """Ask for a full sync, as StartSync does."""
    number = mirror.store.allocate(Counter.SYNC_RUN)
    run = SyncRun(mirror.account.key, number, 1, RunKind.REQUESTED)
    mirror.store.apply(Batch(mirror.account.key, (SyncRunChanged(run),)))


def cancel(mirror: Mirror) -> None:
    """Cancel the newest run, as CancelSyncRun does."""
    run = mirror.store.runs(mirror.account.no)[0]
    assert run.state is RunState.RUNNING
    asked = replace(run, version=run.version + 1, cancel_requested=True)
    mirror.store.apply(Batch(mirror.account.key, (SyncRunChanged(asked),)))


def states(mirror: Mirror) -> list[RunState]:
    """Those of all runs, the oldest first."""
    return [run.state for run in reversed(mirror.store.runs(mirror.account.no))]


@pytest.fixture
def cancelled(hostile_mirror: Mirror, hostile: HostileServer) -> Mirror:
    """A mirror of 100 messages whose first sync was cancelled during its first batch."""
    hostile_mirror.mailbox.deliver(messages(100))
    hostile.once(METADATA, meanwhile(lambda: cancel(hostile_mirror)))
    hostile_mirror.settle()
    return hostile_mirror


def test_a_cancelled_run_stops_its_backfill_and_new_mail_is_told_all_the_same(cancelled: Mirror) -> None:
    assert states(cancelled) == [RunState.CANCELLED]
    left = len(cancelled.folder()[1].pending)
    assert left >= 80
    cancelled.mailbox.deliver(messages(2, seed=2))
    for restarted in (False, True):
        if restarted:
            cancelled.restart()
        for _ in range(5):
            cancelled.poll()
    assert added(cancelled) == [101, 102]
    assert len(cancelled.folder()[1].pending) == left
    assert states(cancelled) == [RunState.CANCELLED]


def test_a_cancelled_runs_work_is_done_by_the_next_that_is_asked_for(cancelled: Mirror) -> None:
    ask(cancelled)
    cancelled.settle()
    assert states(cancelled) == [RunState.CANCELLED, RunState.SUCCEEDED]
    assert_agreed(cancelled)
    assert added(cancelled) == []


def test_a_cancelled_runs_work_is_done_when_the_next_full_sync_is_due(cancelled: Mirror) -> None:
    cancelled.clock.skipped += cancelled.settings.full_interval
    cancelled.poll()
    assert states(cancelled) == [RunState.CANCELLED, RunState.SUCCEEDED]
    assert_agreed(cancelled)


def test_a_scheduled_run_that_was_cancelled_does_not_start_again_at_once(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    mirror = hostile_mirror
    deliver_history(mirror)
    mirror.settle()
    mirror.clock.skipped += mirror.settings.full_interval
    hostile.once(FULL, meanwhile(lambda: cancel(mirror)))
    mirror.settle()
    looks = len(hostile.sent(FULL))
    mirror.restart()
    for _ in range(5):
        mirror.poll()
    assert states(mirror) == [RunState.SUCCEEDED, RunState.CANCELLED]
    assert len(hostile.sent(FULL)) == looks
    mirror.clock.skipped += mirror.settings.full_interval
    mirror.poll()
    assert states(mirror) == [RunState.SUCCEEDED, RunState.CANCELLED, RunState.SUCCEEDED]


def test_a_run_is_cancelled_also_while_its_server_cannot_be_reached(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    mirror = hostile_mirror
    mirror.mailbox.deliver(messages(30))
    hostile.always(METADATA, closing(0))
    mirror.settle()
    cancel(mirror)
    asked = len(hostile.sent(LOGIN))
    mirror.settle()
    assert states(mirror) == [RunState.CANCELLED]
    assert len(hostile.sent(LOGIN)) == asked


# Clocks


def deliver_history(mirror: Mirror) -> None:
    """More than the newest flags in each folder, so that an incremental look is told from a full one."""
    for folder in ("INBOX", "Sent"):
        mirror.mailbox.deliver(messages(30), folder)


@pytest.mark.parametrize("jump", [DAY, -DAY, 400 * DAY, -400 * DAY], ids=["day", "back", "year", "year_back"])
def test_clock_jump(hostile_mirror: Mirror, hostile: HostileServer, jump: float) -> None:
    """The machine's clock is set: nothing is due for it, nothing waits for it, and a restart sorts itself out."""
    mirror = hostile_mirror
    deliver_history(mirror)
    mirror.settle()
    mirror.poll()
    mirror.wall_set = jump
    looks, head = len(hostile.sent(FULL)), mirror.head
    for _ in range(3):
        mirror.poll()
    assert (len(hostile.sent(FULL)), mirror.head) == (looks, head), "no storm"
    mirror.mailbox.deliver(messages(1, seed=2))
    mirror.poll()
    assert added(mirror) == [31], "no stall"
    mirror.clock.skipped += mirror.settings.full_interval
    mirror.poll()
    assert len(hostile.sent(FULL)) == looks + 2, "INBOX and Sent, when their interval is over"
    mirror.restart()
    for _ in range(3):
        mirror.poll()
    assert len(hostile.sent(FULL)) <= looks + 4, (
        "at most once more, when the stored time is all that is known"
    )
    mirror.clock.skipped += mirror.settings.full_interval
    mirror.poll()
    assert len(hostile.sent(FULL)) > looks + 2
    assert_agreed(mirror)

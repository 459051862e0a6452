"""The scheduler hands out due accounts in order, keeps lanes apart and forgets no nudge."""

from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.sync.scheduler import Lane, Scheduler

A, B, C = AccountNo(1), AccountNo(2), AccountNo(3)
POLL, BACKFILL = Lane.POLL, Lane.BACKFILL


def scheduler(polls: int = 2, backfills: int = 1) -> Scheduler:
    return Scheduler({POLL: polls, BACKFILL: backfills})


def test_accounts_come_when_due_earliest_first() -> None:
    due = scheduler()
    due.put(A, 20.0)
    due.put(B, 10.0)
    assert due.take(5.0) is None
    assert due.next_due() == 10.0
    assert [due.take(30.0) for _ in range(3)] == [(B, POLL), (A, POLL), None]


def test_a_running_account_is_not_handed_out_twice() -> None:
    due = scheduler()
    due.put(A, 0.0, backfill=0.0)
    assert due.take(1.0) == (A, POLL)
    assert due.take(1.0) is None
    due.nudge(A)
    assert due.take(1.0) is None
    due.put(A, 100.0)
    assert due.take(1.0) == (A, POLL), "the nudge during the run makes it due at once"


def test_a_nudge_overtakes_the_plan_once() -> None:
    due = scheduler()
    due.put(A, 100.0)
    due.nudge(A)
    assert due.take(0.0) == (A, POLL)
    due.put(A, 100.0)
    assert due.take(99.0) is None


def test_a_full_backfill_lane_does_not_hold_up_polls() -> None:
    due = scheduler(polls=1, backfills=1)
    due.put(A, 100.0, backfill=0.0)
    due.put(B, 100.0, backfill=1.0)
    due.put(C, 2.0)
    assert [due.take(3.0) for _ in range(3)] == [(C, POLL), (A, BACKFILL), None]
    due.put(A, 50.0)
    assert due.take(3.0) == (B, BACKFILL), "the room that A gave back goes to B"


def test_an_account_that_waits_for_room_to_backfill_is_polled_on_time() -> None:
    due = scheduler(polls=1, backfills=1)
    due.put(A, 100.0, backfill=0.0)
    due.put(B, 30.0, backfill=0.0)
    assert [due.take(1.0) for _ in range(2)] == [(A, BACKFILL), None]
    assert due.next_due() == 30.0
    assert due.take(30.0) == (B, POLL)
    due.put(A, 100.0)
    assert due.take(99.0) is None, "B's slice was planned anew by its poll"


def test_a_full_lane_asks_for_no_early_look() -> None:
    due = scheduler(backfills=1)
    due.put(A, 100.0, backfill=0.0)
    due.put(B, 100.0, backfill=1.0)
    due.put(C, 20.0)
    assert due.take(3.0) == (A, BACKFILL)
    assert (due.take(3.0), due.next_due()) == (None, 20.0), "B waits for room, not for a time"


def test_a_forgotten_account_does_not_come_back() -> None:
    due = scheduler()
    due.put(A, 0.0)
    due.forget(A)
    assert due.take(1.0) is None
    due.nudge(A)
    assert due.take(1.0) == (A, POLL), "but for a nudge, as a new account"

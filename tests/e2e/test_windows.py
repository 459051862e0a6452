"""Windows: what they leave out is neither mirrored nor told, what leaves them is evicted, what they take in is history.

On a Dovecot with all extensions, on one that announces none, and on the honest fake.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mailsync_grpc.cli.demo.mailbox import NEWEST, deliveries, messages
from mailsync_grpc.cli.demo.second_client import Delivery
from mailsync_grpc.model.window import EVERYTHING, SyncMode, Window
from tests.support.agreement import added, assert_agreed, backfilled, evicted, removed
from tests.support.dying import Crash, dying_after
from tests.support.mirror import Mirror, kinds

BOUND = datetime(2026, 3, 12, tzinfo=UTC)
SINCE = Window(since=int(BOUND.timestamp()))
WINDOWS = (EVERYTHING, SINCE, Window(newest=7), Window(newest=30))


def dated(*dates: datetime, seed: int = 1) -> Iterator[Delivery]:
    """Messages with these INTERNALDATEs."""
    raws = messages(len(dates), seed)
    return (Delivery(raw, (), date) for raw, date in zip(raws, dates, strict=True))


def around(moment: datetime, zone: timezone = UTC) -> list[datetime]:
    """Moments about the day of `moment`, to the second, told in `zone`."""
    steps = (-400, -72, -49, -24, -14, -12, -1, 0, 1, 12, 14, 24, 49)
    hours = [moment + timedelta(hours=step) for step in steps]
    seconds = [moment + timedelta(seconds=step) for step in (-1, 1)]
    return [date.astimezone(zone) for date in (*hours, *seconds)]


@pytest.mark.parametrize("hours", [-12, 0, 14])
def test_since_boundary(mirror: Mirror, hours: int) -> None:
    dates = around(BOUND, timezone(timedelta(hours=hours)))
    mirror.mailbox.deliver(dated(*dates))
    mirror.set_window(SINCE)
    mirror.settle()
    assert set(mirror.flags()) == {uid for uid, date in enumerate(dates, 1) if date >= BOUND}
    assert_agreed(mirror)
    assert not evicted(mirror), "what never was inside did not leave"
    before = mirror.head
    mirror.mailbox.deliver(dated(*dates, seed=2))
    mirror.poll()
    assert set(added(mirror, before)) == {uid for uid, date in enumerate(dates, 16) if date >= BOUND}
    assert_agreed(mirror)


def test_window_evict(mirror: Mirror) -> None:
    today = datetime.now(UTC)
    mirror.mailbox.deliver(dated(*(today - timedelta(days) for days in (40, 29, 28, 2))))
    mirror.set_window(Window(days=30))
    mirror.settle()
    assert set(mirror.flags()) == {2, 3, 4}
    before, exists = mirror.head, mirror.folder()[1].expected_exists
    mirror.clock.skipped += timedelta(days=1.5).total_seconds()
    mirror.poll()
    assert evicted(mirror, before) == [2]
    assert removed(mirror, before) == 0
    assert_agreed(mirror)
    assert mirror.folder()[1].expected_exists == exists == 4
    assert set(mirror.mailbox.flags_by_uid()) == {1, 2, 3, 4}, "nothing is touched on the server"
    mirror.clock.skipped += timedelta(days=60).total_seconds()
    mirror.poll()
    assert evicted(mirror, before) == [2, 3, 4]
    assert mirror.folder()[1].stored == 0


def test_append_old_date(mirror: Mirror) -> None:
    mirror.mailbox.deliver(dated(BOUND, BOUND + timedelta(9)))
    mirror.set_window(SINCE)
    mirror.settle()
    before = mirror.head
    mirror.mailbox.deliver(dated(BOUND + timedelta(1), BOUND - timedelta(1), BOUND - timedelta(99), seed=2))
    mirror.poll()
    assert added(mirror, before) == [3], "found by UID, however old; the window decides"
    assert_agreed(mirror)
    before, progress = mirror.head, mirror.folder()[1]
    mirror.mailbox.store("4:5", r"+FLAGS.SILENT (\Flagged)")
    mirror.poll()
    assert mirror.head == before, "what is outside has no events"
    after = mirror.folder()[1]
    assert replace(after, modseq=progress.modseq, as_of=progress.as_of) == progress
    mirror.set_window(EVERYTHING)
    mirror.poll()
    assert backfilled(mirror, before) == [4, 5]
    assert not added(mirror, before)
    assert_agreed(mirror)


@pytest.mark.parametrize("window", [SINCE, Window(days=5), Window(newest=5)], ids=["since", "days", "newest"])
def test_an_empty_window_completes_its_first_sync_once_and_announces_the_first_mail(
    mirror: Mirror, window: Window
) -> None:
    mirror.mailbox.deliver([] if window.newest else dated(BOUND - timedelta(9), BOUND - timedelta(400)))
    mirror.set_window(window)
    mirror.settle()
    assert kinds(mirror.events()).count("folder_synced") == 2
    before = mirror.head
    mirror.mailbox.deliver(dated(datetime.now(UTC), seed=2))
    mirror.poll()
    mirror.poll()
    told = kinds(mirror.events(before))
    assert told.count("envelope_added") == 1
    assert "folder_synced" not in told
    assert_agreed(mirror)


def test_the_newest_are_counted_at_each_look(mirror: Mirror) -> None:
    mirror.mailbox.deliver(messages(30))
    mirror.set_window(Window(newest=10))
    mirror.settle()
    assert set(mirror.flags()) == set(range(21, 31))
    before = mirror.head
    mirror.mailbox.deliver(messages(2, seed=2))
    mirror.poll()
    assert (added(mirror, before), evicted(mirror, before)) == ([31, 32], [21, 22])
    before = mirror.head
    mirror.mailbox.expunge("25,26,31")
    mirror.poll()
    assert backfilled(mirror, before) == [20, 21, 22], "what deletions make room for is history"
    assert not added(mirror, before)
    assert_agreed(mirror)
    before = mirror.head
    mirror.mailbox.expunge("1:5")
    mirror.poll()
    assert mirror.head == before, "nobody hears of what goes outside"
    assert mirror.folder()[1].expected_exists == 24


@pytest.mark.parametrize("second", WINDOWS)
@pytest.mark.parametrize("first", WINDOWS)
def test_a_window_is_changed_while_it_is_at_work(mirror: Mirror, first: Window, second: Window) -> None:
    mirror.mailbox.deliver(deliveries(20, newest=BOUND + timedelta(days=1)))
    mirror.set_window(first)
    mirror.settle()
    assert_agreed(mirror)
    before, was = mirror.head, set(mirror.flags())
    mirror.set_window(second)
    mirror.settle()
    assert_agreed(mirror)
    now = set(mirror.flags())
    assert evicted(mirror, before) == sorted(was - now)
    assert backfilled(mirror, before) == sorted(now - was)
    assert {"envelope_added", "envelopes_removed", "folder_synced"}.isdisjoint(kinds(mirror.events(before)))
    assert mirror.folder()[1].window == second
    mirror.mailbox.deliver(dated(NEWEST, seed=3))
    mirror.poll()
    assert_agreed(mirror)
    before = mirror.head
    mirror.poll()
    assert mirror.head == before


@pytest.mark.parametrize("window", [SINCE, Window(newest=7), EVERYTHING], ids=["since", "newest", "all"])
def test_a_killed_worker_goes_on_with_a_changed_window(mirror: Mirror, window: Window) -> None:
    mirror.mailbox.deliver(deliveries(20, newest=BOUND + timedelta(days=1)))
    mirror.set_window(Window(newest=12))
    mirror.settle()
    for commits in range(7):
        mirror.set_window(Window(newest=12))
        mirror.settle()
        mirror.set_window(window)
        with suppress(Crash), dying_after(mirror.store, commits):
            mirror.settle()
        mirror.restart()
        mirror.settle()
        assert_agreed(mirror)
        assert not removed(mirror)
        assert not added(mirror)


def test_minimal_mode_goes_by_the_servers_days_until_dates_are_known(mirror: Mirror) -> None:
    noon = BOUND + timedelta(hours=12)
    mirror.mailbox.deliver(dated(*(noon + timedelta(hours=hours) for hours in (-40, -1, 1, 40))))
    mirror.set_mode(SyncMode.MINIMAL)
    mirror.set_window(Window(since=int(noon.timestamp())))
    mirror.settle()
    assert {3, 4} <= set(mirror.flags()) <= {2, 3, 4}, "the whole day of the server's zone"
    before = mirror.head
    mirror.mailbox.deliver(dated(noon + timedelta(days=2), noon - timedelta(days=2), seed=2))
    mirror.poll()
    assert added(mirror, before) == [5]
    mirror.set_mode(SyncMode.FULL_METADATA)
    mirror.poll()
    assert_agreed(mirror)
    assert not removed(mirror)


def test_a_sliding_window_of_minimal_mode_asks_the_server_what_has_left_it(mirror: Mirror) -> None:
    today = datetime.now(UTC)
    mirror.mailbox.deliver(dated(*(today - timedelta(days) for days in (40, 20, 2))))
    mirror.set_mode(SyncMode.MINIMAL)
    mirror.set_window(Window(months=1))
    mirror.settle()
    assert set(mirror.flags()) == {2, 3}
    mirror.clock.skipped += timedelta(days=20).total_seconds()
    mirror.poll()
    assert (evicted(mirror), removed(mirror)) == ([2], 0)
    assert set(mirror.flags()) == {3}

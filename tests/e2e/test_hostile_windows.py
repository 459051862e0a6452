"""Windows on servers that count days elsewhere, refuse to search, number late, or show only their newest messages."""

from collections.abc import Iterator
from datetime import timedelta, timezone

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.model.window import Window
from mailsync_grpc.store.codec import account_message
from mailsync_grpc.v1 import account_pb2
from tests.e2e.test_windows import BOUND, SINCE, around, dated
from tests.support.agreement import added, assert_agreed, backfilled, evicted, removed
from tests.support.hostile import METADATA, HostileServer
from tests.support.hostile_faults import refusing, rewriting
from tests.support.mirror import Mirror, kinds

VIEW = 1_000
"""Messages that the server shows at most."""


@pytest.fixture
def cut_mirror(hostile: HostileServer) -> Iterator[Mirror]:
    """A mirror of a folder of which the server shows the newest only, and holds 20 more."""
    hostile.mail.folders["INBOX"].limit = VIEW
    hostile.mailbox.deliver(list(messages(10)) * 102)
    mirror = Mirror(hostile.mailbox, SyncSettings(batch_size=1_000))
    mirror.settle()
    yield mirror
    mirror.close()


@pytest.mark.parametrize("hours", [-12, 14])
def test_a_search_by_the_days_of_another_zone_misses_nothing(
    hostile_mirror: Mirror, hostile: HostileServer, hours: int
) -> None:
    mirror, dates = hostile_mirror, around(BOUND)
    hostile.mail.zone = timezone(timedelta(hours=hours))
    mirror.mailbox.deliver(dated(*dates))
    mirror.set_window(SINCE)
    mirror.settle()
    assert_agreed(mirror)
    assert hostile.sent(b"SEARCH")[0].endswith(b"SINCE 10-Mar-2026")
    assert not any(b" 1:" in command or b" 1," in command for command in hostile.sent(METADATA)), (
        "what is far outside is not even fetched"
    )


def test_a_refused_search_costs_only_time(hostile_mirror: Mirror, hostile: HostileServer) -> None:
    mirror = hostile_mirror
    mirror.mailbox.deliver(dated(*around(BOUND)))
    hostile.always(b"SEARCH", refusing())
    mirror.set_window(SINCE)
    mirror.settle()
    assert_agreed(mirror)
    assert kinds(mirror.events()).count("folder_synced") == 2
    mirror.set_window(Window(since=SINCE.since - 20 * 86_400))
    mirror.poll()
    assert_agreed(mirror)
    assert not evicted(mirror)


def test_a_message_without_internaldate_is_inside(hostile_mirror: Mirror, hostile: HostileServer) -> None:
    mirror = hostile_mirror
    mirror.set_window(SINCE)
    mirror.settle()
    hostile.once(METADATA, rewriting(rb'INTERNALDATE "[^"]*" ', b""))
    mirror.mailbox.deliver(dated(BOUND - timedelta(9)))
    mirror.poll()
    assert added(mirror) == [1]


@pytest.mark.parametrize("late", [100, 40])
@pytest.mark.parametrize(
    ("window", "inside"),
    [
        (SINCE, {100: [100], 40: [40]}),
        (Window(newest=20), {100: [60, 100], 40: [40, 60]}),
        (Window(newest=6), {100: [100]}),
    ],
    ids=["since", "newest20", "newest6"],
)
def test_late_low_uid(
    hostile_mirror: Mirror, hostile: HostileServer, late: int, window: Window, inside: dict[int, list[int]]
) -> None:
    mirror = hostile_mirror
    for uid in (*range(90, 100), *range(101, 106)):
        hostile.mail.deliver(dated(BOUND + timedelta(1), seed=uid), uid=uid)
    hostile.mail.deliver(dated(BOUND - timedelta(9), seed=2), uid=50)
    mirror.set_window(window)
    mirror.settle()
    before = mirror.head
    hostile.mail.deliver(dated(BOUND + timedelta(1), seed=9), uid=late)
    hostile.mail.deliver(dated(BOUND - timedelta(9), seed=3), uid=60)
    mirror.poll()
    assert sorted(added(mirror, before)) == inside.get(late, [])
    assert_agreed(mirror)
    before = mirror.head
    mirror.poll()
    assert mirror.head == before


def notices(mirror: Mirror) -> list[int]:
    account = mirror.store.account_by_no(mirror.account.no)
    assert account is not None
    return list(account_message(account).notices)


def test_truncated_view(cut_mirror: Mirror) -> None:
    mirror = cut_mirror
    assert_agreed(mirror)
    before = mirror.head
    mirror.mailbox.deliver(messages(3, seed=2))
    assert not notices(mirror)
    mirror.poll()
    assert notices(mirror) == [account_pb2.ACCOUNT_NOTICE_VIEW_TRUNCATED_BY_SERVER]
    assert added(mirror, before) == [1_021, 1_022, 1_023]
    assert (evicted(mirror, before), removed(mirror, before)) == ([21, 22, 23], 0)
    assert_agreed(mirror)
    mirror.mailbox.deliver(messages(1, seed=3))
    mirror.mailbox.expunge("500")
    mirror.clock.skipped += mirror.settings.full_interval
    mirror.poll()
    assert removed(mirror, before) == 1, "what is gone from within the view is gone"
    assert_agreed(mirror)


def test_what_comes_in_sight_of_a_truncated_view_is_history(cut_mirror: Mirror) -> None:
    mirror = cut_mirror
    mirror.mailbox.deliver(messages(2, seed=2))
    mirror.poll()
    before = mirror.head
    mirror.mailbox.expunge("1000:1004")
    mirror.poll()
    mirror.poll()
    assert backfilled(mirror, before) == [18, 19, 20, 21, 22], "evicted before, or never seen"
    assert not added(mirror, before)
    assert_agreed(mirror)


def test_the_oldest_of_a_folder_that_holds_no_round_number_are_removed(
    hostile_mirror: Mirror,
) -> None:
    mirror = hostile_mirror
    mirror.mailbox.deliver(messages(33))
    mirror.settle()
    before = mirror.head
    mirror.mailbox.expunge("1:3")
    mirror.mailbox.deliver(messages(3, seed=2))
    mirror.poll()
    assert removed(mirror, before) > 0
    assert not evicted(mirror)
    assert_agreed(mirror)

"""Mail servers are asked for no more than they put up with, and accounts wait without failing."""

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.imap.budget import CONNECTION_WAIT, DAY_HOURS, HOUR, Limits, Mailbox, Use
from mailsync_grpc.imap.ledger import Ledger
from mailsync_grpc.model.account import Account, AccountState, SyncSettings
from mailsync_grpc.model.run import RunState
from tests.support.agreement import added, assert_agreed
from tests.support.hostile import LOGIN, HostileServer
from tests.support.hostile_faults import refusing
from tests.support.mirror import Mirror, kinds

DAY = DAY_HOURS * HOUR


def account(mirror: Mirror) -> Account:
    found = mirror.store.account("test")
    assert found is not None
    return found


def limited(mirror: Mirror, **limits: int) -> Ledger:
    """Give the mirror a budget."""
    mirror.books = Ledger(lambda _: Limits(**limits), mirror.clock)
    return mirror.books


# Budgets


def octets_of(mirror: Mirror) -> int:
    return sum(connection.bytes_received for connection in mirror.connections)


@pytest.fixture
def octets(hostile: HostileServer) -> int:
    """What the first sync of 100 messages receives."""
    hostile.mailbox.deliver(messages(100))
    scout = Mirror(hostile.mailbox, SyncSettings(batch_size=10, flags_window=10))
    scout.settle()
    received = octets_of(scout)
    scout.close()
    return received


def test_provider_budget(hostile_mirror: Mirror, octets: int) -> None:
    """A history that is larger than the day's octets waits for the next day, new mail does not."""
    mirror = hostile_mirror
    limited(mirror, bytes_per_day=octets)
    mirror.settle()
    left = len(mirror.folder()[1].pending)
    assert 0 < left < 100, "backfill stops before the reserve"
    mirror.mailbox.deliver(messages(1, seed=2))
    mirror.poll()
    assert added(mirror) == [101]
    assert len(mirror.folder()[1].pending) == left
    assert octets_of(mirror) <= octets
    assert account(mirror).state is AccountState.ACTIVE
    mirror.clock.skipped += DAY + HOUR
    mirror.poll()
    assert_agreed(mirror)
    assert added(mirror) == [101]


def test_an_account_whose_octets_are_spent_waits_without_failing(
    hostile_mirror: Mirror, hostile: HostileServer, octets: int
) -> None:
    mirror = hostile_mirror
    limited(mirror, bytes_per_day=octets // 10)
    for _ in range(10):
        mirror.poll()
    asked = len(hostile.received)
    for _ in range(10):
        mirror.poll()
    assert len(hostile.received) == asked, "nothing is asked any more"
    assert account(mirror).state is AccountState.ACTIVE
    assert mirror.sync.backoff.failures == 0
    assert octets_of(mirror) < octets // 2


def test_an_account_without_a_free_connection_waits_and_takes_the_first(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    mirror = hostile_mirror
    mirror.mailbox.deliver(messages(3))
    mailbox = Mailbox(mirror.mailbox.host, mirror.mailbox.user)
    other = limited(mirror, connections=1).lease(mailbox, Use.CONTENT)
    mirror.settle()
    assert hostile.connections == 0
    assert account(mirror).state is AccountState.ACTIVE
    assert kinds(mirror.events()).count("account_changed") == 1, "its creation"
    assert mirror.store.runs(mirror.account.no)[0].state is RunState.PENDING
    other.release()
    mirror.clock.skipped += 2 * CONNECTION_WAIT
    mirror.settle()
    assert_agreed(mirror)


def live(mirrors: list[Mirror], seconds: float) -> None:
    """Take each mirror's turns when they are due; all share one clock."""
    clock = mirrors[0].clock
    due, end = [clock() for _ in mirrors], clock() + seconds
    while (first := min(due)) < end:
        clock.skipped += max(first - clock(), 0.0)
        number = due.index(first)
        planned = mirrors[number].sync.turn(nudged=True)
        assert planned is not None
        due[number] = planned.backfill or planned.poll


def test_accounts_of_a_full_host_take_turns(hostile_mirror: Mirror) -> None:
    mirrors = [hostile_mirror]
    for name in ("second", "third"):
        mirrors.append(Mirror(hostile_mirror.mailbox, hostile_mirror.settings, account_id=name))
        mirrors[-1].clock.skipped = hostile_mirror.clock.skipped
    books = limited(hostile_mirror, host_connections=1)
    for mirror in mirrors:
        mirror.books, mirror.clock = books, hostile_mirror.clock
        mirror.restart()
    for seed in range(3):
        hostile_mirror.mailbox.deliver(messages(1, seed=seed))
        live(mirrors, 200)
        for mirror in mirrors:
            assert_agreed(mirror)
    for mirror in mirrors[1:]:
        mirror.close()


def test_a_connection_that_fails_to_open_gives_its_place_back(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    limited(hostile_mirror, connections=1)
    hostile.once(LOGIN, refusing(b"[UNAVAILABLE] later"), times=3)
    for _ in range(20):
        hostile_mirror.poll()
    assert account(hostile_mirror).state is AccountState.ACTIVE
    assert_agreed(hostile_mirror)


# The breaker


def attempts(mirror: Mirror, hostile: HostileServer, seconds: float) -> int:
    """Logins in the next `seconds`, with a turn each minute."""
    before = len(hostile.sent(LOGIN))
    for _ in range(int(seconds / 60)):
        mirror.clock.skipped += 60
        mirror.settle()
    return len(hostile.sent(LOGIN)) - before


@pytest.fixture
def locked_out(hostile_mirror: Mirror) -> Mirror:
    """A mirror whose password was changed after its first sync."""
    hostile_mirror.mailbox.deliver(messages(3))
    hostile_mirror.settle()
    hostile_mirror.mailbox = hostile_mirror.mailbox.with_password("wrong")
    hostile_mirror.sync.close()
    hostile_mirror.poll()
    assert account(hostile_mirror).state is AccountState.AUTH_FAILED
    return hostile_mirror


def test_auth_breaker(locked_out: Mirror, hostile: HostileServer) -> None:
    mirror, before = locked_out, locked_out.head
    assert attempts(mirror, hostile, 0.85 * 900) == 0
    assert attempts(mirror, hostile, 0.30 * 900) == 1, "after 15 minutes, give or take a tenth"
    assert attempts(mirror, hostile, 0.85 * 3_600) == 0
    assert attempts(mirror, hostile, 0.30 * 3_600) == 1, "then after an hour"
    assert attempts(mirror, hostile, 2 * 21_600) <= 2, "then every six"
    assert mirror.head == before, "told once"
    mirror.mailbox = hostile.mailbox
    mirror.clock.skipped += 24_000
    mirror.settle()
    assert account(mirror).state is AccountState.ACTIVE
    assert_agreed(mirror)


def test_a_restart_of_the_worker_does_not_try_a_refused_password_again(
    locked_out: Mirror, hostile: HostileServer
) -> None:
    asked = len(hostile.sent(LOGIN))
    for _ in range(5):
        locked_out.restart()
        locked_out.settle()
    assert len(hostile.sent(LOGIN)) == asked
    locked_out.mailbox = hostile.mailbox
    locked_out.clock.skipped += 1_000
    locked_out.settle()
    assert account(locked_out).state is AccountState.ACTIVE

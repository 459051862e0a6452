"""Budgets: what each provider allows, what each process has of it, and what waits for what."""

import pytest

from mailsync_grpc.config import load
from mailsync_grpc.errors import ConfigError, ConnectionsSpentError
from mailsync_grpc.imap.budget import (
    CONNECTION_WAIT,
    DEFAULT,
    HOUR,
    Budgets,
    DayCount,
    Limits,
    Mailbox,
    Process,
    Resource,
    Use,
    limits_of,
    share_of,
)
from mailsync_grpc.imap.connecting import ledger_of

DAY = 24 * HOUR
ANN, BOB = Mailbox("imap.example.org", "ann"), Mailbox("imap.example.org", "bob")


def budgets(**limits: int) -> Budgets:
    return Budgets(lambda _: Limits(**limits))


# Whose limits


@pytest.mark.parametrize(
    ("host", "connections", "octets"),
    [
        ("imap.gmail.com", 15, 2_500_000_000),
        ("IMAP.Gmail.com.", 15, 2_500_000_000),
        ("notgmail.com", DEFAULT.connections, 0),
        ("outlook.office365.com", 20, 0),
        ("imap.mail.yahoo.com", 5, 0),
        ("localhost", DEFAULT.connections, 0),
    ],
)
def test_a_host_has_the_limits_of_its_provider(host: str, connections: int, octets: int) -> None:
    limits = limits_of(host, {})
    assert (limits.connections, limits.bytes_per_day) == (connections, octets)


def test_the_operators_word_counts_before_ours_for_what_it_names() -> None:
    overrides = {
        "gmail.com": {"connections": 8},
        "*": {"host_connections": 50},
        "a.example": {"bytes_per_day": 9},
    }
    assert limits_of("imap.gmail.com", overrides) == Limits(8, DEFAULT.host_connections, 2_500_000_000)
    assert limits_of("mail.example.org", overrides) == Limits(host_connections=50)
    assert limits_of("imap.a.example", overrides) == Limits(bytes_per_day=9)


@pytest.mark.parametrize("workers", [1, 3, 64])
@pytest.mark.parametrize("limits", [Limits(15, 1_000, 2_500_000_000), Limits(2, 200, 7), Limits(3, 128, 0)])
def test_the_shares_of_all_processes_never_pass_the_whole(limits: Limits, workers: int) -> None:
    sync, api = (share_of(limits, process, workers) for process in Process)
    assert sync.connections + api.connections <= limits.connections
    assert workers * sync.host_connections + api.host_connections <= limits.host_connections
    assert sync.bytes_per_day + api.bytes_per_day == limits.bytes_per_day
    assert min(sync.connections, api.connections, sync.host_connections, api.host_connections) >= 1


# Connections


def test_a_mailbox_has_its_connections_whatever_others_have() -> None:
    used = budgets(connections=2)
    assert [used.open(ANN, Use.POLL, 0.0) for _ in range(2)] == [None, None]
    assert used.open(ANN, Use.POLL, 0.0) == (Resource.MAILBOX_CONNECTIONS, CONNECTION_WAIT)
    assert used.open(BOB, Use.POLL, 0.0) is None
    used.close(ANN)
    assert used.open(ANN, Use.POLL, 0.0) is None


def test_a_full_host_makes_mailboxes_wait_and_asks_idle_connections_to_go() -> None:
    used = budgets(host_connections=1)
    assert used.open(ANN, Use.POLL, 0.0) is None
    assert not used.wanted(ANN.host, 0.0)
    assert used.open(BOB, Use.POLL, 1.0) == (Resource.HOST_CONNECTIONS, CONNECTION_WAIT)
    assert used.wanted(ANN.host, 2.0)
    assert not used.wanted("elsewhere", 2.0)
    assert not used.wanted(ANN.host, 100.0), "nobody asked any more"
    used.close(ANN)
    assert used.open(BOB, Use.POLL, 3.0) is None


# Octets


def test_backfill_leaves_a_reserve_to_polls_and_content() -> None:
    used = budgets(bytes_per_day=1_000)
    used.received(ANN, 799, 0.0)
    assert used.spent(ANN, Use.BACKFILL, 0.0) is None
    used.received(ANN, 1, 0.0)
    refusal = used.spent(ANN, Use.BACKFILL, 0.0)
    assert refusal is not None
    assert refusal.resource is Resource.BYTES
    assert used.spent(ANN, Use.POLL, 0.0) is None
    used.received(ANN, 200, 0.0)
    assert used.spent(ANN, Use.POLL, 0.0) is not None
    assert used.open(ANN, Use.CONTENT, 0.0) is not None
    assert used.spent(BOB, Use.BACKFILL, 0.0) is None


def test_no_24_hours_hold_more_than_the_limit_and_no_more_than_an_hour_is_lost() -> None:
    count = DayCount()
    count.add(600, 10 * HOUR + 5)
    count.add(600, 15 * HOUR)
    assert count.spent(10 * HOUR + 5 + DAY - 1) == 1_200
    assert count.below(1_000, 15 * HOUR) == 20 * HOUR, "once the hour of the first 600 has left"
    assert count.spent(35 * HOUR) == 600
    assert count.below(1_000, 35 * HOUR) == 0.0
    assert count.below(600, 35 * HOUR) == 5 * HOUR


def test_what_is_not_limited_is_not_counted() -> None:
    used = budgets()
    used.received(ANN, 1 << 40, 0.0)
    assert used.spent(ANN, Use.BACKFILL, 0.0) is None


# From the configuration


def test_limits_of_the_configuration_reach_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILSYNC_IMAP__LIMITS", '{"Example.org": {"connections": 3, "host_connections": 9}}')
    monkeypatch.setenv("MAILSYNC_WORKERS", "2")
    books = ledger_of(load(), Process.SYNC)
    leases = [books.lease(Mailbox("imap.example.org", "ann"), Use.POLL) for _ in range(2)]
    with pytest.raises(ConnectionsSpentError, match=r"imap\.example\.org"):
        books.lease(Mailbox("imap.example.org", "ann"), Use.POLL)
    leases.append(books.lease(Mailbox("imap.example.org", "bob"), Use.POLL))
    with pytest.raises(ConnectionsSpentError):
        books.lease(Mailbox("imap.example.org", "eve"), Use.POLL)
    leases[0].release()
    leases[0].release()
    books.lease(Mailbox("imap.example.org", "eve"), Use.POLL)
    with pytest.raises(ConnectionsSpentError):
        books.lease(Mailbox("imap.example.org", "ann"), Use.POLL)


def test_a_wrong_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILSYNC_IMAP__LIMITS", '{"example.org": {"connections": 1}}')
    with pytest.raises(ConfigError, match=r"imap\.limits\.example\.org\.connections"):
        load()

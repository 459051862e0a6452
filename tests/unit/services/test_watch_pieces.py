"""Cutting the log into pieces, and the ring it is read from: whatever is hidden or dropped, nothing is skipped."""

from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model.changes import EventKind
from mailsync_grpc.model.ids import AccountNo, FolderNo, Revision
from mailsync_grpc.services.tokens import Position, Reach
from mailsync_grpc.services.watch_cut import LINGER, MAX_EVENTS, cut, linger
from mailsync_grpc.services.watch_feed import Ring
from mailsync_grpc.services.watch_filter import Filter, part
from mailsync_grpc.store.values import LogRecord
from mailsync_grpc.v1 import event_pb2
from mailsync_grpc.v1.event_service_pb2 import WatchEventsResponse

ALL = Filter(Reach(bytes(16), None))


def record(
    revision: int, kind: EventKind = EventKind.FLAGS_CHANGED, size: int = 0, account: int = 1
) -> LogRecord:
    event = event_pb2.Event(revision=revision, account="x" * size).SerializeToString()
    return LogRecord(
        Revision(revision), 1, kind, AccountNo(account), FolderNo(2), FolderNo(0), revision * 7, event
    )


kinds = st.sampled_from([EventKind.FLAGS_CHANGED, EventKind.ENVELOPE_ADDED, EventKind.BACKFILLED])
logs = st.lists(st.tuples(kinds, st.integers(0, 300)), min_size=1, max_size=60).map(
    lambda drawn: [record(number, kind, size) for number, (kind, size) in enumerate(drawn, 1)]
)
filters = st.sets(kinds).map(lambda types: Filter(Reach(bytes(16), None), types=frozenset(types)))


@given(logs, filters, st.integers(1, 9), st.integers(1, 900))
def test_pieces_join_into_exactly_what_the_filter_lets_through(
    log: list[LogRecord], wanted: Filter, max_events: int, max_bytes: int
) -> None:
    at, seen = Position(Revision(0), 0), []
    while at.revision < len(log):
        piece = cut(at, log[at.revision :], wanted, max_events, max_bytes)
        assert piece.through.revision > at.revision
        assert piece.through.check == piece.through.revision * 7
        events = WatchEventsResponse.FromString(piece.events).events
        assert len(events) == piece.size <= max_events
        assert piece.size <= 1 or sum(event.ByteSize() for event in events) <= max_bytes
        seen += [event.revision for event in events]
        at = piece.through
    assert seen == [each.revision for each in log if wanted.admits(each)]


def test_one_event_larger_than_a_piece_stands_alone() -> None:
    log = [record(1), record(2, size=5_000), record(3)]
    first = cut(Position(Revision(0), 0), log, ALL, max_bytes=100)
    second = cut(first.through, log[1:], ALL, max_bytes=100)
    assert (first.through.revision, second.through.revision, second.size) == (1, 2, 1)


def test_the_first_event_after_quiet_goes_at_once_and_later_ones_wait_for_company() -> None:
    assert linger(now=100.0, last_sent=90.0, waiting=1) == 0.0
    assert 0.0 < linger(now=100.0, last_sent=99.999, waiting=1) <= LINGER
    assert linger(now=100.0, last_sent=100.0, waiting=MAX_EVENTS) == 0.0


@given(st.lists(st.integers(1, 8), max_size=12), st.integers(200, 3_000), st.integers(1, 50))
def test_the_ring_gives_consecutive_records_or_says_that_it_does_not_reach_back(
    batches: list[int], max_bytes: int, limit: int
) -> None:
    ring, log = Ring(Revision(10), max_bytes), [record(number, size=40) for number in range(11, 120)]
    for batch in batches:
        start = ring.head - 10
        ring.extend(log[start : start + batch])
    assert ring.head == 10 + sum(batches)
    kept = 0
    for after in range(ring.head + 1):
        found = ring.after(Revision(after), limit)
        if found is None:
            assert kept == 0, "it reaches back from some revision on"
            continue
        kept += 1
        assert [each.revision for each in found] == list(range(after + 1, min(after + limit, ring.head) + 1))
    assert (
        sum(len(each.event) for each in ring.after(Revision(ring.head - kept + 1), 1_000) or []) <= max_bytes
    )


def test_the_ring_forgets_what_a_deleted_account_said() -> None:
    ring = Ring(Revision(0), 1 << 20)
    ring.extend([record(1, account=1), record(2, account=2), record(3, EventKind.ACCOUNT_REMOVED, account=1)])
    ring.erase(AccountNo(1))
    kept = ring.after(Revision(0), 10)
    assert kept is not None
    assert [bool(each.event) for each in kept] == [False, True, True]
    assert not ALL.admits(kept[0])


def test_parts_spread_neighbouring_accounts_evenly() -> None:
    counts = [0] * 4
    for number in range(1, 4_001):
        counts[part(AccountNo(number)) % 4] += 1
    assert min(counts) > 900


def test_the_ring_holds_as_much_after_a_deleted_account_as_before() -> None:
    ring = Ring(Revision(0), 10_000)
    for revision in range(1, 200):
        ring.extend([record(revision, size=500)])
        ring.erase(AccountNo(1))
    ring.extend([record(200, size=500, account=2)])
    assert ring.after(Revision(199), 1) == [record(200, size=500, account=2)]


def test_a_ring_that_was_skipped_ahead_reaches_back_to_there_only() -> None:
    ring = Ring(Revision(0), 10_000)
    ring.extend([record(1), record(2)])
    ring.skip_to(Revision(9))
    assert (ring.head, ring.after(Revision(8), 5), ring.after(Revision(9), 5)) == (9, None, [])
    ring.extend([record(10)])
    assert ring.after(Revision(9), 5) == [record(10)]

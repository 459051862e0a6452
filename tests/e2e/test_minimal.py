"""Minimal mode: UIDs and flags are mirrored as everything is, and no metadata is fetched before someone asks for it."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.model.window import EVERYTHING, SyncMode, Window
from mailsync_grpc.v1 import envelope_pb2
from tests.e2e.test_windows import dated
from tests.support.agreement import added, assert_agreed, evicted, removed
from tests.support.hostile import FLAGS, METADATA, HostileServer
from tests.support.hostile_faults import omitting
from tests.support.mirror import Mirror, kinds

MINIMAL = SyncSettings(batch_size=10, flags_window=10, mode=SyncMode.MINIMAL)


@pytest.fixture(params=["mailbox", "mailbox_plain", "faked_mailbox"])
def minimal(request: pytest.FixtureRequest) -> Iterator[Mirror]:
    """A mirror in minimal mode of an empty mailbox, not yet synced."""
    mirror = Mirror(request.getfixturevalue(request.param), MINIMAL)
    yield mirror
    mirror.close()


@pytest.fixture
def hostile_minimal(hostile: HostileServer) -> Iterator[Mirror]:
    """The same of the hostile server's mailbox."""
    mirror = Mirror(hostile.mailbox, MINIMAL)
    yield mirror
    mirror.close()


def assert_bare(envelope: envelope_pb2.Envelope) -> None:
    """It holds what minimal mode knows, and says why there is no more."""
    assert envelope.partial.reason == envelope_pb2.PARTIAL_REASON_NOT_FETCHED
    known = {field.name for field, _ in envelope.ListFields()}
    assert known <= {"name", "uid", "uid_validity", "envelope_id", "flags", "partial"}


def test_history_arrivals_flags_and_removals_are_told_without_metadata(minimal: Mirror) -> None:
    minimal.mailbox.deliver(messages(25))
    minimal.mailbox.store("3", r"+FLAGS (\Flagged)")
    minimal.settle()
    assert_agreed(minimal)
    assert minimal.flags()[3] == {r"\Flagged"}
    before = minimal.head
    minimal.mailbox.deliver(messages(2, seed=2))
    minimal.mailbox.store("24", r"+FLAGS (\Seen work)")
    minimal.mailbox.expunge("5")
    minimal.poll()
    assert_agreed(minimal)
    assert (added(minimal, before), removed(minimal, before)) == ([26, 27], 1)
    assert "flags_changed" in kinds(minimal.events(before))
    for envelope in minimal.envelopes():
        assert_bare(envelope)
    for event in minimal.events():
        if event.HasField("envelope_added"):
            assert_bare(event.envelope_added.envelope)


def test_one_listing_of_flags_is_all_that_a_first_sync_asks_for(
    hostile_minimal: Mirror, hostile: HostileServer
) -> None:
    hostile_minimal.mailbox.deliver(messages(35))
    hostile_minimal.settle()
    assert_agreed(hostile_minimal)
    told = kinds(hostile_minimal.events())
    assert told.count("backfilled") == 4, "batches as ever"
    assert len(hostile.sent(b"UID FETCH")) == 2, "INBOX and Sent"
    hostile_minimal.mailbox.deliver(messages(1, seed=2))
    hostile_minimal.poll()
    looked_at = 1 if hostile_minimal.connections[-1].condstore else 2
    assert len(hostile.sent(b"UID FETCH")) == 2 + looked_at
    assert not hostile.sent(METADATA)


def test_what_a_crash_left_of_the_history_is_fetched_without_metadata(
    hostile_minimal: Mirror, hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailsync_grpc.sync.listed.SLICE", 0.0)
    hostile_minimal.mailbox.deliver(messages(35))
    hostile_minimal.settle()
    assert_agreed(hostile_minimal)
    assert len(hostile.sent(FLAGS)) > 2
    assert not hostile.sent(METADATA)


def test_a_message_that_is_not_listed_for_a_moment_is_not_lost(
    hostile_minimal: Mirror, hostile: HostileServer
) -> None:
    hostile_minimal.mailbox.deliver(messages(20))
    hostile.once(FLAGS, omitting(7))
    hostile_minimal.settle()
    hostile_minimal.poll()
    assert_agreed(hostile_minimal)


def test_a_window_by_date_is_decided_by_the_servers_search(minimal: Mirror) -> None:
    days = (datetime(2026, 3, day, 12, tzinfo=UTC) for day in range(1, 21))
    minimal.mailbox.deliver(dated(*days))
    minimal.set_window(Window(since=int(datetime(2026, 3, 12, tzinfo=UTC).timestamp())))
    minimal.settle()
    assert set(minimal.flags()) == {*range(12, 21)}
    before = minimal.head
    minimal.mailbox.deliver(
        dated(datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 22, tzinfo=UTC), seed=2)
    )
    minimal.poll()
    assert added(minimal, before) == [22]
    minimal.set_window(Window(since=int(datetime(2026, 3, 18, tzinfo=UTC).timestamp())))
    minimal.poll()
    assert set(minimal.flags()) == {18, 19, 20, 22}
    assert (evicted(minimal, before), removed(minimal, before)) == ([*range(12, 18)], 0)
    assert_agreed(minimal)


def test_the_newest_messages_are_kept_as_ever(minimal: Mirror) -> None:
    minimal.mailbox.deliver(messages(30))
    minimal.set_window(Window(newest=7))
    minimal.settle()
    minimal.mailbox.deliver(messages(2, seed=2))
    minimal.poll()
    assert set(minimal.flags()) == {*range(26, 33)}
    minimal.set_window(EVERYTHING)
    minimal.poll()
    assert set(minimal.flags()) == {*range(1, 33)}
    for envelope in minimal.envelopes():
        assert_bare(envelope)
    assert_agreed(minimal)

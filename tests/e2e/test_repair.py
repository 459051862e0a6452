"""A record that is not whole is fetched once more when the server or the software is another one, and not before."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.window import SyncMode
from mailsync_grpc.sync.scheduler import Lane
from mailsync_grpc.v1 import envelope_pb2
from tests.e2e.test_hostile_poison import POISON, partial, poll_often
from tests.support.agreement import added, assert_agreed
from tests.support.hostile import METADATA, HostileServer
from tests.support.hostile_faults import Fault, empty, omitting, refusing_message, rewriting
from tests.support.hostile_session import FULL
from tests.support.mirror import POLICY, Mirror, kinds

MAX_LINE = 100_000


@pytest.fixture
def mirror(hostile_mirror: Mirror) -> Mirror:
    """A mirror of 30 messages, not yet synced, with a low cap on lines."""
    hostile_mirror.policy = replace(POLICY, max_line=MAX_LINE)
    hostile_mirror.mailbox.deliver(messages(30))
    return hostile_mirror


def unreadable(uid: int) -> Fault:
    """An ENVELOPE that nobody can read."""
    return rewriting(
        rb"(?s)(\(UID %d FLAGS .*) ENVELOPE .* BODYSTRUCTURE" % uid, rb"\1 ENVELOPE () BODYSTRUCTURE"
    )


def compare_whole(mirror: Mirror) -> None:
    """Let the interval of full comparisons pass, and whatever fails fail."""
    mirror.clock.skipped += mirror.settings.full_interval
    poll_often(mirror)


def upgrade(hostile: HostileServer) -> None:
    """Another version of the mail server, to which clients must connect again."""
    hostile.capabilities = FULL + " X-BETTER"


def updated(mirror: Mirror, after: int = 0) -> list[int]:
    return [
        event.envelope_updated.envelope.uid
        for event in mirror.events(after)
        if event.HasField("envelope_updated")
    ]


def ids(mirror: Mirror) -> dict[int, bytes]:
    folder, _ = mirror.folder()
    page = mirror.store.page(folder, None, 1_000, 1 << 30)
    return {row.uid: row.envelope_id for row in page.rows}


@pytest.mark.parametrize("poison", [*POISON.values(), unreadable], ids=[*POISON, "unreadable"])
def test_partial_records_are_repaired_when_the_server_is_another(
    mirror: Mirror, hostile: HostileServer, poison: Callable[[int], Fault]
) -> None:
    for uid in (7, 19):
        hostile.always(METADATA, poison(uid))
    mirror.settle()
    poll_often(mirror)
    assert partial(mirror) == [7, 19]
    before, known = mirror.head, ids(mirror)
    hostile.heal()
    upgrade(hostile)
    mirror.restart()
    compare_whole(mirror)
    assert partial(mirror) == []
    assert (sorted(updated(mirror, before)), added(mirror, before)) == ([7, 19], [])
    assert ids(mirror) == known
    assert_agreed(mirror)


def test_partial_records_are_repaired_when_the_software_is_another(
    mirror: Mirror, hostile: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile.always(METADATA, unreadable(7))
    mirror.settle()
    hostile.heal()
    compare_whole(mirror)
    assert partial(mirror) == [7], "nothing is another one"
    monkeypatch.setattr("mailsync_grpc.sync.refetch.PARSERS", 1_000)
    compare_whole(mirror)
    assert (partial(mirror), updated(mirror)) == ([], [7])
    assert_agreed(mirror)


@pytest.mark.parametrize("poison", [*POISON.values(), unreadable], ids=[*POISON, "unreadable"])
def test_poison_remembered_while_neither_is_another(
    mirror: Mirror, hostile: HostileServer, poison: Callable[[int], Fault]
) -> None:
    hostile.always(METADATA, poison(7))
    mirror.settle()
    poll_often(mirror)
    asked = len(hostile.sent(METADATA))
    for _ in range(3):
        mirror.restart()
        compare_whole(mirror)
    assert len(hostile.sent(METADATA)) == asked
    upgrade(hostile)
    for _ in range(3):
        mirror.restart()
        compare_whole(mirror)
    assert 1 <= len(hostile.sent(METADATA)) - asked <= 2, "a chance for another server, and no more"
    assert (partial(mirror), updated(mirror)) == ([7], [])
    assert_agreed(mirror)


def test_what_minimal_mode_left_is_fetched_when_the_account_changes_to_full(mirror: Mirror) -> None:
    mirror.set_mode(SyncMode.MINIMAL)
    mirror.mailbox.store("4", r"+FLAGS (\Flagged)")
    mirror.settle()
    assert partial(mirror) == [*range(1, 31)]
    before, known = mirror.head, ids(mirror)
    mirror.set_mode(SyncMode.FULL_METADATA)
    mirror.poll()
    assert partial(mirror) == []
    assert all(envelope.subject for envelope in mirror.envelopes())
    told = kinds(mirror.events(before))
    assert sorted(updated(mirror, before)) == [*range(1, 31)]
    assert not {"backfilled", "envelope_added", "envelopes_removed"} & set(told)
    assert updated(mirror, before)[:10] == [*range(21, 31)], "newest first"
    assert ids(mirror) == known
    assert_agreed(mirror)
    head = mirror.head
    compare_whole(mirror)
    assert updated(mirror, head) == []


def test_a_change_to_minimal_mode_keeps_what_is_stored(mirror: Mirror, hostile: HostileServer) -> None:
    mirror.settle()
    asked, before = len(hostile.sent(METADATA)), mirror.head
    mirror.set_mode(SyncMode.MINIMAL)
    mirror.mailbox.deliver(messages(2, seed=2))
    mirror.poll()
    compare_whole(mirror)
    assert (partial(mirror), added(mirror, before)) == ([31, 32], [31, 32])
    assert len(hostile.sent(METADATA)) == asked
    mirror.set_mode(SyncMode.FULL_METADATA)
    mirror.poll()
    assert (partial(mirror), updated(mirror, before)) == ([], [31, 32])
    assert_agreed(mirror)


def test_a_repair_goes_on_after_a_restart(mirror: Mirror) -> None:
    mirror.set_mode(SyncMode.MINIMAL)
    mirror.settle()
    mirror.set_mode(SyncMode.FULL_METADATA)
    mirror.clock.skipped += 2 * mirror.settings.poll_interval
    mirror.sync.turn(nudged=True, lane=Lane.POLL)
    assert 0 < len(partial(mirror)) < 30
    mirror.restart()
    mirror.poll()
    assert partial(mirror) == []
    assert sorted(updated(mirror)) == [*range(1, 31)]
    assert_agreed(mirror)


def test_what_was_left_and_is_refused_is_kept_as_refused(mirror: Mirror, hostile: HostileServer) -> None:
    mirror.set_mode(SyncMode.MINIMAL)
    mirror.settle()
    hostile.always(METADATA, refusing_message(11))
    hostile.always(METADATA, omitting(17))
    mirror.set_mode(SyncMode.FULL_METADATA)
    poll_often(mirror)
    reasons = {e.uid: e.partial.reason for e in mirror.envelopes() if e.HasField("partial")}
    assert reasons == {
        11: envelope_pb2.PARTIAL_REASON_REFUSED,
        17: envelope_pb2.PARTIAL_REASON_NOT_FETCHED,
    }
    assert_agreed(mirror)


def test_a_server_that_gives_nothing_at_all_loses_no_message_its_chance(
    mirror: Mirror, hostile: HostileServer
) -> None:
    mirror.set_mode(SyncMode.MINIMAL)
    mirror.settle()
    for uid in range(1, 31):
        hostile.always(METADATA, refusing_message(uid))
    mirror.set_mode(SyncMode.FULL_METADATA)
    for _ in range(5):
        mirror.poll()
    assert len(hostile.sent(METADATA)) < 80, "it is not asked for each message in turn"
    assert {e.partial.reason for e in mirror.envelopes()} == {envelope_pb2.PARTIAL_REASON_NOT_FETCHED}
    hostile.heal()
    poll_often(mirror)
    assert partial(mirror) == []
    assert_agreed(mirror)


def test_messages_that_go_while_they_are_repaired_are_removed(mirror: Mirror, hostile: HostileServer) -> None:
    mirror.set_mode(SyncMode.MINIMAL)
    mirror.settle()
    mirror.set_mode(SyncMode.FULL_METADATA)
    hostile.once(METADATA, empty)
    mirror.clock.skipped += 2 * mirror.settings.poll_interval
    mirror.sync.turn(nudged=True, lane=Lane.POLL)
    mirror.mailbox.expunge("1:12")
    poll_often(mirror)
    assert partial(mirror) == []
    assert_agreed(mirror)

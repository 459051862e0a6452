"""Gmail's ways: labels are mirrored beside flags, its ids name messages and conversations, All Mail is left alone."""

from collections.abc import Iterator

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.v1 import event_pb2
from tests.support.agreement import assert_agreed
from tests.support.hostile import HostileMailbox, HostileServer
from tests.support.hostile_faults import saying
from tests.support.hostile_session import GMAIL, OBJECT_IDS
from tests.support.mirror import Mirror, kinds

ALL_MAIL = "[Gmail]/All Mail"
LABELS = rb"UID FETCH \S+ \(UID FLAGS X-GM-LABELS\)"


def mirrored(mailbox: HostileMailbox) -> Iterator[Mirror]:
    mirror = Mirror(mailbox, SyncSettings(batch_size=10, flags_window=10))
    yield mirror
    mirror.close()


@pytest.fixture
def gmail() -> Iterator[HostileServer]:
    """A server with labels, whose messages lie in All Mail too."""
    with HostileServer(GMAIL) as server:
        server.mailbox.create_folders(ALL_MAIL, "work")
        server.mail.folders[ALL_MAIL].special_use = "\\All"
        yield server
        server.heal()


@pytest.fixture
def mirror(gmail: HostileServer) -> Iterator[Mirror]:
    yield from mirrored(gmail.mailbox)


def labels(mirror: Mirror, folder: str = "INBOX") -> dict[int, list[str]]:
    return {envelope.uid: list(envelope.flags.labels) for envelope in mirror.envelopes(folder)}


def deliver(gmail: HostileServer, count: int) -> None:
    gmail.mailbox.deliver(messages(count))
    gmail.mailbox.copy("1:*", ALL_MAIL)


def test_labels_are_mirrored_and_their_changes_are_flag_changes(mirror: Mirror, gmail: HostileServer) -> None:
    deliver(gmail, 3)
    gmail.mailbox.label("1", "\\Important", "Größe (alt)")
    mirror.settle()
    assert labels(mirror) == {1: ["Größe (alt)", "\\Important"], 2: [], 3: []}
    before = mirror.head
    gmail.mailbox.label("1", "\\Important", "work")
    gmail.mailbox.label("3", "work")
    mirror.poll()
    assert labels(mirror) == {1: ["\\Important", "work"], 2: [], 3: ["work"]}
    changed = [event.flags_changed for event in mirror.events(before)]
    assert [(each.uid, list(each.added.labels), list(each.removed.labels)) for each in changed] == [
        (1, ["work"], ["Größe (alt)"]),
        (3, ["work"], []),
    ]
    assert_agreed(mirror)


def test_a_flag_told_without_labels_takes_none_away(mirror: Mirror, gmail: HostileServer) -> None:
    deliver(gmail, 3)
    gmail.mailbox.label("1:3", "work")
    mirror.settle()
    before = mirror.head
    gmail.once(LABELS, saying(b"* 2 FETCH (UID 2 FLAGS (\\Seen))", b"* 3 FETCH (FLAGS (\\Flagged))"))
    gmail.mailbox.store("1", "+FLAGS (\\Flagged)")
    mirror.poll()
    assert labels(mirror) == {1: ["work"], 2: ["work"], 3: ["work"]}
    assert not [event for event in mirror.events(before) if event.flags_changed.removed.labels]
    mirror.clock.skipped += mirror.settings.full_interval
    mirror.poll()
    assert_agreed(mirror)


def test_copies_are_known_by_one_id_and_all_mail_is_synced_only_when_chosen(
    mirror: Mirror, gmail: HostileServer
) -> None:
    deliver(gmail, 2)
    mirror.settle()
    assert not mirror.folder(ALL_MAIL)[0].selected
    mirror.sync_also(ALL_MAIL)
    here, there = ([each.email_id for each in mirror.envelopes(name)] for name in ("INBOX", ALL_MAIL))
    assert here == there == ["1", "2"]
    assert_agreed(mirror, "INBOX", ALL_MAIL)


def test_a_move_is_known_by_gmails_id_though_a_copy_stays(mirror: Mirror, gmail: HostileServer) -> None:
    deliver(gmail, 2)
    mirror.sync_also("work", ALL_MAIL)
    before = mirror.head
    gmail.mailbox.move("1", "work")
    mirror.poll()
    (moved,) = [event.envelope_moved for event in mirror.events(before) if event.HasField("envelope_moved")]
    assert moved.evidence == event_pb2.MOVE_EVIDENCE_GMAIL_MESSAGE_ID
    assert "envelopes_removed" not in kinds(mirror.events(before))


def test_conversations_are_those_of_gmail(mirror: Mirror, gmail: HostileServer) -> None:
    deliver(gmail, 3)
    for uid in (2, 3):
        gmail.mail.folders["INBOX"].messages[uid].thread = 1_266_894_439_832_287_888
    mirror.settle()
    assert [each.thread_id for each in mirror.envelopes()] == [
        "1",
        "1266894439832287888",
        "1266894439832287888",
    ]


def test_conversations_are_those_of_a_server_with_thread_ids() -> None:
    with HostileServer(OBJECT_IDS) as server:
        server.mailbox.deliver(messages(2))
        server.mail.folders["INBOX"].messages[2].thread = 7
        mirror = Mirror(server.mailbox)
        mirror.settle()
        assert [(each.email_id, each.thread_id) for each in mirror.envelopes()] == [("M1", ""), ("M2", "T7")]
        mirror.close()

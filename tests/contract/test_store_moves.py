"""What every engine promises about messages that move, are repaired, or report something: the id stays, one event tells."""

import pytest

from mailsync_grpc.model.changes import (
    Change,
    EnvelopeAdded,
    EnvelopeMoved,
    EnvelopeUpdated,
    EventKind,
    NewEnvelope,
    Reported,
)
from mailsync_grpc.model.evidence import MoveEvidence
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.folder import MirrorNo
from mailsync_grpc.model.ids import ID_BYTES, Revision, encode_id, envelope_name
from mailsync_grpc.model.report import DeliveryAction, Report, ReportKind, ReportRecipient
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch, ConflictError
from mailsync_grpc.store.codec import join_envelope, report_message
from mailsync_grpc.store.values import EnvelopePlace, LogRecord
from mailsync_grpc.v1 import envelope_pb2, event_pb2
from tests.support.store import EVERYTHING, Mailbox, copy_of, message_of

OTHER_ID = bytes(ID_BYTES)


def apply(inbox: Mailbox, *changes: Change) -> None:
    inbox.store.apply(Batch(inbox.account.key, changes))


def last_record(inbox: Mailbox) -> LogRecord:
    return inbox.store.log(Revision(inbox.store.stats().log_head - 1), 1, EVERYTHING).records[0]


def last_event(inbox: Mailbox) -> event_pb2.Event:
    return event_pb2.Event.FromString(last_record(inbox).event)


@pytest.fixture
def archive(inbox: Mailbox) -> Mailbox:
    """Another folder of the INBOX's account."""
    return Mailbox.make(inbox.store, name="Archive")


def move_of(inbox: Mailbox, uid: int, target: Mailbox, message: NewEnvelope) -> EnvelopeMoved:
    return EnvelopeMoved(inbox.folder.key, uid, target.folder.key, message, MoveEvidence.MESSAGE_ID_SIZE_DATE)


def moved(message: NewEnvelope, uid: int, *flags: str) -> NewEnvelope:
    return message._replace(uid=uid, flags=Flags.of(flags))


def test_a_moved_message_is_in_its_new_folder_under_the_id_that_it_had(
    inbox: Mailbox, archive: Mailbox
) -> None:
    message = message_of(7, "\\Seen")
    inbox.add(message, message_of(8))
    apply(inbox, move_of(inbox, 7, archive, moved(message, 3, "\\Flagged")))
    assert [row.uid for row in inbox.rows()] == [8]
    assert [(row.uid, row.envelope_id) for row in archive.rows()] == [(3, message.envelope_id)]
    assert inbox.store.locate(inbox.account.no, message.envelope_id) == EnvelopePlace(archive.folder.no, 3)
    account = inbox.account.no
    assert inbox.store.newest_uids(account, inbox.folder.mirror, 9) == [8]
    assert inbox.store.newest_uids(account, archive.folder.mirror, 9) == [3]
    assert Flags.of(["\\Flagged"]) in inbox.store.flag_table(account, archive.folder.mirror).values()


def test_a_move_is_told_in_one_event_of_the_target_with_the_whole_envelope(
    inbox: Mailbox, archive: Mailbox
) -> None:
    message = message_of(7)
    inbox.add(message)
    apply(inbox, move_of(inbox, 7, archive, moved(message, 3)))
    record = last_record(inbox)
    assert record.kind is EventKind.ENVELOPE_MOVED
    assert (record.folder, record.other_folder) == (archive.folder.no, inbox.folder.no)
    event = event_pb2.Event.FromString(record.event)
    told = event.envelope_moved
    assert event.folder == told.envelope.name.rpartition("/envelopes/")[0] == archive.folder.name
    assert (told.from_folder, told.from_uid, told.from_uid_validity) == (inbox.folder.name, 7, 77)
    assert told.from_name == envelope_name(inbox.account.id, inbox.folder.id, 77, 7)
    assert told.evidence == event_pb2.MOVE_EVIDENCE_MESSAGE_ID_SIZE_DATE
    (row,) = archive.rows()
    assert told.envelope == envelope_pb2.Envelope.FromString(join_envelope(archive.folder.key, row))


@pytest.mark.parametrize(
    ("uid", "envelope_id"),
    [(8, message_of(7).envelope_id), (7, OTHER_ID)],
    ids=["nothing-there", "another-message-there"],
)
def test_a_move_of_what_is_not_there_conflicts(
    inbox: Mailbox, archive: Mailbox, uid: int, envelope_id: bytes
) -> None:
    inbox.add(message_of(7))
    taken = moved(message_of(7), 3)._replace(envelope_id=envelope_id)
    with pytest.raises(ConflictError):
        apply(inbox, move_of(inbox, uid, archive, taken))
    assert [row.uid for row in inbox.rows()] == [7]
    assert archive.rows() == []


def test_a_move_within_a_folder_is_refused_before_the_commit(inbox: Mailbox) -> None:
    inbox.add(message_of(7))
    with pytest.raises(ValueError, match="move within a folder"):
        apply(inbox, move_of(inbox, 7, inbox, moved(message_of(7), 8)))


def test_a_move_onto_a_stored_uid_replaces_what_was_there(inbox: Mailbox, archive: Mailbox) -> None:
    message, stale = message_of(7), message_of(3, text="stale")
    inbox.add(message)
    archive.add(stale)
    apply(inbox, move_of(inbox, 7, archive, moved(message, 3)))
    assert [row.envelope_id for row in archive.rows()] == [message.envelope_id]
    assert inbox.store.locate(inbox.account.no, stale.envelope_id) is None


def test_a_message_may_arrive_and_move_on_within_one_batch(inbox: Mailbox, archive: Mailbox) -> None:
    message = message_of(7)
    apply(
        inbox,
        EnvelopeAdded(inbox.folder.key, message),
        move_of(inbox, 7, archive, moved(message, 3)),
        move_of(archive, 3, inbox, moved(message, 9)),
    )
    assert archive.rows() == []
    assert [(row.uid, row.envelope_id) for row in inbox.rows()] == [(9, message.envelope_id)]


def test_a_repaired_message_has_the_new_metadata_under_its_id_and_flags(inbox: Mailbox) -> None:
    before = message_of(7, "\\Seen", "work")
    inbox.add(before)
    after = message_of(7, "\\Seen", "work", text="repaired", envelope_id=before.envelope_id)
    apply(inbox, EnvelopeUpdated(inbox.folder.key, after))
    (row,) = inbox.rows()
    told = last_event(inbox).envelope_updated.envelope
    assert told == envelope_pb2.Envelope.FromString(join_envelope(inbox.folder.key, row))
    assert (told.subject, told.envelope_id) == (after.envelope.subject, encode_id(before.envelope_id))
    assert told.flags.seen
    assert inbox.store.locate(inbox.account.no, before.envelope_id) == EnvelopePlace(inbox.folder.no, 7)


@pytest.mark.parametrize(
    "message",
    [
        message_of(8, "\\Seen"),
        message_of(7, "\\Seen", envelope_id=OTHER_ID),
        message_of(7),
        message_of(7, "\\Seen", "work"),
    ],
    ids=["not-stored", "another-id", "flags-gone", "flags-added"],
)
def test_a_repair_of_what_is_not_stored_so_conflicts(inbox: Mailbox, message: NewEnvelope) -> None:
    inbox.add(message_of(7, "\\Seen"))
    rows = inbox.rows()
    with pytest.raises(ConflictError):
        apply(inbox, EnvelopeUpdated(inbox.folder.key, message))
    assert inbox.rows() == rows


def test_a_repair_sees_the_flags_of_its_own_batch(inbox: Mailbox) -> None:
    repaired = message_of(7, "\\Seen", text="repaired", envelope_id=message_of(7).envelope_id)
    apply(
        inbox,
        EnvelopeAdded(inbox.folder.key, message_of(7, "\\Seen")),
        EnvelopeUpdated(inbox.folder.key, repaired),
    )
    inbox.flag(7, Flags.of(["\\Seen"]), NO_FLAGS)
    with pytest.raises(ConflictError):
        apply(inbox, EnvelopeUpdated(inbox.folder.key, repaired))


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (ReportKind.BOUNCE, "bounce"),
        (ReportKind.COMPLAINT, "complaint"),
        (ReportKind.AUTO_REPLY, "auto_reply"),
    ],
)
def test_a_report_is_an_event_of_its_kind_and_changes_nothing(
    inbox: Mailbox, kind: ReportKind, payload: str
) -> None:
    message = message_of(7)
    inbox.add(message)
    rows = inbox.rows()
    recipient = ReportRecipient("you@example.org", "", DeliveryAction.FAILED, "5.1.1", "no\udcff", "mx")
    report = Report(kind, "1@example.org", (recipient,), "abuse", "auto-replied", "mta")
    apply(inbox, Reported(inbox.folder.key, 7, message.envelope_id, report))
    assert inbox.rows() == rows
    assert last_record(inbox).kind == EventKind[payload.upper()]
    event = last_event(inbox)
    told = getattr(event, payload)
    assert event.WhichOneof("payload") == payload
    assert told.envelope == envelope_name(inbox.account.id, inbox.folder.id, 77, 7)
    assert told.envelope_id == encode_id(message.envelope_id)
    assert told.report == report_message(report)
    assert told.report.recipients[0].diagnostic == "no\ufffd"


def test_a_report_of_a_mirror_that_was_replaced_conflicts(inbox: Mailbox) -> None:
    old = inbox.folder.key._replace(mirror=MirrorNo(99))
    with pytest.raises(ConflictError):
        apply(inbox, Reported(old, 7, OTHER_ID, Report(ReportKind.BOUNCE)))


def test_a_copy_that_stays_is_not_touched_by_a_move(inbox: Mailbox, archive: Mailbox) -> None:
    message = message_of(7)
    inbox.add(message, copy_of(message, 8))
    apply(inbox, move_of(inbox, 7, archive, moved(message, 3)))
    assert inbox.rows()[0].envelope_id == copy_of(message, 8).envelope_id
    assert UidSet.of(row.uid for row in archive.rows()) == UidSet.of([3])

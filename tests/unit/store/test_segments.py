"""Golden: numbers that stored bytes rely on. A difference here means that existing stores can no longer be read."""

from mailsync_grpc.model.account import AccountState, Security
from mailsync_grpc.model.changes import EventKind, FolderChangeKind
from mailsync_grpc.model.envelope import PartialReason
from mailsync_grpc.model.evidence import MoveEvidence
from mailsync_grpc.model.report import DeliveryAction, ReportKind
from mailsync_grpc.model.run import RunKind, RunState
from mailsync_grpc.model.window import SyncMode
from mailsync_grpc.store import keys
from mailsync_grpc.store.codec import View
from mailsync_grpc.v1 import account_pb2, envelope_pb2, event_pb2, sync_run_pb2

IDENTITY = {"name": 1, "uid": 2, "uid_validity": 3, "envelope_id": 4}
FLAGS = {"flags": 6}
BASIC = {
    "internal_date": 10, "size": 11, "subject": 12, "from": 13, "sender": 14, "reply_to": 15, "to": 16, "cc": 17,
    "bcc": 18, "message_id": 19, "in_reply_to": 20, "header_date": 21, "header_date_raw": 22, "email_id": 23,
    "has_attachment": 24, "thread_id": 5,
}  # fmt: skip
DETAIL = {
    "references": 30, "body_meta": 31, "attachments": 32, "report": 33, "partial": 34, "truncated": 35
}  # fmt: skip


def numbers(message: type[envelope_pb2.Envelope] | type[event_pb2.FlagsChanged]) -> dict[str, int]:
    return {field.name: field.number for field in message.DESCRIPTOR.fields}


def test_each_envelope_field_belongs_to_exactly_one_segment() -> None:
    segments = (IDENTITY, FLAGS, BASIC, DETAIL)
    assert sum(map(len, segments)) == len(numbers(envelope_pb2.Envelope))
    assert numbers(envelope_pb2.Envelope) == {
        name: number for segment in segments for name, number in segment.items()
    }
    numbered = BASIC.keys() - {"thread_id"}  # it stands last in its segment
    assert max(IDENTITY.values()) < 6 <= max(FLAGS.values()) < 10 <= min(BASIC[name] for name in numbered)
    assert max(BASIC.values()) < 30 <= min(DETAIL.values())


def test_flags_changed_begins_with_the_identity_of_an_envelope() -> None:
    assert IDENTITY.items() <= numbers(event_pb2.FlagsChanged).items()


def test_kinds_of_events_are_those_of_the_contract_and_their_payload_fields() -> None:
    kinds = {kind.name: kind.value for kind in EventKind}
    types = {name.removeprefix("EVENT_TYPE_"): value for name, value in event_pb2.EventType.items() if value}
    payloads = {field.name.upper(): field.number for field in event_pb2.Event.DESCRIPTOR.oneofs[0].fields}
    assert kinds == types == payloads


def test_enumerations_of_the_model_have_the_numbers_of_the_contract() -> None:
    for model, contract, prefix in (
        (AccountState, account_pb2.AccountState, "ACCOUNT_STATE_"),
        (Security, account_pb2.ImapSecurity, "IMAP_SECURITY_"),
        (FolderChangeKind, event_pb2.FolderChange, "FOLDER_CHANGE_"),
        (PartialReason, envelope_pb2.PartialReason, "PARTIAL_REASON_"),
        (RunState, sync_run_pb2.SyncRunState, "SYNC_RUN_STATE_"),
        (RunKind, sync_run_pb2.SyncRunKind, "SYNC_RUN_KIND_"),
        (SyncMode, account_pb2.SyncMode, "SYNC_MODE_"),
        (ReportKind, envelope_pb2.ReportKind, "REPORT_KIND_"),
        (DeliveryAction, envelope_pb2.DeliveryAction, "DELIVERY_ACTION_"),
        (MoveEvidence, event_pb2.MoveEvidence, "MOVE_EVIDENCE_"),
        (View, envelope_pb2.EnvelopeView, "ENVELOPE_VIEW_"),
    ):
        for member in model:
            assert contract.Value(prefix + member.name) == member.value


def test_keys_sort_as_their_numbers() -> None:
    keys_in_order = [keys.triple.pack(*place) for place in ((1, 1, 1), (1, 1, 256), (1, 2, 0), (256, 0, 0))]
    assert keys_in_order == sorted(keys_in_order)
    assert keys.wide.pack(255) < keys.wide.pack(256)

"""Reading stored events without the generated classes: the same names, and exactly the fields of the view."""

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.model.changes import (
    Change,
    EnvelopeAdded,
    EnvelopeMoved,
    EnvelopeUpdated,
    EventKind,
    FlagsChanged,
)
from mailsync_grpc.model.evidence import MoveEvidence
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.codec.event_view import in_view, moved_from, origin
from mailsync_grpc.store.codec.identity import View
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import LogRecord
from mailsync_grpc.v1 import envelope_pb2, event_pb2
from tests.support.store import Mailbox, message_of

_LEFT_OUT = {View.FLAGS: 10, View.BASIC: 30, View.FULL: 1 << 20}


def record_of(kind: EventKind, uid: int, text: str, request_id: str) -> LogRecord:
    """The record of one event of this kind, as a store writes it."""
    store = MemoryStore()
    inbox, sent = Mailbox.make(store, "a"), Mailbox.make(store, "a", "Sent")
    message = message_of(uid, "\\Seen", "work", text=text)
    message = message._replace(envelope=message.envelope._replace(thread_id="T1"))
    if kind is not EventKind.ENVELOPE_ADDED:
        inbox.add(message)
    evidence = MoveEvidence.MESSAGE_ID_SIZE_DATE
    changes: dict[EventKind, Change] = {
        EventKind.ENVELOPE_ADDED: EnvelopeAdded(inbox.folder.key, message),
        EventKind.ENVELOPE_UPDATED: EnvelopeUpdated(inbox.folder.key, message),
        EventKind.ENVELOPE_MOVED: EnvelopeMoved(inbox.folder.key, uid, sent.folder.key, message, evidence),
        EventKind.FLAGS_CHANGED: FlagsChanged(
            inbox.folder.key, uid, message.envelope_id, message.flags, Flags.of(["\\Flagged"])
        ),
    }
    store.apply(Batch(inbox.account.key, (changes[kind],), request_id=request_id))
    head = store.stats().log_head
    return store.log(Revision(head - 1), 1, 1 << 30).records[0]


kinds = st.sampled_from(
    [
        EventKind.ENVELOPE_ADDED,
        EventKind.ENVELOPE_UPDATED,
        EventKind.ENVELOPE_MOVED,
        EventKind.FLAGS_CHANGED,
    ]
)
events = st.builds(
    record_of, kinds, st.integers(1, 2**32 - 1), st.text(max_size=300), st.sampled_from(["", "a-request"])
)


@given(events, st.sampled_from(list(View)))
def test_a_view_of_an_event_leaves_out_exactly_what_the_view_does(record: LogRecord, view: View) -> None:
    whole = event_pb2.Event.FromString(record.event)
    for holder in (whole.envelope_added, whole.envelope_updated, whole.envelope_moved):
        envelope: Message = holder.envelope
        for field, _ in envelope.ListFields():
            if field.number >= _LEFT_OUT[view] or (view is View.FLAGS and field.name == "thread_id"):
                envelope.ClearField(field.name)
    found = event_pb2.Event.FromString(in_view(record.event, record.kind, view))
    expected = event_pb2.Event.FromString(record.event)
    kind = expected.WhichOneof("payload")
    assert kind is not None
    shorter = getattr(whole, kind)
    getattr(expected, kind).CopyFrom(shorter)
    assert found == expected


@given(events)
def test_an_event_says_whose_it_is(record: LogRecord) -> None:
    event = event_pb2.Event.FromString(record.event)
    assert origin(record.event) == (event.account.encode(), event.folder.encode())
    if record.kind is EventKind.ENVELOPE_MOVED:
        assert moved_from(record.event) == event.envelope_moved.from_folder.encode()


def test_an_event_without_a_folder_has_an_empty_one() -> None:
    store = MemoryStore()
    Mailbox.make(store, "a")
    first = store.log(Revision(0), 1, 1 << 30).records[0]
    assert origin(first.event) == (b"accounts/a", b"")


_FIXED_WIDTH = {
    FieldDescriptor.TYPE_DOUBLE,
    FieldDescriptor.TYPE_FLOAT,
    FieldDescriptor.TYPE_FIXED32,
    FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED32,
    FieldDescriptor.TYPE_SFIXED64,
}


@pytest.mark.parametrize("message", [event_pb2.Event, envelope_pb2.Envelope, event_pb2.EnvelopeMoved])
def test_what_is_walked_holds_varints_and_length_delimited_fields_only(message: type[Message]) -> None:
    assert not [field.name for field in message.DESCRIPTOR.fields if field.type in _FIXED_WIDTH]

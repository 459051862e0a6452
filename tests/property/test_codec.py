"""Bytes written by hand are what the generated classes write, for any value."""

import base64
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import UInt64Value
from hypothesis import example, given
from hypothesis import strategies as st

from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.envelope import Address, Attachment, BodyPart, Envelope, Partial, PartialReason
from mailsync_grpc.model.evidence import evidence_of
from mailsync_grpc.model.flags import SYSTEM_FLAGS, Flags
from mailsync_grpc.model.folder import FolderKey, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo, encode_id, envelope_name
from mailsync_grpc.model.report import DeliveryAction, Report, ReportKind, ReportRecipient
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store import keys
from mailsync_grpc.store.codec import (
    View,
    encode_envelope,
    encode_flags,
    identity,
    join_envelope,
    join_envelopes,
)
from mailsync_grpc.store.codec.envelope import (
    decode_evidence,
    decode_flags,
    decode_internal_date,
    decode_partial,
    decode_summary,
)
from mailsync_grpc.store.codec.event import commit_time_field, stamp
from mailsync_grpc.store.codec.wire import clean, varint
from mailsync_grpc.store.values import EnvelopeRow
from mailsync_grpc.v1 import envelope_pb2, envelope_service_pb2, event_pb2

MAX_UID = 0xFFFFFFFF
# Any text, with NUL and lone surrogates, as a hostile header gives it to a careless parser.
texts = st.text(st.characters(exclude_categories=()), max_size=40)
sizes = st.integers(0, 1 << 63)
seconds = st.none() | st.integers(-(1 << 36), 1 << 38)
addresses = st.lists(st.builds(Address, texts, texts), max_size=3).map(tuple)
several = st.lists(texts, max_size=3).map(tuple)
flags = st.builds(
    Flags.of, st.lists(st.sampled_from(SYSTEM_FLAGS) | texts, max_size=6), st.lists(texts, max_size=3)
)
uids = st.integers(1, MAX_UID)
ids = st.binary(min_size=10, max_size=10)
reports = st.builds(
    Report,
    st.sampled_from(ReportKind),
    texts,
    st.lists(
        st.builds(ReportRecipient, texts, texts, st.sampled_from(DeliveryAction), texts, texts, texts),
        max_size=3,
    ).map(tuple),
    texts,
    texts,
    texts,
)
envelopes = st.builds(
    Envelope,
    internal_date=seconds,
    size=sizes,
    subject=texts,
    from_=addresses,
    sender=addresses,
    reply_to=addresses,
    to=addresses,
    cc=addresses,
    bcc=addresses,
    message_id=texts,
    in_reply_to=several,
    header_date=seconds,
    header_date_raw=texts,
    email_id=texts,
    thread_id=texts,
    references=several,
    text_parts=st.lists(st.builds(BodyPart, texts, texts, texts, texts, texts, sizes, sizes), max_size=2).map(
        tuple
    ),
    attachments=st.lists(
        st.builds(Attachment, texts, texts, texts, texts, sizes, texts, st.booleans(), texts, texts),
        max_size=2,
    ).map(tuple),
    partial=st.none() | st.builds(Partial, st.sampled_from(PartialReason), texts),
    truncated=st.booleans(),
    report=st.none() | reports,
)
folders = st.builds(
    FolderKey,
    st.builds(AccountKey, st.just(AccountNo(1)), st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True)),
    st.just(FolderNo(1)),
    ids,
    st.just(MirrorNo(1)),
    uids,
)


def serialized(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


def same(written: bytes, expected: Message) -> None:
    """The bytes hold exactly the message: nothing else, nothing unknown, in canonical order."""
    assert written == serialized(expected)


def means(written: bytes, expected: Message) -> None:
    """The same in another order: a segment's last field is the thread's id."""
    assert type(expected).FromString(written) == expected
    assert len(written) == expected.ByteSize()


def _addresses(found: tuple[Address, ...]) -> list[envelope_pb2.Address]:
    return [envelope_pb2.Address(display_name=clean(a.display_name), address=clean(a.address)) for a in found]


def _fields(value: Any, renamed: dict[str, str] | None = None) -> dict[str, Any]:
    names = renamed or {}
    items = value._asdict().items()
    return {names.get(name, name): clean(field) if isinstance(field, str) else field for name, field in items}


def _time(value: int | None) -> Timestamp | None:
    return None if value is None else Timestamp(seconds=value)


def _basic(envelope: Envelope) -> envelope_pb2.Envelope:
    message = envelope_pb2.Envelope(
        internal_date=_time(envelope.internal_date),
        size=envelope.size,
        subject=clean(envelope.subject),
        sender=_addresses(envelope.sender),
        reply_to=_addresses(envelope.reply_to),
        to=_addresses(envelope.to),
        cc=_addresses(envelope.cc),
        bcc=_addresses(envelope.bcc),
        message_id=clean(envelope.message_id),
        in_reply_to=map(clean, envelope.in_reply_to),
        header_date=_time(envelope.header_date),
        header_date_raw=clean(envelope.header_date_raw),
        email_id=clean(envelope.email_id),
        thread_id=clean(envelope.thread_id),
        has_attachment=any(not part.inline for part in envelope.attachments),
    )
    getattr(message, "from").extend(_addresses(envelope.from_))
    return message


def _detail(envelope: Envelope) -> envelope_pb2.Envelope:
    partial = envelope.partial
    return envelope_pb2.Envelope(
        references=map(clean, envelope.references),
        body_meta=[envelope_pb2.BodyMeta(**_fields(part)) for part in envelope.text_parts],
        attachments=[envelope_pb2.Attachment(**_fields(part)) for part in envelope.attachments],
        report=_report(envelope.report) if envelope.report else None,
        partial=envelope_pb2.Partial(**_fields(partial)) if partial else None,
        truncated=envelope.truncated,
    )


def _report(report: Report) -> envelope_pb2.Report:
    recipients = [envelope_pb2.ReportRecipient(**_fields(recipient)) for recipient in report.recipients]
    return envelope_pb2.Report(**(_fields(report) | {"recipients": recipients}))


def _flags(value: Flags) -> envelope_pb2.Flags:
    message = envelope_pb2.Flags(keywords=map(clean, value.keywords), labels=map(clean, value.labels))
    for name in SYSTEM_FLAGS:
        setattr(message, name.removeprefix("\\").lower(), name in value)
    return message


def _identity(folder: FolderKey, uid: int, envelope_id: bytes) -> envelope_pb2.Envelope:
    return envelope_pb2.Envelope(
        name=envelope_name(folder.account.id, folder.id, folder.uid_validity, uid),
        uid=uid,
        uid_validity=folder.uid_validity,
        envelope_id=encode_id(envelope_id),
    )


@given(st.integers(-(1 << 63), (1 << 64) - 1))
@example(1 << 14)
@example((1 << 21) - 1)
@example(1 << 21)
def test_a_varint_is_read_by_protobuf(number: int) -> None:
    assert UInt64Value.FromString(b"\x08" + varint(number)).value == number % (1 << 64)


@given(envelopes)
def test_envelope_segments_are_what_the_generated_classes_write(envelope: Envelope) -> None:
    basic, detail = encode_envelope(envelope)
    means(basic, _basic(envelope))
    same(detail, _detail(envelope))
    assert decode_summary(basic) == (clean(envelope.message_id), clean(envelope.subject))


@given(envelopes)
def test_what_is_looked_up_in_segments_is_what_was_written(envelope: Envelope) -> None:
    basic, detail = encode_envelope(envelope)
    told = envelope._replace(message_id=clean(envelope.message_id), email_id=clean(envelope.email_id))
    assert decode_evidence(basic) == evidence_of(told)
    assert decode_internal_date(basic) == envelope.internal_date
    assert decode_partial(detail) == (envelope.partial.reason if envelope.partial else None)


@given(st.sets(st.integers(1, MAX_UID)).map(UidSet.of))
def test_a_set_of_uids_is_read_back_as_it_was_stored(uids: UidSet) -> None:
    assert keys.unpack_uids(keys.pack_uids(uids) or None) == uids


@given(flags)
def test_the_flags_segment_is_what_the_generated_classes_write_and_reads_back(value: Flags) -> None:
    same(encode_flags(value), envelope_pb2.Envelope(flags=_flags(value)))
    assert decode_flags(encode_flags(value)) == Flags.of(map(clean, value.names), map(clean, value.labels))


@given(folders, uids, ids)
def test_the_identity_is_what_the_generated_classes_write(
    folder: FolderKey, uid: int, envelope_id: bytes
) -> None:
    same(identity(folder, uid, envelope_id), _identity(folder, uid, envelope_id))
    assert base64.b32encode(envelope_id).lower() in identity(folder, uid, envelope_id)


@given(folders, st.lists(st.tuples(uids, ids, flags, envelopes), max_size=4), st.sampled_from(View))
def test_joined_segments_are_a_response_of_whole_envelopes(
    folder: FolderKey, messages: list[tuple[int, bytes, Flags, Envelope]], view: View
) -> None:
    rows = [
        EnvelopeRow(uid, eid, encode_flags(value), *encode_envelope(one)) for uid, eid, value, one in messages
    ]
    expected = envelope_service_pb2.ListEnvelopesResponse()
    for uid, envelope_id, value, one in messages:
        entry = expected.envelopes.add()
        entry.MergeFrom(_identity(folder, uid, envelope_id))
        entry.flags.CopyFrom(_flags(value))
        parts: list[Callable[[Envelope], envelope_pb2.Envelope]] = [_basic, _detail]
        for part in parts[: view - 1]:
            entry.MergeFrom(part(one))
    means(join_envelopes(folder, rows, view), expected)
    for row, entry in zip(rows, expected.envelopes, strict=True):
        means(join_envelope(folder, row, view), entry)


@given(st.integers(1, 1 << 60), st.integers(0, 1 << 42), texts)
def test_a_stamped_event_has_revision_and_commit_time(revision: int, millis: int, request_id: str) -> None:
    expected = event_pb2.Event(revision=revision, request_id=clean(request_id))
    expected.commit_time.FromMilliseconds(millis)
    rest = serialized(event_pb2.Event(request_id=clean(request_id)))
    same(stamp(revision, commit_time_field(millis), rest), expected)

"""A page of envelopes made the way one writes it first: a message object for each value, then serialized."""

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.model.changes import NewEnvelope
from mailsync_grpc.model.envelope import Address, Attachment, BodyPart
from mailsync_grpc.model.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, Flags
from mailsync_grpc.model.folder import FolderKey
from mailsync_grpc.model.ids import encode_id, envelope_name
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1.envelope_service_pb2 import ListEnvelopesResponse


def built_page(folder: FolderKey, messages: Sequence[NewEnvelope]) -> bytes:
    """Return the response that lists `messages` in full view."""
    return ListEnvelopesResponse(
        envelopes=[_envelope(folder, message) for message in messages]
    ).SerializeToString()


def _envelope(folder: FolderKey, message: NewEnvelope) -> envelope_pb2.Envelope:
    value = message.envelope
    built = envelope_pb2.Envelope(
        name=envelope_name(folder.account.id, folder.id, folder.uid_validity, message.uid),
        uid=message.uid,
        uid_validity=folder.uid_validity,
        envelope_id=encode_id(message.envelope_id),
        flags=_flags(message.flags),
        internal_date=_timestamp(value.internal_date),
        size=value.size,
        subject=value.subject,
        sender=_addresses(value.sender),
        reply_to=_addresses(value.reply_to),
        to=_addresses(value.to),
        cc=_addresses(value.cc),
        bcc=_addresses(value.bcc),
        message_id=value.message_id,
        in_reply_to=value.in_reply_to,
        header_date=_timestamp(value.header_date),
        header_date_raw=value.header_date_raw,
        email_id=value.email_id,
        has_attachment=any(not attachment.inline for attachment in value.attachments),
        references=value.references,
        body_meta=[_body_meta(part) for part in value.text_parts],
        attachments=[_attachment(part) for part in value.attachments],
        truncated=value.truncated,
    )
    # `from` is a word of Python's own and no parameter.
    getattr(built, "from").extend(_addresses(value.from_))
    return built


def _flags(flags: Flags) -> envelope_pb2.Flags:
    return envelope_pb2.Flags(
        seen=SEEN in flags,
        answered=ANSWERED in flags,
        flagged=FLAGGED in flags,
        deleted=DELETED in flags,
        draft=DRAFT in flags,
        keywords=flags.keywords,
        labels=flags.labels,
    )


def _timestamp(seconds: int | None) -> Timestamp | None:
    return None if seconds is None else Timestamp(seconds=seconds)


def _addresses(addresses: Sequence[Address]) -> list[envelope_pb2.Address]:
    return [
        envelope_pb2.Address(display_name=address.display_name, address=address.address)
        for address in addresses
    ]


def _body_meta(part: BodyPart) -> envelope_pb2.BodyMeta:
    return envelope_pb2.BodyMeta(
        section=part.section,
        media_type=part.media_type,
        media_subtype=part.media_subtype,
        charset=part.charset,
        transfer_encoding=part.transfer_encoding,
        size=part.size,
        lines=part.lines,
    )


def _attachment(part: Attachment) -> envelope_pb2.Attachment:
    return envelope_pb2.Attachment(
        section=part.section,
        file_name=part.file_name,
        media_type=part.media_type,
        media_subtype=part.media_subtype,
        size=part.size,
        content_id=part.content_id,
        inline=part.inline,
        transfer_encoding=part.transfer_encoding,
        charset=part.charset,
    )

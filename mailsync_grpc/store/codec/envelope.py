"""The stored segments of an envelope: serialized fields of `mailsync.v1.Envelope`, written directly.

Building protobuf objects costs more than everything else a sync does to a message, so the bytes are put together here;
a property test compares them with what the generated classes make. Each field belongs to exactly one segment: identity
(1 to 5, made on reading from the key), flags (6), basic (10 to 29) and detail (30 and up).
"""

from functools import lru_cache

from mailsync_grpc.model.envelope import Address, Attachment, BodyPart, Envelope, Partial, PartialReason
from mailsync_grpc.model.evidence import Evidence, evidence_of
from mailsync_grpc.model.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, Flags
from mailsync_grpc.store.codec.messages import report_message
from mailsync_grpc.store.codec.wire import (
    bytes_tag,
    chunk,
    number_field,
    seconds_field,
    text_field,
    varint,
    varint_tag,
)
from mailsync_grpc.v1 import envelope_pb2

FLAGS_FIELD = 6

_FLAGS = bytes_tag(FLAGS_FIELD)
_THREAD_ID = bytes_tag(5)
_INTERNAL_DATE, _SIZE, _SUBJECT = bytes_tag(10), varint_tag(11), bytes_tag(12)
_FROM, _SENDER, _REPLY_TO = bytes_tag(13), bytes_tag(14), bytes_tag(15)
_TO, _CC, _BCC = bytes_tag(16), bytes_tag(17), bytes_tag(18)
_MESSAGE_ID, _IN_REPLY_TO, _HEADER_DATE = bytes_tag(19), bytes_tag(20), bytes_tag(21)
_HEADER_DATE_RAW, _EMAIL_ID, _HAS_ATTACHMENT = bytes_tag(22), bytes_tag(23), varint_tag(24)
_REFERENCES, _BODY_META, _ATTACHMENTS = bytes_tag(30), bytes_tag(31), bytes_tag(32)
_REPORT, _PARTIAL, _TRUNCATED = bytes_tag(33), bytes_tag(34), varint_tag(35)
_TEXT = tuple(bytes_tag(field) for field in range(10))
_NUMBER = tuple(varint_tag(field) for field in range(10))
_BODY_SIZE, _BODY_LINES = _NUMBER[6], _NUMBER[7]
_SYSTEM = {SEEN: 1, ANSWERED: 2, FLAGGED: 3, DELETED: 4, DRAFT: 5}
_TRUE = varint(1)
_USUAL_DATE = _INTERNAL_DATE + bytes((6, 8))
"""How a date of 1978 to 3058 begins: a message of six octets, whose varint of seconds takes five."""


def encode_envelope(envelope: Envelope) -> tuple[bytes, bytes]:
    """Return the basic and the detail segment."""
    return _basic(envelope), _detail(envelope)


def _basic(envelope: Envelope) -> bytes:
    parts = []
    if envelope.internal_date is not None:
        parts.append(seconds_field(_INTERNAL_DATE, envelope.internal_date))
    parts.append(number_field(_SIZE, envelope.size))
    parts.append(text_field(_SUBJECT, envelope.subject))
    if envelope.from_ == envelope.sender == envelope.reply_to:
        parts.append(_same_sender(envelope.from_))
    else:
        parts.append(_addresses(_FROM, envelope.from_))
        parts.append(_addresses(_SENDER, envelope.sender))
        parts.append(_addresses(_REPLY_TO, envelope.reply_to))
    parts.append(_addresses(_TO, envelope.to))
    if envelope.cc:
        parts.append(_addresses(_CC, envelope.cc))
    if envelope.bcc:
        parts.append(_addresses(_BCC, envelope.bcc))
    parts.append(text_field(_MESSAGE_ID, envelope.message_id))
    parts.extend([_repeated_text(_IN_REPLY_TO, text) for text in envelope.in_reply_to])
    if envelope.header_date is not None:
        parts.append(seconds_field(_HEADER_DATE, envelope.header_date))
    parts.append(text_field(_HEADER_DATE_RAW, envelope.header_date_raw))
    parts.append(text_field(_EMAIL_ID, envelope.email_id))
    if envelope.attachments and not all(attachment.inline for attachment in envelope.attachments):
        parts.append(_HAS_ATTACHMENT + _TRUE)
    # Last, whatever its number: a segment begins with the date, which is read from there.
    parts.append(text_field(_THREAD_ID, envelope.thread_id))
    return b"".join(parts)


def _detail(envelope: Envelope) -> bytes:
    parts = [_repeated_text(_REFERENCES, text) for text in envelope.references]
    parts.extend([chunk(_BODY_META, _body_meta(part)) for part in envelope.text_parts])
    parts.extend([chunk(_ATTACHMENTS, _attachment(part)) for part in envelope.attachments])
    if envelope.report is not None:
        parts.append(chunk(_REPORT, report_message(envelope.report).SerializeToString()))
    if envelope.partial is not None:
        parts.append(chunk(_PARTIAL, _partial(envelope.partial)))
    if envelope.truncated:
        parts.append(_TRUNCATED + _TRUE)
    return b"".join(parts)


# Correspondents and kinds of parts repeat, so their bytes are kept.
@lru_cache(maxsize=16_384)
def _addresses(tag: bytes, addresses: tuple[Address, ...]) -> bytes:
    return b"".join([chunk(tag, _address(address)) for address in addresses])


@lru_cache(maxsize=16_384)
def _same_sender(addresses: tuple[Address, ...]) -> bytes:
    """The three lists of nearly all mail: servers fill in From where Sender and Reply-To are absent."""
    return b"".join([_addresses(tag, addresses) for tag in (_FROM, _SENDER, _REPLY_TO)])


@lru_cache(maxsize=16_384)
def _address(address: Address) -> bytes:
    return text_field(_TEXT[1], address.display_name) + text_field(_TEXT[2], address.address)


def _repeated_text(tag: bytes, text: str) -> bytes:
    # Unlike a single string, an empty one of a list is written.
    return text_field(tag, text) or chunk(tag, b"")


@lru_cache(maxsize=4_096)
def _part_kind(
    section: str, media_type: str, media_subtype: str, charset: str, transfer_encoding: str
) -> bytes:
    texts = (section, media_type, media_subtype, charset, transfer_encoding)
    return b"".join(text_field(_TEXT[field], text) for field, text in enumerate(texts, 1))


def _body_meta(part: BodyPart) -> bytes:
    section, media_type, media_subtype, charset, transfer_encoding, size, lines = part
    kind = _part_kind(section, media_type, media_subtype, charset, transfer_encoding)
    return kind + number_field(_BODY_SIZE, size) + number_field(_BODY_LINES, lines)


def _attachment(part: Attachment) -> bytes:
    return b"".join(
        (
            text_field(_TEXT[1], part.section),
            text_field(_TEXT[2], part.file_name),
            text_field(_TEXT[3], part.media_type),
            text_field(_TEXT[4], part.media_subtype),
            number_field(_NUMBER[5], part.size),
            text_field(_TEXT[6], part.content_id),
            number_field(_NUMBER[7], part.inline),
            text_field(_TEXT[8], part.transfer_encoding),
            text_field(_TEXT[9], part.charset),
        )
    )


def _partial(partial: Partial) -> bytes:
    return number_field(_NUMBER[1], partial.reason) + text_field(_TEXT[2], partial.detail)


@lru_cache(maxsize=65_536)
def flags_message(flags: Flags) -> bytes:
    """Return the serialized `mailsync.v1.Flags`."""
    parts = [_NUMBER[field] + _TRUE for name, field in _SYSTEM.items() if name in flags]
    parts.extend(_repeated_text(_TEXT[6], keyword) for keyword in flags.keywords)
    parts.extend(_repeated_text(_TEXT[7], label) for label in flags.labels)
    return b"".join(parts)


@lru_cache(maxsize=65_536)
def encode_flags(flags: Flags) -> bytes:
    """Return the flags segment: field 6 with its tag, present even without flags."""
    return chunk(_FLAGS, flags_message(flags))


def decode_flags(segment: bytes) -> Flags:
    """Return the flags of a flags segment."""
    message = envelope_pb2.Envelope.FromString(segment).flags
    present = (message.seen, message.answered, message.flagged, message.deleted, message.draft)
    system = [name for name, is_set in zip(_SYSTEM, present, strict=True) if is_set]
    return Flags.of([*system, *message.keywords], message.labels)


def decode_summary(basic: bytes) -> tuple[str, str]:
    """Return Message-ID and subject from a basic segment."""
    message = envelope_pb2.Envelope.FromString(basic)
    return message.message_id, message.subject


def decode_print(basic: bytes) -> tuple[str, int]:
    """Return Message-ID and size from a basic segment."""
    message = envelope_pb2.Envelope.FromString(basic)
    return message.message_id, message.size


def decode_evidence(basic: bytes) -> Evidence | None:
    """Return from a basic segment what identifies the message wherever it is, None when nothing does."""
    message = envelope_pb2.Envelope.FromString(basic)
    date = message.internal_date.seconds if message.HasField("internal_date") else None
    return evidence_of(Envelope(date, message.size, message_id=message.message_id, email_id=message.email_id))


def decode_internal_date(basic: bytes) -> int | None:
    """Return the first field of a basic segment, seconds since 1970, None when the segment begins with another."""
    if not basic.startswith(_INTERNAL_DATE):
        return None
    if basic.startswith(_USUAL_DATE):
        a, b, c, d, e = basic[3:8]
        return a & 0x7F | (b & 0x7F) << 7 | (c & 0x7F) << 14 | (d & 0x7F) << 21 | e << 28
    return envelope_pb2.Envelope.FromString(basic).internal_date.seconds


def decode_has_attachment(basic: bytes) -> bool:
    """Return whether a basic segment says that the message has an attachment."""
    # No UTF-8 text holds the tag's first octet: only a segment that has these octets is parsed, nearly always for a yes.
    return _HAS_ATTACHMENT + _TRUE in basic and envelope_pb2.Envelope.FromString(basic).has_attachment


def decode_partial(detail: bytes) -> PartialReason | None:
    """Return why the record is partial, None for a whole one."""
    # Two octets that hardly ever stand in text: only a detail that has them is parsed.
    if _PARTIAL not in detail:
        return None
    message = envelope_pb2.Envelope.FromString(detail)
    return PartialReason(message.partial.reason) if message.HasField("partial") else None

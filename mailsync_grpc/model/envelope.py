"""The metadata of one message as it was sent, without what can change (flags, folder, UID).

Everything here derives from the message alone, so the stored bytes of it never change. Text is always valid UTF-8 by
the time it is here: the parsers decode or replace. What a parser could not make sense of is named in `partial`.
"""

from enum import IntEnum
from typing import NamedTuple

from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.report import Report, ReportParts

MAX_ADDRESSES = 1_000
"""Longer address lists are cut to this and `Envelope.truncated` is set."""


class Address(NamedTuple):
    """One mailbox of an address list: display name (may be empty) and `local@domain` (RFC 5322 section 3.4)."""

    display_name: str
    address: str


class BodyPart(NamedTuple):
    """A text part of the body, from BODYSTRUCTURE (RFC 3501 section 7.4.2)."""

    section: str
    media_type: str
    media_subtype: str
    charset: str
    transfer_encoding: str
    size: int
    lines: int


class Attachment(NamedTuple):
    """A part that is not the shown text: `size` counts encoded octets, `file_name` is decoded and only data."""

    section: str
    file_name: str
    media_type: str
    media_subtype: str
    size: int
    content_id: str
    inline: bool
    transfer_encoding: str
    charset: str


class PartialReason(IntEnum):
    """Why a record lacks metadata. Values are those of `mailsync.v1.PartialReason`."""

    MALFORMED = 1
    TOO_DEEP = 2
    TOO_LARGE = 3
    REFUSED = 4
    NOT_FETCHED = 5


class Partial(NamedTuple):
    """A record that could not be read whole."""

    reason: PartialReason
    detail: str


class Envelope(NamedTuple):
    """Immutable metadata of one message (RFC 3501 ENVELOPE and BODYSTRUCTURE, RFC 5322 header fields).

    `internal_date` and `header_date` are seconds since 1970 UTC or None when absent or unusable; `header_date_raw`
    keeps the Date field as sent. `size` is RFC822.SIZE in octets. Message ids keep their angle brackets off.
    `email_id` is RFC 8474's EMAILID or Gmail's X-GM-MSGID in decimal, empty where the server has none;
    `thread_id` is THREADID or X-GM-THRID likewise.
    """

    internal_date: int | None = None
    size: int = 0
    subject: str = ""
    from_: tuple[Address, ...] = ()
    sender: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    message_id: str = ""
    in_reply_to: tuple[str, ...] = ()
    header_date: int | None = None
    header_date_raw: str = ""
    email_id: str = ""
    thread_id: str = ""
    references: tuple[str, ...] = ()
    text_parts: tuple[BodyPart, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    partial: Partial | None = None
    truncated: bool = False
    report: Report | None = None


class FetchedMessage(NamedTuple):
    """One message of a FETCH answer: its UID, its flags and its metadata.

    With `report_parts` the envelope's report lacks what these parts say.
    """

    uid: int
    flags: Flags
    envelope: Envelope
    report_parts: ReportParts | None = None

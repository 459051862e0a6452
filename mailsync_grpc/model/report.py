"""What a report message says: a bounce (RFC 3464), a complaint (RFC 5965), an automatic answer (RFC 3834).

All of it is taken from the message, so it is no more than a claim of its sender.
"""

from enum import IntEnum
from typing import NamedTuple


class ReportKind(IntEnum):
    """Values are those of `mailsync.v1.ReportKind`."""

    BOUNCE = 1
    COMPLAINT = 2
    AUTO_REPLY = 3


class DeliveryAction(IntEnum):
    """What a mail system did (RFC 3464 section 2.3.3). Values are those of `mailsync.v1.DeliveryAction`."""

    UNSPECIFIED = 0
    FAILED = 1
    DELAYED = 2
    DELIVERED = 3
    RELAYED = 4
    EXPANDED = 5


class ReportRecipient(NamedTuple):
    """What happened for one recipient (RFC 3464 section 2.3); addresses and texts without their type prefix."""

    final_recipient: str
    original_recipient: str = ""
    action: DeliveryAction = DeliveryAction.UNSPECIFIED
    status: str = ""
    diagnostic: str = ""
    remote_mta: str = ""


class Report(NamedTuple):
    """What the message reports; empty text where it does not say."""

    kind: ReportKind
    original_message_id: str = ""
    recipients: tuple[ReportRecipient, ...] = ()
    feedback_type: str = ""
    auto_submitted: str = ""
    reporting_mta: str = ""


class ReportPart(NamedTuple):
    """A part of a report message: its section (RFC 3501 section 6.4.5) and its transfer encoding, lower case."""

    section: str
    transfer_encoding: str


class ReportParts(NamedTuple):
    """Where a message says what it reports: the part for programs, and the original unless its Message-ID is known."""

    status: ReportPart | None
    original: ReportPart | None

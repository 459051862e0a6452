"""Reports among fetched messages: which of their parts to read, what that adds, and which events tell of an arrival.

Every report is kept with its envelope. An event is told only of what went wrong or answers by itself: a notification
that a message was delivered (RFC 3464), a message that is no spam (RFC 6430) or failed authentication (RFC 6591) is no
bounce and no complaint. Where a report's details could not be had, what its sender calls it counts.
"""

from collections.abc import Sequence

from mailsync_grpc.imap.report import whole_report
from mailsync_grpc.model.changes import Change, EnvelopeAdded, NewEnvelope, Reported
from mailsync_grpc.model.envelope import FetchedMessage
from mailsync_grpc.model.folder import FolderKey
from mailsync_grpc.model.report import DeliveryAction, Report, ReportKind, ReportRecipient
from mailsync_grpc.model.uidset import UidSet

_ARRIVED = {DeliveryAction.DELIVERED, DeliveryAction.RELAYED, DeliveryAction.EXPANDED}
_NO_COMPLAINTS = {"not-spam", "auth-failure"}


def wanted(messages: Sequence[FetchedMessage], unreadable: UidSet) -> list[tuple[int, str]]:
    """Return UID and section of each part that is needed to know what `messages` but the `unreadable` ones report."""
    return [
        (message.uid, part.section)
        for message in messages
        if message.report_parts is not None and message.uid not in unreadable
        for part in message.report_parts
        if part is not None
    ]


def completed(
    messages: Sequence[FetchedMessage], octets: dict[tuple[int, str], bytes]
) -> list[FetchedMessage]:
    """Return `messages` with what the parts say; a part that is missing in `octets` adds nothing."""
    return [_completed(message, octets) for message in messages]


def _completed(message: FetchedMessage, octets: dict[tuple[int, str], bytes]) -> FetchedMessage:
    parts, report = message.report_parts, message.envelope.report
    if parts is None or report is None:
        return message
    status, original = (
        octets.get((message.uid, part.section)) if part else None for part in (parts.status, parts.original)
    )
    report = whole_report(report, parts, status, original)
    return message._replace(envelope=message.envelope._replace(report=report), report_parts=None)


def announced(folder: FolderKey, message: NewEnvelope) -> list[Change]:
    """Return the changes that tell of new mail: the envelope, then what it reports."""
    changes: list[Change] = [EnvelopeAdded(folder, message)]
    report = message.envelope.report
    if report is not None and is_news(report):
        changes.append(Reported(folder, message.uid, message.envelope_id, report))
    return changes


def is_news(report: Report) -> bool:
    """Whether a report is an event of its own: something failed, is late, was complained of or answered by itself."""
    match report.kind:
        case ReportKind.BOUNCE:
            return not report.recipients or not all(map(_arrived, report.recipients))
        case ReportKind.COMPLAINT:
            return report.feedback_type not in _NO_COMPLAINTS
        case ReportKind.AUTO_REPLY:
            return True


def _arrived(recipient: ReportRecipient) -> bool:
    if recipient.action is DeliveryAction.UNSPECIFIED:
        return recipient.status.startswith("2.")
    return recipient.action in _ARRIVED

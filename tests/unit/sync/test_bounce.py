import pytest

from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.changes import EnvelopeAdded, NewEnvelope, Reported
from mailsync_grpc.model.envelope import Envelope, FetchedMessage
from mailsync_grpc.model.flags import NO_FLAGS
from mailsync_grpc.model.folder import FolderKey, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.model.report import (
    DeliveryAction,
    Report,
    ReportKind,
    ReportPart,
    ReportParts,
    ReportRecipient,
)
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync import bounce

FOLDER = FolderKey(AccountKey(AccountNo(1), "a"), FolderNo(1), b"0123456789", MirrorNo(1), 7)
BOUNCE = Report(ReportKind.BOUNCE)
PARTS = ReportParts(ReportPart("2", "7bit"), ReportPart("3", "7bit"))
STATUS = b"Final-Recipient: rfc822; a@b\r\nAction: failed\r\n"


def fetched(uid: int, parts: ReportParts | None = PARTS) -> FetchedMessage:
    return FetchedMessage(uid, NO_FLAGS, Envelope(report=BOUNCE if parts else None), parts)


def recipient(action: DeliveryAction, status: str = "") -> ReportRecipient:
    return ReportRecipient("a@b", action=action, status=status)


def test_the_parts_wanted_are_those_of_reports_that_can_be_read() -> None:
    several = [fetched(1), fetched(2, None), fetched(3), fetched(4, PARTS._replace(original=None))]
    assert bounce.wanted(several, UidSet.span(3, 3)) == [(1, "2"), (1, "3"), (4, "2")]


def test_each_report_is_completed_by_its_own_parts() -> None:
    one, other, plain = bounce.completed([fetched(1), fetched(2), fetched(3, None)], {(2, "2"): STATUS})
    assert one.envelope.report == BOUNCE
    assert other.envelope.report is not None
    assert other.envelope.report.recipients == (recipient(DeliveryAction.FAILED),)
    assert plain == fetched(3, None)
    assert (one.report_parts, other.report_parts) == (None, None)


@pytest.mark.parametrize(
    ("report", "news"),
    [
        (BOUNCE, True),
        (BOUNCE._replace(recipients=(recipient(DeliveryAction.FAILED),)), True),
        (BOUNCE._replace(recipients=(recipient(DeliveryAction.DELAYED),)), True),
        (BOUNCE._replace(recipients=(recipient(DeliveryAction.DELIVERED),)), False),
        (BOUNCE._replace(recipients=(recipient(DeliveryAction.RELAYED), recipient(DeliveryAction.EXPANDED))), False),
        (BOUNCE._replace(recipients=(recipient(DeliveryAction.DELIVERED), recipient(DeliveryAction.DELAYED))), True),
        (BOUNCE._replace(recipients=(recipient(DeliveryAction.UNSPECIFIED, "5.1.1"),)), True),
        (BOUNCE._replace(recipients=(recipient(DeliveryAction.UNSPECIFIED, "2.0.0"),)), False),
        (Report(ReportKind.COMPLAINT), True),
        (Report(ReportKind.COMPLAINT, feedback_type="abuse"), True),
        (Report(ReportKind.COMPLAINT, feedback_type="not-spam"), False),
        (Report(ReportKind.COMPLAINT, feedback_type="auth-failure"), False),
        (Report(ReportKind.AUTO_REPLY), True),
    ],
)  # fmt: skip
def test_news_is_what_failed_is_late_was_complained_of_or_answers_by_itself(
    report: Report, news: bool
) -> None:
    message = NewEnvelope(5, b"0123456789", NO_FLAGS, Envelope(report=report))
    told = [Reported(FOLDER, 5, b"0123456789", report)] if news else []
    assert bounce.announced(FOLDER, message) == [EnvelopeAdded(FOLDER, message), *told]


def test_mail_that_reports_nothing_is_only_added() -> None:
    message = NewEnvelope(5, b"0123456789", NO_FLAGS, Envelope())
    assert bounce.announced(FOLDER, message) == [EnvelopeAdded(FOLDER, message)]

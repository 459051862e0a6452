import base64

import pytest

from mailsync_grpc.imap.report import MAX_RECIPIENTS, auto_submitted, whole_report
from mailsync_grpc.model.report import (
    DeliveryAction,
    Report,
    ReportKind,
    ReportPart,
    ReportParts,
    ReportRecipient,
)
from tests.support.reports import NAMES, ORIGINAL, raw, read

FAILED, DELAYED = DeliveryAction.FAILED, DeliveryAction.DELAYED
BOB = "bob@there.example"
EXPECTED: dict[str, Report | None] = {
    "postfix": Report(
        ReportKind.BOUNCE,
        ORIGINAL,
        (
            ReportRecipient(
                BOB,
                BOB,
                FAILED,
                "5.1.1",
                f"550 5.1.1 <{BOB}>: Recipient address rejected: User unknown in virtual mailbox table",
                "mx.there.example",
            ),
            ReportRecipient(
                "carol+news@there.example",
                "carol+news@there.example",
                FAILED,
                "5.2.2",
                "552 5.2.2 Mailbox full",
                "mx.there.example",
            ),
        ),
        auto_submitted="auto-replied",
        reporting_mta="mx1.sender.example",
    ),
    "exim": Report(
        ReportKind.BOUNCE,
        ORIGINAL,
        (
            ReportRecipient(
                BOB,
                "",
                FAILED,
                "5.0.0",
                "550-Callout verification failed: 550 550 No such person at this address",
                "mx.there.example",
            ),
        ),
        auto_submitted="auto-replied",
        reporting_mta="exim.example",
    ),
    "exchange": Report(
        ReportKind.BOUNCE,
        ORIGINAL,
        (
            ReportRecipient(
                BOB,
                "",
                FAILED,
                "5.1.10",
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            ),
        ),
        auto_submitted="auto-replied",
        reporting_mta="AM0PR01MB0001.there.example",
    ),
    "gmail": Report(
        ReportKind.BOUNCE,
        ORIGINAL,
        (
            ReportRecipient(
                BOB,
                "",
                FAILED,
                "5.1.1",
                "550-5.1.1 The email account that you tried to reach does not exist. 550 5.1.1 NoSuchUser",
                "mx.there.example.",
            ),
        ),
        auto_submitted="auto-replied",
        reporting_mta="mail.example",
    ),
    "sendmail_delayed": Report(
        ReportKind.BOUNCE,
        ORIGINAL,
        (ReportRecipient("bob@slow.example", "", DELAYED, "4.4.1", "", "mx.slow.example"),),
        auto_submitted="auto-generated",
        reporting_mta="sm.sender.example",
    ),
    "utf8": Report(
        ReportKind.BOUNCE,
        ORIGINAL,
        (ReportRecipient("用户@例え.example", "用户@例え.example", FAILED, "5.1.1", "550 5.1.1 宛先不明"),),
        reporting_mta="mx.例え.example",
    ),
    "delivered": Report(
        ReportKind.BOUNCE,
        ORIGINAL,
        (
            ReportRecipient(BOB, "", DeliveryAction.RELAYED, "2.0.0"),
            ReportRecipient("list@sender.example", "", DeliveryAction.EXPANDED, "2.1.5"),
        ),
        auto_submitted="auto-replied",
        reporting_mta="mx1.sender.example",
    ),
    "broken": Report(
        ReportKind.BOUNCE,
        "",
        (
            ReportRecipient(BOB, "", FAILED, "", "cafeé"),
            ReportRecipient("carol@there.example", "", DeliveryAction.UNSPECIFIED, "5.7.1"),
        ),
        reporting_mta="odd.example",
    ),
    "arf": Report(
        ReportKind.COMPLAINT,
        ORIGINAL,
        (ReportRecipient("bob@provider.example"), ReportRecipient("carol@provider.example")),
        feedback_type="abuse",
        reporting_mta="mail.provider.example",
    ),
    "vacation": Report(ReportKind.AUTO_REPLY, ORIGINAL, auto_submitted="auto-replied"),
    "qmail": None,
    "receipt": None,
}
STATUS = ReportPart("2", "7bit")
ORIGINAL_HEADER = ReportPart("3", "")
BOUNCE = Report(ReportKind.BOUNCE)


def status_of(octets: bytes, kind: ReportKind = ReportKind.BOUNCE) -> Report:
    return whole_report(Report(kind), ReportParts(STATUS, None), octets, None)


def recipient_of(octets: bytes) -> ReportRecipient:
    (recipient,) = status_of(octets).recipients
    return recipient


@pytest.mark.parametrize("name", NAMES)
def test_reports_of_many_mail_systems_are_read_whatever_their_language(name: str) -> None:
    assert read(raw(name)) == EXPECTED[name]


def test_a_report_type_alone_tells_what_a_report_without_its_fields_is() -> None:
    without = raw("arf").replace(b"message/feedback-report", b"text/x-unknown")
    assert read(without) == Report(ReportKind.COMPLAINT, ORIGINAL)


def test_the_fields_tell_what_a_report_without_a_report_type_is() -> None:
    without = raw("postfix").replace(b"report-type=delivery-status;", b"")
    assert read(without) == EXPECTED["postfix"]


def test_a_report_inside_what_a_list_or_a_gateway_wrapped_is_found() -> None:
    head, _, body = raw("postfix").partition(b"Content-Type: multipart/report")
    wrapped = (
        head
        + b'Content-Type: multipart/mixed; boundary="outer"\r\n\r\n--outer\r\nContent-Type: multipart/report'
        + body
        + b"\r\n--outer\r\nContent-Type: text/plain\r\n\r\nfooter\r\n--outer--\r\n"
    )
    found = read(wrapped)
    assert found is not None
    assert found.recipients == read_recipients("postfix")


def test_a_bounce_that_someone_attached_is_not_the_messages_own_report() -> None:
    forwarded = (
        b'Subject: Fwd\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="outer"\r\n\r\n--outer\r\n'
        b"Content-Type: text/plain\r\n\r\nsee below\r\n--outer\r\nContent-Type: message/rfc822\r\n\r\n"
        + raw("postfix")
        + b"\r\n--outer--\r\n"
    )
    assert read(forwarded) is None


def read_recipients(name: str) -> tuple[ReportRecipient, ...]:
    expected = EXPECTED[name]
    assert expected is not None
    return expected.recipients


@pytest.mark.parametrize(
    ("value", "keyword"),
    [
        ("no", ""),
        (" No (by a person)", ""),
        ("auto-generated", "auto-generated"),
        ("AUTO-REPLIED", "auto-replied"),
        ("(out) auto-replied (of office)", "auto-replied"),
        ('auto-replied; owner-email="<a@b>"', "auto-replied"),
        ("\r\n auto-notified", "auto-notified"),
        ("", ""),
        (";", ""),
    ],
)
def test_auto_submitted_is_its_keyword(value: str, keyword: str) -> None:
    assert auto_submitted(value) == keyword


@pytest.mark.parametrize("value", ["auto-generated", "no", "auto-notified"])
def test_what_is_generated_or_written_by_a_person_answers_nobody(value: str) -> None:
    message = raw("vacation").replace(b"Auto-Replied (vacation)", value.encode())
    assert read(message) is None


@pytest.mark.parametrize(
    ("wire", "address"),
    [
        (b"rfc822; bob@x.example", "bob@x.example"),
        (b"RFC822;<bob@x.example>", "bob@x.example"),
        (b"bob@x.example", "bob@x.example"),
        (b"rfc822; bob@x.example (Bob)", "bob@x.example"),
        (b"X400; /G=Bob/S=B/", "/G=Bob/S=B/"),
        (b"utf-8; b\xc3\xb6b@x.example", "böb@x.example"),
        (b"utf-8; b\\x{F6}b@x.example", "böb@x.example"),
        (b"utf-8; b\\x{FFFFFF}\\x{D800}\\x{0}", "b\\x{FFFFFF}?"),
        (b"rfc822; =?utf-8?q?b=C3=B6b?=@x.example", "böb@x.example"),
        (b"rfc822;", ""),
    ],
)
def test_addresses_are_given_without_type_brackets_and_comment(wire: bytes, address: str) -> None:
    assert recipient_of(b"Final-Recipient: " + wire + b"\nAction: failed\n").final_recipient == address


@pytest.mark.parametrize(
    ("wire", "address"),
    [
        (b"bob+2Bnews@x.example", "bob+news@x.example"),
        (b"bob+3Dnews@x.example", "bob=news@x.example"),
        (b"b+C3+B6b@x.example", "böb@x.example"),
        (b"bob+news@x.example", "bob+news@x.example"),
        (b"bob+41@x.example", "bob+41@x.example"),
        (b"bob+20@x.example", "bob+20@x.example"),
    ],
)
def test_xtext_is_undone_and_a_plus_of_the_address_kept(wire: bytes, address: str) -> None:
    assert recipient_of(b"Original-Recipient: rfc822;" + wire).original_recipient == address


def test_a_field_that_is_broken_leaves_the_others() -> None:
    recipient = recipient_of(
        b"Final-Recipient rfc822; nobody\r\nFinal-Recipient : rfc822; bob@x.example\r\n"
        b"Action: \xff\xfe\r\nStatus: 12.3.4.5\r\nRemote-MTA:\r\n: x\r\n \t\r\n"
    )
    assert recipient == ReportRecipient("bob@x.example")


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
def test_lines_end_in_any_way(end: bytes) -> None:
    lines = [b"Reporting-MTA: dns; a", b"", b"Final-Recipient: rfc822; b@c", b"Action:", b"\tdelayed", b""]
    found = status_of(end.join(lines))
    assert found.reporting_mta == "a"
    assert found.recipients == (ReportRecipient("b@c", action=DELAYED),)


def test_encoded_fields_are_decoded_and_may_be_cut_anywhere() -> None:
    octets = base64.encodebytes(b"Final-Recipient: rfc822; bob@x.example\r\nAction: failed\r\nStatus: 5.0.0")
    part = ReportParts(ReportPart("2", "base64"), None)
    for cut in (0, 1, 2, 3):
        (recipient,) = whole_report(BOUNCE, part, octets[: len(octets) - 1 - cut], None).recipients
        assert recipient.final_recipient == "bob@x.example"


def test_a_report_tells_of_many_recipients_and_of_no_more_than_its_cap() -> None:
    groups = b"".join(b"Final-Recipient: a;%d@x\nAction: failed\n\n" % number for number in range(1_500))
    recipients = status_of(groups).recipients
    assert len(recipients) == MAX_RECIPIENTS
    assert recipients[-1].final_recipient == "999@x"


def test_parts_that_could_not_be_had_leave_what_is_known() -> None:
    known = Report(ReportKind.BOUNCE, ORIGINAL, auto_submitted="auto-replied")
    assert whole_report(known, ReportParts(STATUS, ORIGINAL_HEADER), None, None) == known
    assert whole_report(known, ReportParts(None, None), None, None) == known


def test_the_original_is_named_by_its_own_header_alone() -> None:
    header = b"Subject: x\r\n\r\nMessage-ID: <in-the-text@x>\r\n"
    assert whole_report(BOUNCE, ReportParts(None, ORIGINAL_HEADER), None, header).original_message_id == ""
    header = b"message-id :\r\n <a@b>\r\n\r\n"
    assert whole_report(BOUNCE, ReportParts(None, ORIGINAL_HEADER), None, header).original_message_id == "a@b"

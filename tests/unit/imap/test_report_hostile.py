"""Reports whose octets an attacker chose: only clean text comes of them, and in time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.imap.report import MAX_OCTETS, whole_report
from mailsync_grpc.model.report import Report, ReportKind, ReportPart, ReportParts

LINES = st.sampled_from(
    "Reporting-MTA: dns; x|Final-Recipient: rfc822; a@b|Original-Recipient: rfc822;a+2B@b|Action: failed|Status: 5.1.1|"
    "Diagnostic-Code: smtp; 550 \\x{41} =?utf-8?q?=C3?=|Remote-MTA: dns; (a) (b)|Feedback-Type: abuse|Message-ID: <a@b>|"
    "Original-Rcpt-To: <a@b>|X-Original-Message-ID: <c|\tfolded|  |:|a:".split("|")
).map(str.encode)
OCTETS = st.binary() | st.lists(LINES | st.binary(max_size=8), max_size=30).map(b"\r\n".join)
ENCODINGS = st.sampled_from(["", "7bit", "base64", "quoted-printable", "x-unknown"])


@given(OCTETS, OCTETS, ENCODINGS, st.sampled_from(ReportKind))
def test_whatever_octets_come_a_report_has_only_clean_text(
    status: bytes, original: bytes, encoding: str, kind: ReportKind
) -> None:
    parts = ReportParts(ReportPart("2", encoding), ReportPart("3", encoding))
    found = whole_report(Report(kind), parts, status, original)
    assert all(text.isprintable() or not _CONTROLS & set(text) for text in _texts(found))
    "".join(_texts(found)).encode()


_CONTROLS = {chr(number) for number in (*range(32), 127)}


def _texts(report: Report) -> list[str]:
    found = [report.original_message_id, report.feedback_type, report.auto_submitted, report.reporting_mta]
    for recipient in report.recipients:
        found += [field for field in recipient if isinstance(field, str)]
    return found


HOSTILE = {
    "empty lines": b"\n",
    "carriage returns": b"\r",
    "recipients": b"Final-Recipient:\n",
    "small groups": b"Action:\n\n",
    "folds": b"Status:\n \n x",
    "colons": b"a:",
    "comments": b"Remote-MTA: dns; " + b" (" * 500 + b"\n",
    "words": b"Action: =?utf-8?q?" + b"=?" * 500 + b"\n",
    "codes": b"Final-Recipient: u; " + b"\\x{41}" * 200 + b"\n",
    "xtext": b"Original-Recipient: u; " + b"+2B" * 400 + b"\n\n",
    "ids": b"Message-ID: " + b"<" * 1_000 + b"\n",
    "quoted": b"=0A",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("encoding", ["", "base64", "quoted-printable"])
@pytest.mark.parametrize("kind", ReportKind)
def test_the_largest_part_is_read_in_50_ms(piece: bytes, encoding: str, kind: ReportKind) -> None:
    octets = piece * (MAX_OCTETS // len(piece) + 1)
    parts = ReportParts(ReportPart("2", encoding), ReportPart("3", encoding))
    assert min(_seconds(Report(kind), parts, octets) for _ in range(3)) < 0.05


def _seconds(report: Report, parts: ReportParts, octets: bytes) -> float:
    begun = time.process_time()
    whole_report(report, parts, octets, octets[::-1])
    return time.process_time() - begun

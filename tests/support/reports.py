"""Report messages as mail systems make them, in tests/data/reports, and how the code under test reads one."""

from pathlib import Path

from mailsync_grpc.imap.metadata import parse_metadata
from mailsync_grpc.imap.report import whole_report
from mailsync_grpc.model.report import Report, ReportPart
from tests.support import hostile_message

_DATA = Path(__file__).parent.parent / "data" / "reports"
NAMES = sorted(path.stem for path in _DATA.glob("*.eml"))
ORIGINAL = "offer-731@sender.example"
"""The Message-ID that the reports are about."""


def raw(name: str) -> bytes:
    """Return a report as it arrives, lines ended by CRLF."""
    return (_DATA / f"{name}.eml").read_bytes().replace(b"\n", b"\r\n")


def read(message: bytes) -> Report | None:
    """Return what a message reports, its parts read as an honest server gives them."""
    (fetched,) = parse_metadata(
        b"* 1 FETCH (UID 1 FLAGS () ENVELOPE %s BODYSTRUCTURE %s BODY[HEADER.FIELDS (REFERENCES AUTO-SUBMITTED)] %s)\r\n"
        % (
            hostile_message.envelope(message),
            hostile_message.body_structure(message),
            hostile_message.header_fields(message, ["references", "auto-submitted"]),
        )
    )
    report, parts = fetched.envelope.report, fetched.report_parts
    if report is None or parts is None:
        return report

    def octets(part: ReportPart | None) -> bytes | None:
        return hostile_message.section(message, part.section) if part else None

    return whole_report(report, parts, octets(parts.status), octets(parts.original))

"""One envelope in lines: what its message reports, among others."""

from rich.console import Console

from mailsync_grpc.cli.envelope_view import envelope_details
from mailsync_grpc.v1.envelope_pb2 import (
    DELIVERY_ACTION_FAILED,
    REPORT_KIND_BOUNCE,
    Envelope,
    Report,
    ReportRecipient,
)


def shown(envelope: Envelope) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(envelope_details(envelope))
    return capture.get()


def test_a_bounce_tells_of_each_recipient_and_of_how_many_more_there_are() -> None:
    recipient = ReportRecipient(
        final_recipient="bob@b.example",
        action=DELIVERY_ACTION_FAILED,
        status="5.1.1",
        diagnostic="550 No\x1b[2J",
    )
    report = Report(kind=REPORT_KIND_BOUNCE, original_message_id="a@b", recipients=[recipient] * 25)
    text = shown(Envelope(report=report))
    assert text.count("bob@b.example failed 5.1.1 550 No") == 20
    assert "and 5 more recipients" in text
    assert "\x1b[2J" not in text
    assert "reports" in text
    assert "about" in text


def test_mail_that_reports_nothing_has_no_line_of_it() -> None:
    assert "reports" not in shown(Envelope(subject="Lunch?"))

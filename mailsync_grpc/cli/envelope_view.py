"""Envelopes as people see them: a table of a folder's newest, the details of one."""

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from mailsync_grpc.cli.terminal import moment, octets, plain, plural, printable, word
from mailsync_grpc.v1.envelope_pb2 import (
    Address,
    DeliveryAction,
    Envelope,
    Flags,
    PartialReason,
    Report,
    ReportKind,
    ReportRecipient,
)

_SENDER_WIDTH = 24
_RECIPIENTS_SHOWN = 20
_SYSTEM_FLAGS = ("seen", "answered", "flagged", "deleted", "draft")


def envelope_table(account: str, envelopes: Iterable[Envelope]) -> Table:
    """One row an envelope: what names it for `mailsync content`, date, sender, subject; unread ones in bold.

    Names and dates are always whole; senders and subjects share what is left of the line.
    """
    table = Table("Envelope", "Date", "From", "Subject", box=None, header_style="dim")
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    table.columns[2].max_width = _SENDER_WIDTH
    for envelope in envelopes:
        weight = "" if envelope.flags.seen else "bold"
        table.add_row(
            Text(f"{account.removeprefix('accounts/')}/{envelope.envelope_id}", style="dim"),
            moment(envelope.internal_date),
            _on_one_line(plain(who(envelope), weight)),
            _on_one_line(subject_line(envelope, weight)),
        )
    return table


def envelope_details(envelope: Envelope) -> Table:
    """Everything of one envelope that is set, a line each."""
    table = Table.grid(padding=(0, 3))
    table.add_column(style="dim")
    for label, value in _details(envelope):
        if value:
            table.add_row(label, plain(value))
    return table


def subject_line(envelope: Envelope, style: str = "") -> Text:
    """The subject with its marks: flagged, answered, attachment, keywords."""
    line = Text()
    if envelope.flags.flagged:
        line.append("⚑ ", style="red")
    if envelope.flags.answered:
        line.append("↩ ", style="dim")
    if envelope.has_attachment:
        line.append("⎘ ", style="dim")
    line.append(printable(envelope.subject) or "(no subject)", style=style)
    for keyword in envelope.flags.keywords:
        line.append(f" {printable(keyword)}", style="cyan")
    return line


def who(envelope: Envelope) -> str:
    """The first author's name, or address where there is no name."""
    senders = getattr(envelope, "from")  # the field's name is a word of Python
    return (senders[0].display_name or senders[0].address) if senders else ""


def flag_words(flags: Flags) -> str:
    """All flags, as words: ``seen flagged work``."""
    return " ".join(
        [*(name for name in _SYSTEM_FLAGS if getattr(flags, name)), *flags.keywords, *flags.labels]
    )


def recipient_words(recipient: ReportRecipient) -> str:
    """What a report says of one recipient: ``bob@example.org failed 5.1.1``."""
    action = word(DeliveryAction.Name(recipient.action), "DELIVERY_ACTION_") if recipient.action else ""
    return " ".join(filter(None, (recipient.final_recipient, action, recipient.status)))


def _on_one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _details(envelope: Envelope) -> Iterator[tuple[str, str]]:
    yield "envelope", envelope.name
    yield "envelope id", envelope.envelope_id
    yield "subject", envelope.subject
    yield "from", _addresses(getattr(envelope, "from"))
    yield "to", _addresses(envelope.to)
    yield "cc", _addresses(envelope.cc)
    yield "bcc", _addresses(envelope.bcc)
    yield "reply to", _addresses(envelope.reply_to)
    yield "date", envelope.header_date_raw or moment(envelope.header_date)
    yield "received", moment(envelope.internal_date)
    yield "size", octets(envelope.size)
    yield "flags", flag_words(envelope.flags)
    yield "message id", envelope.message_id
    yield "in reply to", " ".join(envelope.in_reply_to)
    yield "thread", envelope.thread_id
    for body in envelope.body_meta:
        yield (
            f"part {body.section}",
            f"{body.media_type}/{body.media_subtype} {body.charset} {octets(body.size)}",
        )
    for part in envelope.attachments:
        kind = "inline" if part.inline else "attachment"
        described = f"{part.media_type}/{part.media_subtype} {octets(part.size)} {kind}"
        yield f"part {part.section}", f"{described} {part.file_name}".rstrip()
    if envelope.HasField("report"):
        yield from _report(envelope.report)
    if envelope.HasField("partial"):
        yield "incomplete", word(PartialReason.Name(envelope.partial.reason), "PARTIAL_REASON_")


def _report(report: Report) -> Iterator[tuple[str, str]]:
    kind = word(ReportKind.Name(report.kind), "REPORT_KIND_")
    yield "reports", " ".join(filter(None, (kind, report.feedback_type)))
    yield "about", report.original_message_id
    yield "reported by", report.reporting_mta
    for recipient in report.recipients[:_RECIPIENTS_SHOWN]:
        yield "recipient", " ".join(filter(None, (recipient_words(recipient), recipient.diagnostic)))
    if len(report.recipients) > _RECIPIENTS_SHOWN:
        yield "", f"and {plural(len(report.recipients) - _RECIPIENTS_SHOWN, 'more recipient')}"


def _addresses(addresses: Sequence[Address]) -> str:
    return ", ".join(
        f"{address.display_name} <{address.address}>" if address.display_name else address.address
        for address in addresses
    )

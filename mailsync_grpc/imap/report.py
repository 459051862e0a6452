r"""What a report message says, from its parts: delivery status (RFC 3464), abuse feedback (RFC 5965), Auto-Submitted.

Only what is made for programs is read, never the words for people, so the language of a report does not matter. A
`multipart/report` (RFC 6522) holds a text, then the fields, then the message it is about or that message's header. The
fields are header fields in groups with empty lines between: one group for the message, then one a recipient.

All of it was written by strangers. Each field is read on its own, and what is broken is left out; nothing here raises.
Internationalised reports (RFC 6533) have raw UTF-8, or `\x{41}` where they had to be ASCII.
"""

import binascii
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from mailsync_grpc.imap.header_text import base64_octets, clean, header_text, message_id
from mailsync_grpc.model.report import (
    DeliveryAction,
    Report,
    ReportKind,
    ReportPart,
    ReportParts,
    ReportRecipient,
)

MAX_OCTETS = 64 << 10
"""Octets of a part that are read."""
MAX_RECIPIENTS = 1_000
_MAX_FIELD = 2_000
"""Octets of one field that are looked at."""
_MAX_WORD = 64

_STATUS_PARTS = {
    "message/delivery-status": ReportKind.BOUNCE,
    "message/global-delivery-status": ReportKind.BOUNCE,
    "message/feedback-report": ReportKind.COMPLAINT,
}
_REPORT_TYPES = {"delivery-status": ReportKind.BOUNCE, "feedback-report": ReportKind.COMPLAINT}
_ORIGINALS = {
    "message/rfc822",
    "message/global",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global-headers",
}
_ACTIONS = {action.name.lower(): action for action in DeliveryAction if action}
_ABOUT_ONE_RECIPIENT = {"final-recipient", "original-recipient", "action", "status"}

_LINE_END = re.compile(r"\r\n|\n|\r")
_FIELD = re.compile(r"([!-9;-~]{1,100})[ \t]*:(.*)", re.DOTALL)
_TYPED = re.compile(r"[ \t]*[A-Za-z0-9-]{1,64}[ \t]*;(.*)", re.DOTALL)
# Gmail: `dns; mx.example. (192.0.2.1, the server for the domain example.)`
_TRAILING_COMMENT = re.compile(r" \([^()]*\)\Z")
_COMMENT = re.compile(r"\([^()]*\)")
_STATUS = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])", re.ASCII)
_UNICODE = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
# What xtext must code (RFC 3461 section 4), without blanks and controls, which no address has.
_CODED_IN_XTEXT = {ord("+"), ord("="), *range(0x80, 0x100)}

_Group = dict[str, list[str]]
_NO_FIELD: list[str] = [""]


class Child(NamedTuple):
    """A part of a multipart: section, media type and transfer encoding in lower case, an attached message's id."""

    section: str
    media_type: str
    transfer_encoding: str
    message_id: str = ""


class Reporting(NamedTuple):
    """What the structure of a report message tells of it."""

    kind: ReportKind
    original_message_id: str
    parts: ReportParts


def reporting(report_type: str, children: Sequence[Child]) -> Reporting | None:
    """Return what a multipart/report with these parts is, None when it is neither bounce nor complaint (RFC 8098)."""
    status = next((child for child in children if child.media_type in _STATUS_PARTS), None)
    kind = _STATUS_PARTS[status.media_type] if status else _REPORT_TYPES.get(report_type)
    if kind is None:
        return None
    # The first part is for people.
    original = next((child for child in children[1:] if child.media_type in _ORIGINALS), None)
    known = original.message_id if original else ""
    return Reporting(kind, known, ReportParts(_part(status), None if known else _part(original)))


def _part(child: Child | None) -> ReportPart | None:
    return ReportPart(child.section, child.transfer_encoding) if child else None


@lru_cache(maxsize=1_024)
def auto_submitted(value: str) -> str:
    """Return the keyword of an Auto-Submitted field (RFC 3834 section 5), lower case; empty for `no`."""
    keyword = _word(_COMMENT.sub(" ", value[:_MAX_FIELD]).partition(";")[0])
    return "" if keyword == "no" else keyword


def first_report(
    found: Reporting | None, submitted: str, answered: Sequence[str]
) -> tuple[Report | None, ReportParts | None]:
    """Return the report that structure and header tell of, and the parts that say more.

    A bounce is no automatic answer, although its header may say so (RFC 3834 section 5). What is merely generated
    (`auto-generated`: newsletters, tickets) answers nobody. `answered` are the ids of In-Reply-To, which is how an
    answer names its original (RFC 3834 section 3.1.5) and what is left where a report does not.
    """
    original = answered[0] if answered else ""
    if found is None and submitted == "auto-replied":
        return Report(ReportKind.AUTO_REPLY, original, auto_submitted=submitted), None
    if found is None:
        return None, None
    return Report(found.kind, found.original_message_id or original, auto_submitted=submitted), found.parts


def whole_report(report: Report, parts: ReportParts, status: bytes | None, original: bytes | None) -> Report:
    """Return `report` with what its parts say; their octets are None where they could not be had."""
    groups = list(_groups(_decoded(parts.status, status)))
    report = _complaint(report, groups) if report.kind is ReportKind.COMPLAINT else _bounce(report, groups)
    header = next(_groups(_decoded(parts.original, original)), {})
    known = _message_id(header, "message-id") or _stated_id(groups)
    return report._replace(original_message_id=known) if known else report


def _bounce(report: Report, groups: list[_Group]) -> Report:
    about = (group for group in groups if group.keys() & _ABOUT_ONE_RECIPIENT)
    return report._replace(
        recipients=tuple(map(_recipient, islice(about, MAX_RECIPIENTS))), reporting_mta=_reporting_mta(groups)
    )


def _recipient(group: _Group) -> ReportRecipient:
    status = _STATUS.search(_first(group, "status"))
    return ReportRecipient(
        _address(_first(group, "final-recipient")),
        _address(_from_xtext(_first(group, "original-recipient"))),
        _ACTIONS.get(_word(_first(group, "action")), DeliveryAction.UNSPECIFIED),
        status[0] if status else "",
        _untyped(_first(group, "diagnostic-code")),
        _host(_first(group, "remote-mta")),
    )


def _complaint(report: Report, groups: list[_Group]) -> Report:
    recipients = (value for group in groups for value in group.get("original-rcpt-to", ()))
    return report._replace(
        recipients=tuple(ReportRecipient(_address(value)) for value in islice(recipients, MAX_RECIPIENTS)),
        feedback_type=next(
            (_word(group["feedback-type"][0]) for group in groups if "feedback-type" in group), ""
        ),
        reporting_mta=_reporting_mta(groups),
    )


def _reporting_mta(groups: list[_Group]) -> str:
    return next((_host(group["reporting-mta"][0]) for group in groups if "reporting-mta" in group), "")


def _stated_id(groups: list[_Group]) -> str:
    """Gmail names the original among the fields."""
    return next(filter(None, (_message_id(group, "x-original-message-id") for group in groups)), "")


def _message_id(group: _Group, name: str) -> str:
    return message_id(_first(group, name))[:_MAX_FIELD]


# Fields


def _decoded(part: ReportPart | None, octets: bytes | None) -> str:
    """Return the part's text, one character an octet."""
    octets = (octets or b"")[:MAX_OCTETS]
    match part.transfer_encoding if part else "":
        case "base64":
            octets = base64_octets(octets)
        case "quoted-printable":
            octets = binascii.a2b_qp(octets)
    return octets.decode("latin-1")


def _groups(text: str) -> Iterator[_Group]:
    """Yield the groups of fields by lower-case name; a second Final-Recipient begins one without an empty line."""
    group: _Group = {}
    for field in _fields(text):
        found = _FIELD.match(field)
        name = found[1].lower() if found else ""
        if group and (not field or (name == "final-recipient" and name in group)):
            yield group
            group = {}
        if found:
            group.setdefault(name, []).append(found[2][:_MAX_FIELD])
    if group:
        yield group


def _fields(text: str) -> Iterator[str]:
    """Yield each field unfolded, and an empty text for what separates groups."""
    pieces: list[str] = []
    for line in _LINE_END.split(text):
        if line[:1] in {" ", "\t"} and not line.isspace():
            pieces.append(line)
            continue
        if pieces:
            yield "".join(pieces)
        pieces = [line] if line.strip() else []
        if not pieces:
            yield ""
    if pieces:
        yield "".join(pieces)


def _first(group: _Group, name: str) -> str:
    return group.get(name, _NO_FIELD)[0]


def _untyped(value: str) -> str:
    """Return a field's text without the type before its semicolon (RFC 3464 section 2.1.2)."""
    typed = _TYPED.match(value)
    return _text(typed[1] if typed else value)


def _text(value: str) -> str:
    text = " ".join(header_text(value).split())
    return clean(_UNICODE.sub(_character, text)) if "\\x{" in text else text


def _character(coded: re.Match[str]) -> str:
    number = int(coded[1], 16)
    return chr(number) if number <= 0x10FFFF else coded[0]


def _address(value: str) -> str:
    address = _TRAILING_COMMENT.sub("", _untyped(value))
    return address[1:-1] if address[:1] == "<" and address[-1:] == ">" else address


def _host(value: str) -> str:
    return _TRAILING_COMMENT.sub("", _untyped(value))


def _word(value: str) -> str:
    words = header_text(value).split(None, 1)
    return words[0].lower()[:_MAX_WORD] if words else ""


def _from_xtext(value: str) -> str:
    """Undo xtext (RFC 3461 section 4), which some systems leave in; an address with a plus of its own is no xtext."""
    codes = [int(code, 16) for code in _XTEXT.findall(value)]
    if not codes or len(codes) != value.count("+") or not _CODED_IN_XTEXT.issuperset(codes):
        return value
    return _XTEXT.sub(lambda code: chr(int(code[1], 16)), value)

r"""Metadata of messages: FETCH answers with ENVELOPE, BODYSTRUCTURE and header fields become `model.Envelope`.

One regular expression reads a whole regular response (RFC 3501 section 7.4.2) in the order it was asked for; anything
else goes through the general grammar of `answer`. What repeats over a mailbox (address lists, flag sets, dates) is
remembered. Each message is read on its own: one that cannot be understood gives a record with `partial` set and
whatever else was sound, and never disturbs its neighbours.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from mailsync_grpc.imap.answer import MalformedError, Node, split_answer, unquote
from mailsync_grpc.imap.bodystructure import MAX_DEPTH, Parts, TooDeepError, parts_of, read_parts
from mailsync_grpc.imap.fetch import (
    MAX_UID,
    email_id_of,
    fetch_attributes,
    flags_in,
    flags_of,
    number_of,
    thread_id_of,
    uid_of,
)
from mailsync_grpc.imap.header_text import header_text, message_id, message_ids, parse_date
from mailsync_grpc.imap.report import auto_submitted, first_report
from mailsync_grpc.model.envelope import (
    MAX_ADDRESSES,
    Address,
    Envelope,
    FetchedMessage,
    Partial,
    PartialReason,
)
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.uidset import UidSet

PARSERS = 1
"""Raised when messages that could not be read before can be: their records are then fetched once more."""
_MAX_RAW_DATE = 256
_MEMO_SIZE = 400
"""Characters of text that is worth remembering, and small enough to remember a lot of."""

_NSTRING = r'(?:NIL|"[^"\\]*+(?:\\.[^"\\]*+)*+")'
_ADDRESS = rf"\(({_NSTRING}) {_NSTRING} ({_NSTRING}) ({_NSTRING})\)"
_ADDRESSES = rf"(NIL|\((?:\({_NSTRING} {_NSTRING} {_NSTRING} {_NSTRING}\) ?)++\))"
_ENVELOPE = rf"\(({_NSTRING}) ({_NSTRING}) {' '.join([_ADDRESSES] * 6)} ({_NSTRING}) ({_NSTRING})\)"
_REGULAR = re.compile(
    r'\* \d+ FETCH \(UID (\d{1,10}) FLAGS \(([^()"]*)\) INTERNALDATE "([^"\\]*)" RFC822\.SIZE (\d{1,18})'
    r'(?: EMAILID \(([^()"]*)\))?(?: THREADID (?:NIL|\(([^()"]*)\)))?'
    rf" ENVELOPE {_ENVELOPE} BODYSTRUCTURE (\(.*\))"
    rf' BODY\[HEADER\.FIELDS \("?REFERENCES"? "?AUTO-SUBMITTED"?\)\] ({_NSTRING})\)'
)
_ONE_ADDRESS = re.compile(_ADDRESS)
_UNREADABLE_UID = re.compile(r"\* \d+ FETCH \([^\"]*?\bUID (\d{1,10})\b", re.IGNORECASE)
_AUTO_SUBMITTED = re.compile(
    r"^auto-submitted[ \t]*:([^\r\n]*+(?:\r?\n[ \t][^\r\n]*+)*+)", re.IGNORECASE | re.MULTILINE
)
_HEADER_FIELDS = "BODY[HEADER.FIELDS"
_METADATA = {"ENVELOPE", "BODYSTRUCTURE", "RFC822.SIZE", "INTERNALDATE"}

# What servers write for the missing half of an address: Dovecot, Cyrus, UW imapd.
_NO_DOMAIN = {"MISSING_DOMAIN", "unspecified-domain", ".MISSING-HOST-NAME.", ".SYNTAX-ERROR."}
_NO_MAILBOX = {"MISSING_MAILBOX", "INVALID_ADDRESS", "MISSING_MAILBOX_TERMINATOR"}

_BAD_ENVELOPE = Partial(PartialReason.MALFORMED, "the server's ENVELOPE cannot be read")
_BAD_STRUCTURE = Partial(PartialReason.MALFORMED, "the server's BODYSTRUCTURE cannot be read")
_TOO_DEEP = Partial(PartialReason.TOO_DEEP, f"the message nests more than {MAX_DEPTH} multiparts")
_NO_PARTS = Parts((), (), truncated=False)

_Addresses = tuple[Address, ...]


class _Told(NamedTuple):
    """What a response says of a message, literals in place but nothing decoded; `addresses` from From to Bcc."""

    uid: int
    flags: Flags
    internal_date: str
    size: int
    email_id: str
    thread_id: str
    date: str
    subject: str
    addresses: list[_Addresses]
    in_reply_to: str
    message_id: str
    fields: str
    parts: Parts
    partial: Partial | None


def parse_metadata(answer: bytes, asked: UidSet | None = None) -> list[FetchedMessage]:
    """Return the messages of a metadata answer by ascending UID, without those outside `asked` when it is given."""
    lines, literals = split_answer(answer)
    found: dict[int, FetchedMessage] = {}
    irregular: dict[int, dict[str, Node]] = {}
    for line in filter(None, lines):
        regular = _REGULAR.fullmatch(line)
        if regular is not None:
            message = _regular_message(regular, literals)
            found[message.uid] = message
        else:
            _collect(line, literals, irregular)
    for uid, attributes in irregular.items():
        message_or_none = _merged(uid, found.get(uid), attributes)
        if message_or_none is not None:
            found[uid] = message_or_none
    return [found[uid] for uid in sorted(found) if 0 < uid <= MAX_UID and (asked is None or uid in asked)]


def _collect(line: str, literals: list[bytes], irregular: dict[int, dict[str, Node]]) -> None:
    """Add the attributes of a response of another form; a message may be answered in several."""
    attributes = fetch_attributes(line, literals)
    uid = uid_of(attributes)
    if uid is not None:
        irregular.setdefault(uid, {}).update(attributes)
    elif not attributes and (bare := _UNREADABLE_UID.match(line)):
        irregular.setdefault(int(bare[1]), {}).update(ENVELOPE="unreadable")


def _merged(uid: int, known: FetchedMessage | None, attributes: dict[str, Node]) -> FetchedMessage | None:
    if known is not None:
        # A flag change announced in the middle of the answer.
        return known._replace(flags=flags_in(attributes) or known.flags)
    if not attributes.keys() & _METADATA:
        return None
    return _irregular_message(uid, flags_in(attributes) or NO_FLAGS, attributes)


def _message(told: _Told) -> FetchedMessage:
    parts = told.parts
    too_long = max(map(len, told.addresses)) > MAX_ADDRESSES
    lists = [found[:MAX_ADDRESSES] for found in told.addresses] if too_long else told.addresses
    from_, sender, reply_to, to, cc, bcc = lists
    references, submitted = _split_fields(told.fields)
    answered = message_ids(told.in_reply_to)
    report, report_parts = None, None
    if parts.report or submitted:
        report, report_parts = first_report(parts.report, auto_submitted(submitted[:_MEMO_SIZE]), answered)
    envelope = Envelope(
        parse_date(told.internal_date),
        told.size,
        header_text(told.subject),
        from_,
        sender,
        reply_to,
        to,
        cc,
        bcc,
        message_id(told.message_id),
        answered,
        parse_date(told.date),
        header_text(told.date)[:_MAX_RAW_DATE],
        told.email_id,
        told.thread_id,
        message_ids(references),
        parts.text_parts,
        parts.attachments,
        told.partial,
        parts.truncated or too_long,
        report,
    )
    return FetchedMessage(told.uid, told.flags, envelope, report_parts)


def _regular_message(regular: re.Match[str], literals: list[bytes]) -> FetchedMessage:
    groups = regular.groups()
    uid, flags, internal_date, size, email_id, thread_id, date, subject = groups[:8]
    in_reply_to, identifier, structure, fields = groups[14:]
    parts, partial = _parts(lambda: read_parts(structure, literals))
    told = _Told(
        int(uid),
        _flags(flags),
        internal_date,
        int(size),
        email_id or "",
        thread_id or "",
        unquote(date, literals),
        unquote(subject, literals),
        [_addresses(addresses, literals) for addresses in groups[8:14]],
        unquote(in_reply_to, literals),
        unquote(identifier, literals),
        unquote(fields, literals),
        parts,
        partial,
    )
    return _message(told)


def _flags(wire: str) -> Flags:
    return _known_flags(wire) if len(wire) <= _MEMO_SIZE else flags_of(wire)


@lru_cache(maxsize=16_384)
def _known_flags(wire: str) -> Flags:
    return flags_of(wire)


def _addresses(wire: str, literals: list[bytes]) -> _Addresses:
    if wire == "NIL":
        return ()
    # Literals are numbered by answer, so only text without them means the same in the next answer.
    if len(wire) <= _MEMO_SIZE and "\0" not in wire:
        return _known_addresses(wire)
    return _read_addresses(wire, literals)


@lru_cache(maxsize=16_384)
def _known_addresses(wire: str) -> _Addresses:
    return _read_addresses(wire, [])


def _read_addresses(wire: str, literals: list[bytes]) -> _Addresses:
    # A NIL host or mailbox is the begin or end of a group (RFC 3501 section 7.4.2), not an address.
    entries = [entry for entry in _ONE_ADDRESS.findall(wire) if entry[1] != "NIL" != entry[2]]
    if "\0" in wire:
        found = [_address(*(unquote(part, literals) for part in entry)) for entry in entries]
    else:
        found = [_known_address(entry) for entry in entries]
    return tuple(found[: MAX_ADDRESSES + 1])


@lru_cache(maxsize=16_384)
def _known_address(entry: tuple[str, str, str]) -> Address:
    return _address(*(unquote(part, []) for part in entry))


def _address(name: str, mailbox: str, host: str) -> Address:
    mailbox = "" if mailbox in _NO_MAILBOX else header_text(mailbox)
    host = "" if host in _NO_DOMAIN else header_text(host)
    return Address(header_text(name), f"{mailbox}@{host}" if host else mailbox)


def _parts(read: Callable[[], Parts]) -> tuple[Parts, Partial | None]:
    try:
        return read(), None
    except TooDeepError:
        return _NO_PARTS, _TOO_DEEP
    except MalformedError:
        return _NO_PARTS, _BAD_STRUCTURE


def _split_fields(text: str) -> tuple[str, str]:
    """Return the header fields that were asked for without Auto-Submitted, and the value of that one."""
    if text[:1] not in "Aa" and "\nA" not in text and "\na" not in text:
        return text, ""
    found = _AUTO_SUBMITTED.search(text)
    return (text[: found.start()] + text[found.end() :], found[1]) if found else (text, "")


def _irregular_message(uid: int, flags: Flags, attributes: dict[str, Node]) -> FetchedMessage:
    parts, partial = _parts(lambda: parts_of(attributes.get("BODYSTRUCTURE")))
    envelope = attributes.get("ENVELOPE")
    envelope = envelope if isinstance(envelope, list) else []
    if len(envelope) < 10:
        partial = _BAD_ENVELOPE
    envelope = [*envelope, *[None] * 10]
    internal_date = attributes.get("INTERNALDATE")
    date, subject, in_reply_to, identifier = (_string(envelope[index]) for index in (0, 1, 8, 9))
    told = _Told(
        uid,
        flags,
        internal_date if isinstance(internal_date, str) else "",
        number_of(attributes.get("RFC822.SIZE")) or 0,
        email_id_of(attributes),
        thread_id_of(attributes),
        date,
        subject,
        [_node_addresses(field) for field in envelope[2:8]],
        in_reply_to,
        identifier,
        _header_fields(attributes),
        parts,
        partial,
    )
    return _message(told)


def _string(node: Node) -> str:
    return node if isinstance(node, str) else ""


def _node_addresses(node: Node) -> _Addresses:
    found = []
    for entry in node if isinstance(node, list) else ():
        match entry:
            case [str() | None as name, _, str(mailbox), str(host), *_]:
                found.append(_address(name or "", mailbox, host))
    return tuple(found[: MAX_ADDRESSES + 1])


def _header_fields(attributes: dict[str, Node]) -> str:
    for name, value in attributes.items():
        if name.startswith(_HEADER_FIELDS) and isinstance(value, str):
            return value
    return ""

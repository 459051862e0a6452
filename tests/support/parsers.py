"""Every parser that reads what strangers wrote, with sound samples of what it reads, and what an input may cost.

The hypothesis tests and the fuzzing harness share this table, so a parser that is added here is put to both.
"""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mailsync_grpc.content.transfer import transfer_decoder
from mailsync_grpc.discovery.address import parse_address
from mailsync_grpc.discovery.autoconfig import read_autoconfig
from mailsync_grpc.discovery.web import _read_answer
from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.imap.announcements import announced
from mailsync_grpc.imap.fetch import parse_flags, parse_labelled, parse_sections, parse_window
from mailsync_grpc.imap.folder_names import decode_name, special_use_of
from mailsync_grpc.imap.header_text import header_text, message_ids, parse_date
from mailsync_grpc.imap.listing import (
    parse_examine,
    parse_list,
    parse_namespaces,
    parse_search,
    parse_server,
    parse_status,
    parse_vanished,
    parse_words,
)
from mailsync_grpc.imap.metadata import parse_metadata
from mailsync_grpc.imap.minimal import parse_minimal
from mailsync_grpc.imap.oauth import granted
from mailsync_grpc.imap.receive import Answer, ReceiveBuffer
from mailsync_grpc.imap.refusal import farewell
from mailsync_grpc.imap.report import auto_submitted, whole_report
from mailsync_grpc.imap.told import parse_appended, parse_copied, parse_stored
from mailsync_grpc.model.report import Report, ReportKind, ReportPart, ReportParts
from mailsync_grpc.model.uidset import UidSet
from tests.support import reports
from tests.unit.imap.answers import answer

MAX_INPUT = 64 << 10
"""Octets of one input."""
CPU_SECONDS = 0.05
MEMORY = 64 << 20
_ALL = UidSet.span(1, 0xFFFFFFFF)
_ANNA = parse_address("anna@example.test")


@dataclass(frozen=True, slots=True)
class Target:
    """A parser and samples of what it is made for."""

    parse: Callable[[bytes], object]
    samples: tuple[bytes, ...]


def cost(parse: Callable[[bytes], object], data: bytes) -> tuple[float, int]:
    """Return the CPU seconds and the octets at their peak that an input takes; errors of the tree are answers too.

    The least of three times counts, since a busy machine only ever adds.
    """
    seconds = [_seconds(parse, data)]
    while len(seconds) < 3 and min(seconds) > CPU_SECONDS:
        seconds.append(_seconds(parse, data))
    tracemalloc.start()
    try:
        _answered(parse, data)
        return min(seconds), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _seconds(parse: Callable[[bytes], object], data: bytes) -> float:
    began = time.process_time()
    _answered(parse, data)
    return time.process_time() - began


def _answered(parse: Callable[[bytes], object], data: bytes) -> object:
    try:
        return parse(data)
    except MailsyncError as error:
        return error


def _received(data: bytes) -> object:
    """What a connection makes of octets that arrive in pieces."""
    buffer = ReceiveBuffer(16 << 10, 32 << 10, MAX_INPUT)
    taken: list[Answer | bytes | None] = []
    for start in range(0, len(data), 997):
        buffer.feed(data[start : start + 997])
        taken.append(buffer.take_answer(b"A1"))
        taken.append(buffer.take_response() if start % 2 else None)
    return taken, buffer.take_line(), buffer.last_line()


def _reported(kind: ReportKind, encoding: str, data: bytes) -> Report:
    parts = ReportParts(ReportPart("2", encoding), ReportPart("3", encoding))
    return whole_report(Report(kind), parts, data, data)


def _decoded(encoding: str, data: bytes) -> object:
    decoder = transfer_decoder(encoding)
    assert decoder is not None
    return decoder.feed(data[:100]), decoder.feed(data[100:]), decoder.finish()


def _text(read: Callable[[str], object], data: bytes) -> object:
    return read(data.decode("latin-1"))


_METADATA = (
    answer(),
    answer(
        BODYSTRUCTURE='(("text" "plain" NIL NIL NIL "7bit" 1 1)("image" "png" ("name*0*" "utf-8\'\'%C3") NIL) "mixed")'
    ),
    answer(
        BODYSTRUCTURE='(("text" "plain" ("charset" "utf-8") "<a@b>" NIL "base64" 9 1 NIL ("inline" ("filename" "a.txt")) NIL)'
        '("message" "rfc822" NIL NIL NIL "7bit" 9 ("d" "s" NIL NIL NIL NIL NIL NIL NIL "<m@x>")'
        ' ("text" "html" NIL NIL NIL "8bit" 1 1) 3) "report" ("report-type" "delivery-status"))'
    ),
    answer(
        **{"EMAILID": "(M1)", "THREADID": "(T1)", "X-GM-MSGID": "12", "X-GM-LABELS": '("\\\\Inbox" {1}\r\na)'}
    ),
)
_FLAGS = (
    b"* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n* 2 FETCH (FLAGS () UID 3)\r\n* 3 FETCH (UID 9 FLAGS (a) MODSEQ (7))\r\n",
    b'* 1 FETCH (X-GM-LABELS ("\\\\Inbox" w&AOk- {2}\r\na)) UID 4 MODSEQ (9) FLAGS (\\Seen))\r\n* VANISHED 1:3\r\n',
)
_SECTIONS = (b'* 1 FETCH (UID 1 BODY[1.2]<0> {3}\r\nabc BODY[TEXT] "x")\r\n* 2 FETCH (UID 2 BODY[] NIL)\r\n',)
_LISTS = (
    b'* LIST (\\Noselect \\HasChildren) "/" "a&AOk-"\r\n* LIST () NIL {3}\r\nabc\r\n* LSUB () "." INBOX.x\r\n',
    b'* LIST (\\Sent) "\\\\" "S \\"q\\"" ("CHILDINFO" ("SUBSCRIBED"))\r\n',
)
_OPENED = (
    (
        b"* STATUS x (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 3 HIGHESTMODSEQ 9 MAILBOXID (M1))\r\n* 3 EXISTS\r\n"
        b"* OK [UIDVALIDITY 3] x\r\n* OK [UIDNEXT 4] x\r\n* FLAGS (a)\r\n* 2 EXPUNGE\r\n"
    ),
    b'* SEARCH 1 2\r\n* ESEARCH (TAG "a") UID ALL 1:3,9\r\n* VANISHED (EARLIER) 1:3\r\n* BYE x\r\n',
    b'* NAMESPACE (("" "/")("x." ".")) (("~" "/")) NIL\r\n* CAPABILITY IMAP4rev1 A=B\r\n',
    b'* ID ("name" "Dovecot" "version" "2.3")\r\n* ENABLED QRESYNC\r\n',
)
_TOLD = (
    b"OK [COPYUID 7 1:2,4 10,12:13] done\r\n* OK [COPYUID 7 1 10] moved\r\n* OK [MODIFIED 7,9:10] failed\r\n",
    b"OK [APPENDUID 7 10] done",
    b"* 1 FETCH (UID 4 MODSEQ (90))\r\n* 2 FETCH (MODSEQ (91) UID 5 FLAGS (\\Seen))\r\n",
)
_REPORTS = tuple(reports.raw(name) for name in reports.NAMES)
_NAMES = (b"INBOX/&ZeVnLIqe-&-a", b"Entw&APw-rfe", b"caf\xc3\xa9", b"&&-&AA-&2D0-")
_HEADERS = (
    b"=?utf-8?q?R=C3=A9sum=C3=A9?= =?iso-2022-jp?B?GyRCRnxLXBsoQg==?= x",
    b"<first@mail.example> (comment (nested)) <second@x>",
    b"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)",
    b"17-Jul-1996 02:44:25 -0700",
    b"auto-replied; type=vacation",
)
_AUTOCONFIG = (
    (
        b'<?xml version="1.0"?><clientConfig version="1.1"><emailProvider id="x"><domain>example.test</domain>'
        b'<incomingServer type="imap"><hostname>imap.%EMAILDOMAIN%</hostname><port>993</port><socketType>SSL</socketType>'
        b"<username>%EMAILLOCALPART%</username><authentication>OAuth2</authentication></incomingServer>"
        b"</emailProvider></clientConfig>"
    ),
)
_GRANTS = (
    b'{"access_token":"abc","token_type":"Bearer","expires_in":3600,"refresh_token":"def"}',
    b'{"error":"invalid_grant","error_description":"revoked"}',
)
_WEB = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
)
_WIRE = (b"* 1 FETCH (UID 1 BODY[] {9}\r\nA1 OK no\r\n)\r\nA1 OK done\r\nA2 NO x\r\n", b"* BYE x\r\n")

TARGETS: dict[str, Target] = {
    "announced": Target(lambda data: announced(data, 3), _OPENED + _FLAGS),
    "flags": Target(lambda data: sorted(parse_flags(data, _ALL).table.items()), _FLAGS),
    "labelled": Target(lambda data: sorted(parse_labelled(data, _ALL).table.items()), _FLAGS),
    "metadata": Target(lambda data: [tuple(each.envelope) for each in parse_metadata(data)], _METADATA),
    "minimal": Target(lambda data: parse_minimal(data, _ALL), _FLAGS + _METADATA),
    "window": Target(lambda data: parse_window(data, 1), _SECTIONS),
    "sections": Target(parse_sections, _SECTIONS),
    "list": Target(parse_list, _LISTS),
    "status": Target(parse_status, _OPENED),
    "examine": Target(parse_examine, _OPENED),
    "search": Target(parse_search, _OPENED),
    "vanished": Target(parse_vanished, _OPENED),
    "namespaces": Target(parse_namespaces, _OPENED),
    "server": Target(parse_server, _OPENED),
    "copied": Target(lambda data: parse_copied(Answer(data, data), UidSet.span(1, 1_000)), _TOLD),
    "appended": Target(lambda data: parse_appended(Answer(data, data)), _TOLD),
    "stored": Target(lambda data: parse_stored(Answer(data, data)), _TOLD),
    "words": Target(lambda data: parse_words(data, "CAPABILITY"), _OPENED),
    "received": Target(_received, _WIRE + _METADATA),
    "farewell": Target(partial(_text, farewell), _OPENED),
    "folder_name": Target(lambda data: special_use_of(decode_name(data)), _NAMES),
    "header": Target(partial(_text, header_text), _HEADERS),
    "message_ids": Target(partial(_text, message_ids), _HEADERS),
    "date": Target(partial(_text, parse_date), _HEADERS),
    "auto_submitted": Target(partial(_text, auto_submitted), _HEADERS),
    "bounce": Target(partial(_reported, ReportKind.BOUNCE, "7bit"), _REPORTS),
    "bounce_base64": Target(partial(_reported, ReportKind.BOUNCE, "base64"), _REPORTS),
    "complaint": Target(partial(_reported, ReportKind.COMPLAINT, "quoted-printable"), _REPORTS),
    "base64": Target(partial(_decoded, "base64"), _REPORTS),
    "quoted_printable": Target(partial(_decoded, "quoted-printable"), _REPORTS),
    "autoconfig": Target(lambda data: read_autoconfig(data, _ANNA), _AUTOCONFIG),
    "granted": Target(lambda data: granted(200, data), _GRANTS),
    "refused": Target(lambda data: granted(400, data), _GRANTS),
    "web": Target(_read_answer, _WEB),
}

r"""What may be sent: building command lines, and the allow-list every line is held against before the socket.

mailsync reads and does not touch: folders are opened by EXAMINE, bodies fetched by BODY.PEEK (RFC 3501 sections 6.3.2
and 6.4.5), so no command of this list changes anything on a mail server. Arguments with CR, LF or NUL would end the
command and begin another of the attacker's choice; they are refused here, whoever made them.
"""

import re

from mailsync_grpc.errors import UnsafeArgumentError

_FETCH_ITEM = (
    rb"(?:UID|FLAGS|INTERNALDATE|RFC822\.SIZE|ENVELOPE|BODYSTRUCTURE|MODSEQ|EMAILID|X-GM-MSGID|X-GM-LABELS"
    rb"|BODY\.PEEK\[[A-Z0-9. ()-]*\](?:<\d+\.\d+>)?)"
)
_ALLOWED = re.compile(
    rb"[A-Z0-9]+ (?:(CAPABILITY|NOOP|LOGOUT|STARTTLS|NAMESPACE|UNSELECT|COMPRESS DEFLATE)"
    rb"|(AUTHENTICATE|LOGIN|ID|ENABLE|LIST|STATUS|EXAMINE|UID SEARCH) [^\r\n\0]+"
    rb"|(UID FETCH) [0-9:,*]+ \(" + _FETCH_ITEM + rb"(?: " + _FETCH_ITEM + rb")*\)"
    rb"(?: \(CHANGEDSINCE \d+(?: VANISHED)?\))?)\r\n"
)
_SASL_RESPONSE = re.compile(rb"[A-Za-z0-9+/=]*(?:\r\n)?|\*")
_UNSAFE = re.compile(rb"[\r\n\0]")
_SECTION = re.compile(r"|HEADER|TEXT|[1-9]\d*(?:\.[1-9]\d*)*(?:\.(?:MIME|HEADER|TEXT))?")

METADATA_ITEMS = b"UID FLAGS INTERNALDATE RFC822.SIZE"
STRUCTURE_ITEMS = b"ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (REFERENCES AUTO-SUBMITTED)]"
MAX_RANGES = 350
"""Ranges in one command line: at most 22 octets each, so that a line stays below the 8,000 that servers take."""


def check_line(line: bytes) -> str:
    """Return the name of the single command that `line`, tag and line end included, is.

    Raises UnsafeArgumentError when it is not one of the allow-list.
    """
    if _UNSAFE.search(line, 0, len(line) - 2):
        raise UnsafeArgumentError("CR, LF or NUL in a command's argument")
    allowed = _ALLOWED.fullmatch(line)
    if allowed is None:
        raise UnsafeArgumentError("the command is not one that only reads")
    return allowed[allowed.lastindex or 0].decode("ascii")


def check_sasl_response(data: bytes) -> None:
    """Raise UnsafeArgumentError unless `data` is base64, a line end, or the cancelling `*` (RFC 3501 section 6.2.2)."""
    if not _SASL_RESPONSE.fullmatch(data):
        raise UnsafeArgumentError("an authentication response must be base64")


def check_text(what: str, text: str) -> None:
    """Raise UnsafeArgumentError when `text` holds CR, LF or NUL; `what` names it in the message."""
    if any(unsafe in text for unsafe in "\r\n\0"):
        raise UnsafeArgumentError(f"CR, LF or NUL in the {what}")


def quote(raw: bytes) -> bytes:
    """Return `raw` as a quoted string. Raises UnsafeArgumentError for CR, LF and NUL, which it cannot carry."""
    if _UNSAFE.search(raw):
        raise UnsafeArgumentError("CR, LF or NUL in a name")
    return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def section_item(section: str, offset: int, length: int) -> bytes:
    """Return the FETCH item that reads `length` octets of `section` from `offset` and changes no flag."""
    if not _SECTION.fullmatch(section) or offset < 0 or length <= 0:
        raise UnsafeArgumentError("not a body section (RFC 3501 section 6.4.5)")
    return b"BODY.PEEK[%s]<%d.%d>" % (section.encode("ascii"), offset, length)


def section_fetch(uid: int, section: str, length: int) -> bytes:
    """Return the command that reads the first `length` octets of one message's `section`."""
    return b"UID FETCH %d (%s)" % (uid, section_item(section, 0, length))

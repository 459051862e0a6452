r"""What may be sent: the commands, and the allow-list every line is held against before the socket.

mailsync reads and does not touch: folders are opened by EXAMINE, bodies fetched by BODY.PEEK (RFC 3501 sections 6.3.2
and 6.4.5), so no command of this list changes anything on a mail server. Arguments with CR, LF or NUL would end the
command and begin another of the attacker's choice; they are refused here, whoever made them.
"""

import re

from mailsync_grpc import __version__
from mailsync_grpc.errors import UnsafeArgumentError

_FETCH_ITEM = (
    rb"(?:UID|FLAGS|INTERNALDATE|RFC822\.SIZE|ENVELOPE|BODYSTRUCTURE|MODSEQ|EMAILID|THREADID|X-GM-MSGID|X-GM-THRID"
    rb"|X-GM-LABELS"
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

_METADATA_ITEMS = b"UID FLAGS INTERNALDATE RFC822.SIZE"
_STRUCTURE_ITEMS = b"ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (REFERENCES AUTO-SUBMITTED)]"
GMAIL = "X-GM-EXT-1"
"""The capability of Gmail's labels and ids."""
_MAX_LINE = 8_000
"""Octets of a command line that servers take; RFC 7162 section 4 asks for 8,192."""
_MAX_RANGE = 22
"""Octets of a range of UIDs, with its comma."""
_SHORT_REST = 300
"""Octets left for what else stands in a command line, where that is short."""
MAX_RANGES = (_MAX_LINE - _SHORT_REST) // _MAX_RANGE
"""Ranges in one command line."""


def ranges_beside(octets: int) -> int:
    """Return how many ranges of UIDs fit in one command line, at least one, beside so many octets of flags or of a name."""
    return max(1, (_MAX_LINE - _SHORT_REST - octets) // _MAX_RANGE)


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


def section_fetch(uid: int, section: str, offset: int, length: int) -> bytes:
    """Return the command that reads `length` octets of one message's `section` from `offset`."""
    return b"UID FETCH %d (%s)" % (uid, section_item(section, offset, length))


def introduction(capabilities: frozenset[str]) -> list[bytes]:
    """Return what follows a login: ENABLE of CONDSTORE and QRESYNC (RFC 5161), ID (RFC 2971), where they are offered."""
    lines = []
    wanted = sorted({"CONDSTORE", "QRESYNC"} & capabilities)
    if wanted and "ENABLE" in capabilities:
        lines.append(f"ENABLE {' '.join(wanted)}".encode())
    if "ID" in capabilities:
        lines.append(b'ID ("name" "mailsync" "version" "%s")' % __version__.encode())
    return lines


def list_all(capabilities: frozenset[str]) -> bytes:
    """Return the LIST of every folder, extended (RFC 5258, RFC 6154) where that is offered."""
    if "LIST-EXTENDED" not in capabilities:
        return b'LIST "" "*"'
    uses = b" SPECIAL-USE" if "SPECIAL-USE" in capabilities else b""
    return b'LIST "" "*" RETURN (SUBSCRIBED CHILDREN%s)' % uses


def status(raw_name: bytes, capabilities: frozenset[str]) -> bytes:
    """Return the STATUS of all counters that the server has. Raises UnsafeArgumentError as `quote` does."""
    more = b" HIGHESTMODSEQ" if {"CONDSTORE", "QRESYNC"} & capabilities else b""
    if "OBJECTID" in capabilities:
        more += b" MAILBOXID"
    return b"STATUS %s (MESSAGES UIDNEXT UIDVALIDITY%s)" % (quote(raw_name), more)


def examine(raw_name: bytes) -> bytes:
    """Return the EXAMINE of a folder. Raises UnsafeArgumentError as `quote` does."""
    return b"EXAMINE " + quote(raw_name)


def uid_fetch(uids: str, items: bytes) -> bytes:
    """Return the UID FETCH of `items` for a sequence set of UIDs."""
    return b"UID FETCH %s (%s)" % (uids.encode("ascii"), items)


def changed_since(modseq: int, capabilities: frozenset[str], enabled: frozenset[str]) -> bytes:
    """Return the FETCH of flags changed after `modseq` (RFC 7162), and of what vanished since where QRESYNC is on."""
    vanished = b" VANISHED" if "QRESYNC" in enabled else b""
    return b"%s (CHANGEDSINCE %d%s)" % (uid_fetch("1:*", flag_items(capabilities)), modseq, vanished)


def uid_search(criteria: str, capabilities: frozenset[str]) -> bytes:
    """Return the UID SEARCH of ASCII criteria, whose answer is in ranges where the server can (RFC 4731)."""
    if not criteria.isascii():
        raise UnsafeArgumentError("search criteria must be ASCII")
    returning = b"RETURN (ALL) " if "ESEARCH" in capabilities else b""
    return b"UID SEARCH " + returning + criteria.encode()


def flag_items(capabilities: frozenset[str]) -> bytes:
    """Return the FETCH items of a message's flags, and of its labels on Gmail."""
    return b"UID FLAGS X-GM-LABELS" if GMAIL in capabilities else b"UID FLAGS"


def minimal_items(capabilities: frozenset[str]) -> bytes:
    """Return the FETCH items of flags and lasting ids."""
    return b" ".join((b"UID FLAGS", *_id_items(capabilities)))


def metadata_items(capabilities: frozenset[str]) -> bytes:
    """Return the FETCH items of all metadata, in the order that `metadata` reads at its fastest."""
    return b" ".join(
        (_METADATA_ITEMS, *_id_items(capabilities), *_thread_items(capabilities), _STRUCTURE_ITEMS)
    )


def _id_items(capabilities: frozenset[str]) -> list[bytes]:
    items = []
    if "OBJECTID" in capabilities:
        items.append(b"EMAILID")
    if GMAIL in capabilities:
        items.append(b"X-GM-MSGID X-GM-LABELS")
    return items


def _thread_items(capabilities: frozenset[str]) -> list[bytes]:
    items = []
    if "OBJECTID" in capabilities:
        items.append(b"THREADID")
    if GMAIL in capabilities:
        items.append(b"X-GM-THRID")
    return items

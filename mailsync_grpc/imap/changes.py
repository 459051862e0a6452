r"""What may be sent to change a mailbox: the commands, and the allow-list of the one kind of session that may send them.

Everything is by UID and explicit: no EXPUNGE without UIDs and no CLOSE, which would remove whatever anybody has marked
\Deleted (RFC 3501 sections 6.4.2 and 6.4.3), and no STORE that replaces flags instead of adding or removing some.
Names are quoted strings and flags atoms, so no argument can end its command and begin another. Gmail's labels are names
too, in modified UTF-7 as folders are; its documentation is of the extension X-GM-EXT-1.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from mailsync_grpc.errors import UnsafeArgumentError
from mailsync_grpc.imap import commands
from mailsync_grpc.imap.commands import quote
from mailsync_grpc.imap.folder_names import encode_name
from mailsync_grpc.imap.header_text import clean

_NAME = rb'"(?:[^"\\\r\n\0]|\\["\\])*"'
_FLAG = rb'\\?[^\x00-\x20(){%*"\\\]\x7f-\xff]+'
_FLAGS = rb"\((?:" + _FLAG + rb"(?: " + _FLAG + rb")*)?\)"
_LABEL = rb'"(?:[^"\\\x00-\x1f\x7f-\xff]|\\["\\])+"'
_LABELS = rb"\(" + _LABEL + rb"(?: " + _LABEL + rb")*\)"
_SET = rb"[0-9:,]+"
_ALLOWED = re.compile(
    rb"[A-Z0-9]+ (?:(SELECT|DELETE|SUBSCRIBE|UNSUBSCRIBE) " + _NAME
    + rb"|(CREATE) " + _NAME + rb"(?: \(USE \(\\[A-Za-z]+\)\))?"
    + rb"|(RENAME) " + _NAME + rb" " + _NAME
    + rb"|(UID STORE) " + _SET + rb" (?:\(UNCHANGEDSINCE \d+\) )?"
    + rb"(?:[+-]FLAGS\.SILENT " + _FLAGS + rb"|[+-]X-GM-LABELS " + _LABELS + rb")"
    + rb"|(UID COPY|UID MOVE) " + _SET + rb" " + _NAME
    + rb"|(UID EXPUNGE) " + _SET
    + rb"|(APPEND) " + _NAME + rb" " + _FLAGS + rb'(?: "[0-9A-Za-z: +-]+")? \{\d+\})\r\n'
)  # fmt: skip
_ATOM = re.compile(_FLAG.decode("latin-1"))
_USE = re.compile(r"\\[A-Za-z]+")
MAX_LABEL = 225
"""Characters that Gmail takes in a label's name."""
MAX_LABELS = 4_096
"""Octets of one list of labels as it is sent."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def check_line(line: bytes) -> str:
    """Return the name of the single command that `line` is, one of this list or one that only reads.

    Raises UnsafeArgumentError when it is neither.
    """
    allowed = _ALLOWED.fullmatch(line)
    if allowed is None:
        return commands.check_line(line)
    return allowed[allowed.lastindex or 0].decode("ascii")


def is_flag(name: str) -> bool:
    r"""Whether `name` can be set as a flag: an atom, a system flag or another with `\`, but not `\Recent`."""
    return name.isascii() and _ATOM.fullmatch(name) is not None and name.casefold() != "\\recent"


def is_label(name: str) -> bool:
    r"""Whether `name` can be given to a message as a label, and is then shown so; with `\` only a system label, one word."""
    sound = bool(name) and len(name) <= MAX_LABEL and name == name.strip() == clean(name)
    return sound and (name[0] != "\\" or _USE.fullmatch(name) is not None)


def select(raw_name: bytes) -> bytes:
    """Return the SELECT of a folder (RFC 3501 section 6.3.1). Raises UnsafeArgumentError as `quote` does."""
    return b"SELECT " + quote(raw_name)


def uid_store(uids: str, sign: str, flags: Iterable[str], unchanged_since: int = 0) -> bytes:
    """Return the UID STORE that adds (`+`) or removes (`-`) flags, where the mod-sequence is not newer (RFC 7162)."""
    return _uid_store(uids, unchanged_since, b"%sFLAGS.SILENT %s" % (sign.encode(), _flag_list(flags)))


def uid_label(uids: str, sign: str, labels: Iterable[str], unchanged_since: int = 0) -> bytes:
    """Return the UID STORE that adds (`+`) or removes (`-`) labels of Gmail, with the same condition."""
    return _uid_store(uids, unchanged_since, b"%sX-GM-LABELS %s" % (sign.encode(), label_list(labels)))


def label_list(labels: Iterable[str]) -> bytes:
    """Return labels as they are sent. Raises UnsafeArgumentError for what is none."""
    names = list(labels)
    if not all(map(is_label, names)):
        raise UnsafeArgumentError("a label must be a name without control characters")
    return b"(" + b" ".join(quote(encode_name(name)) for name in names) + b")"


def uid_copy(uids: str, raw_name: bytes) -> bytes:
    """Return the UID COPY into a folder (RFC 3501 section 6.4.7)."""
    return b"UID COPY %s %s" % (uids.encode(), quote(raw_name))


def uid_move(uids: str, raw_name: bytes) -> bytes:
    """Return the UID MOVE into a folder (RFC 6851)."""
    return b"UID MOVE %s %s" % (uids.encode(), quote(raw_name))


def uid_expunge(uids: str) -> bytes:
    r"""Return the UID EXPUNGE of those of `uids` that are marked \Deleted (RFC 4315 section 2.1)."""
    return b"UID EXPUNGE " + uids.encode()


def create(raw_name: bytes, special_use: str = "") -> bytes:
    r"""Return the CREATE of a folder, with a use such as `\Archive` where one is given (RFC 6154 section 3)."""
    if special_use and not _USE.fullmatch(special_use):
        raise UnsafeArgumentError("a special use is a backslash and letters")
    return b"CREATE " + quote(raw_name) + (b" (USE (%s))" % special_use.encode() if special_use else b"")


def rename(raw_name: bytes, new: bytes) -> bytes:
    """Return the RENAME of a folder."""
    return b"RENAME %s %s" % (quote(raw_name), quote(new))


def delete(raw_name: bytes) -> bytes:
    """Return the DELETE of a folder with its messages."""
    return b"DELETE " + quote(raw_name)


def subscribe(raw_name: bytes, *, on: bool) -> bytes:
    """Return the SUBSCRIBE or UNSUBSCRIBE of a folder."""
    return (b"SUBSCRIBE " if on else b"UNSUBSCRIBE ") + quote(raw_name)


def append(raw_name: bytes, flags: Iterable[str], date: int | None, size: int) -> bytes:
    """Return the APPEND whose literal of `size` octets follows; `date` is INTERNALDATE in seconds since 1970."""
    when = b" " + date_time(date) if date is not None else b""
    return b"APPEND %s %s%s {%d}" % (quote(raw_name), _flag_list(flags), when, size)


def date_time(seconds: int) -> bytes:
    """Return a time as a quoted date-time in UTC (RFC 3501 section 9). Raises UnsafeArgumentError beyond year 9999."""
    try:
        time = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise UnsafeArgumentError("a date must be in the years 1 to 9999") from None
    text = f"{time.day:02}-{_MONTHS[time.month - 1]}-{time.year:04} {time:%H:%M:%S} +0000"
    return quote(text.encode())


def _flag_list(flags: Iterable[str]) -> bytes:
    names = list(flags)
    if not all(map(is_flag, names)):
        raise UnsafeArgumentError("a flag must be an atom (RFC 3501 section 9)")
    return b"(" + " ".join(names).encode("ascii") + b")"


def _uid_store(uids: str, unchanged_since: int, change: bytes) -> bytes:
    unless = b"(UNCHANGEDSINCE %d) " % unchanged_since if unchanged_since else b""
    return b"UID STORE %s %s%s" % (uids.encode(), unless, change)

r"""What people see: text made safe, times, sizes and states in words.

Subjects, addresses and folder names are written by strangers. A terminal obeys control characters (ESC sequences move
the cursor, set titles, answer back), and bidirectional overrides show text in another order than it has; both are shown
as escapes instead. Rich would read ``[red]`` as markup, so text from mail is always a ``Text``, never a string.
"""

import re
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.text import Text

# C0, DEL and C1 (ECMA-48), line and paragraph separators, surrogates, and the controls of Unicode's UAX 9.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_BUT_LAYOUT = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))
_UNITS = ("kB", "MB", "GB", "TB")


def printable(text: str, *, layout: bool = False) -> str:
    r"""Text with everything a terminal would obey written as an escape such as ``\x1b``.

    With ``layout`` line feeds and tabs stay, for text of several lines.
    """
    return (_UNSAFE_BUT_LAYOUT if layout else _UNSAFE).sub(_escape, text)


def plain(text: str, style: str = "") -> Text:
    """Text from mail for rich: printable, and never markup."""
    return Text(printable(text), style=style)


def moment(stamp: Timestamp) -> str:
    """A timestamp in local time to the minute, such as ``2026-03-01 09:05``; empty when unset."""
    if not stamp.seconds and not stamp.nanos:
        return ""
    # Not ToDatetime(): it refuses what lies outside the years 1 to 9999, and a listing must not stop at one message.
    try:
        return f"{datetime.fromtimestamp(stamp.seconds, UTC).astimezone():%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):
        return "?"


def ago(stamp: Timestamp, now: datetime) -> str:
    """How long before ``now`` a timestamp lies, in its largest unit, such as ``3 min ago``; ``never`` when unset."""
    if not stamp.seconds and not stamp.nanos:
        return "never"
    return f"{span(now - datetime.fromtimestamp(stamp.seconds, UTC))} ago"


def span(length: timedelta) -> str:
    """A length of time in its largest unit: ``12 s``, ``3 min``, ``5 h``, ``2 d``."""
    seconds = max(0, int(length.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def octets(size: int) -> str:
    """A size with its decimal unit: ``512 B``, ``12.3 kB``."""
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in _UNITS:
        value /= 1000
        if value < 999.95 or unit == _UNITS[-1]:
            break
    return f"{value:.1f} {unit}"


def plural(count: int, noun: str) -> str:
    """A count with its noun: ``1 message``, ``1,200 messages``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def word(enum_name: str, prefix: str) -> str:
    """The name of an enum's value for people: ``ACCOUNT_STATE_AUTH_FAILED`` without its prefix is ``auth failed``."""
    return enum_name.removeprefix(prefix).replace("_", " ").lower()


def to_people() -> Console:
    """The console for tables and text: standard output, without rich's own highlighting of numbers and paths."""
    return Console(highlight=False)


def to_people_beside() -> Console:
    """The console for notices and errors: standard error, so that they never mix with data in a pipe."""
    return Console(stderr=True, highlight=False)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape", "surrogatepass").decode("ascii")

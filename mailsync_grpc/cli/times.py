"""Times as people write them: `90s`, `30m`, `2h` or `7d` before now, RFC 3339, or a date."""

import re
from datetime import UTC, datetime, timedelta

from mailsync_grpc.cli.failures import CommandError

_SPAN = re.compile(r"(\d{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

FORMS = "a span before now such as 90s, 30m, 2h or 7d, or a time such as 2026-01-31 or 2026-01-31T08:00:00Z"


def parse_time(text: str) -> datetime | None:
    """The time of RFC 3339 or of a date, in UTC unless it says its zone; None when it is neither."""
    try:
        time = datetime.fromisoformat(text.upper())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parse_past(text: str, now: datetime) -> datetime | None:
    """The time that lies a span before ``now``, or that `parse_time` reads; None when it is neither."""
    span = _SPAN.fullmatch(text)
    if span is None:
        return parse_time(text)
    try:
        return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
    except OverflowError:
        return None


def past(option: str, text: str, now: datetime) -> datetime:
    """The time that an option's value says. CommandError lists the forms."""
    time = parse_past(text, now)
    if time is None:
        raise CommandError(f"{option}: not a time: {text} (expected {FORMS})")
    return time

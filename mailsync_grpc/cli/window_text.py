"""Windows as people write and read them: `all`, `since:2026-01-31`, `last:1y6m10d`, `newest:5000`."""

import re

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.terminal import moment, plural
from mailsync_grpc.cli.times import parse_time
from mailsync_grpc.v1.account_pb2 import SlidingWindow, Window

_SPAN = re.compile(r"(?=\d)(?:(?P<years>\d{1,9})y)?(?:(?P<months>\d{1,9})m)?(?:(?P<days>\d{1,9})d)?")
_NUMBER = re.compile(r"\d{1,9}")


def window_of(text: str) -> Window:
    """Return the window that `text` writes; a date without time or zone is midnight UTC. CommandError for other text."""
    kind, _, value = text.partition(":")
    window = Window()
    if kind == "since" and (since := parse_time(value)) is not None:
        window.since.FromDatetime(since)
    elif kind == "last" and (span := _SPAN.fullmatch(value)):
        window.sliding.CopyFrom(
            SlidingWindow(**{unit: int(count or 0) for unit, count in span.groupdict().items()})
        )
    elif kind == "newest" and _NUMBER.fullmatch(value):
        window.newest = int(value)
    elif text != "all":
        raise CommandError(
            f"not a window: {text} (expected all, since:2026-01-31, last:1y6m10d or newest:5000)"
        )
    return window


def window_text(window: Window) -> str:
    """A window in words, such as ``the last 1 year 6 months``; empty when it takes everything."""
    match window.WhichOneof("bound"):
        case "since":
            return f"since {moment(window.since)}"
        case "newest":
            return f"newest {window.newest:,} of each folder"
        case "sliding":
            span = window.sliding
            units = ((span.years, "year"), (span.months, "month"), (span.days, "day"))
            return "the last " + " ".join(plural(count, unit) for count, unit in units if count)
    return ""

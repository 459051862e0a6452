"""What one response carries: pure decisions on how records become a piece of a stream.

A piece covers every record up to where it was cut, whether the filter let it pass or not; so ranges join without gaps
under any filter. Events are framed as entries of field 1, which both WatchEventsResponse and GetEventLogResponse have
for them; the other fields follow as a message of their own, since protobuf merges concatenated messages.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services.tokens import Position
from mailsync_grpc.services.watch_filter import Filter
from mailsync_grpc.store.codec.wire import bytes_tag, varint
from mailsync_grpc.store.values import LogRecord

MAX_EVENTS: Final = 512
MAX_BYTES: Final = 256 << 10
LINGER: Final = 0.010
"""Seconds that events after the first wait for company."""

_EVENTS: Final = bytes_tag(1)


class Cut(NamedTuple):
    """The framed events of a range and where it ends; `size` is how many they are, 0 when the filter hid everything.

    `commit_time` is that of the newest event in it, milliseconds since 1970.
    """

    events: bytes
    size: int
    through: Position
    commit_time: int


def cut(
    after: Position,
    records: Sequence[LogRecord],
    wanted: Filter,
    max_events: int = MAX_EVENTS,
    max_bytes: int = MAX_BYTES,
) -> Cut:
    """Return the longest piece of consecutive `records` within the bounds; one larger event stands alone."""
    parts: list[bytes] = []
    size = count = commit_time = 0
    through = after
    for record in records:
        if wanted.admits(record):
            event = wanted.shown(record)
            if count and (count >= max_events or size + len(event) > max_bytes):
                break
            parts += (_EVENTS, varint(len(event)), event)
            size += len(event)
            count += 1
            commit_time = record.commit_time
        through = Position(Revision(record.revision), record.check)
    return Cut(b"".join(parts), count, through, commit_time)


def linger(now: float, last_sent: float, waiting: int) -> float:
    """Return seconds to wait before cutting: none after quiet or when a piece is full already."""
    if waiting >= MAX_EVENTS:
        return 0.0
    return min(LINGER, max(0.0, last_sent + LINGER - now))

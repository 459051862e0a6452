"""What the watch needs to know of a stored event, and less of it, without the generated classes.

Events are written by `store.codec.event` alone, so the order of their fields is known: revision, commit time, account,
folder, request, payload. The segments of an envelope stand in the order of the views; a smaller view of it is its
beginning, up to the first field of the next segment.
"""

from typing import Final, NamedTuple

from mailsync_grpc.model.changes import EventKind
from mailsync_grpc.store.codec.identity import View
from mailsync_grpc.store.codec.wire import bytes_tag, chunk

_ACCOUNT: Final = 3
_FOLDER: Final = 4
_FROM_FOLDER: Final = 1
_WHOLE_ENVELOPE: Final = {
    EventKind.ENVELOPE_ADDED: 1,
    EventKind.ENVELOPE_UPDATED: 1,
    EventKind.ENVELOPE_MOVED: 5,
}
"""Events that carry an envelope, and in which field of the payload."""
_BEYOND: Final = {View.FLAGS: 10, View.BASIC: 30}
"""The first field that a view leaves out."""
_BYTES: Final = 2


class _Field(NamedTuple):
    """A field of a message: where it begins, and where its content begins and ends."""

    number: int
    start: int
    content: int
    end: int


def origin(event: bytes) -> tuple[bytes, bytes]:
    """Return the names of an event's account and folder, the latter empty for events without one."""
    account = _find(event, _ACCOUNT, 0, len(event))
    folder = _find(event, _FOLDER, 0, len(event))
    return _content(event, account), _content(event, folder)


def moved_from(event: bytes) -> bytes:
    """Return the name of the folder that an ENVELOPE_MOVED left."""
    payload = _find(event, EventKind.ENVELOPE_MOVED, 0, len(event))
    left = _find(event, _FROM_FOLDER, payload.content, payload.end) if payload else None
    return _content(event, left)


def in_view(event: bytes, kind: EventKind, view: View) -> bytes:
    """Return the serialized event with no more of its envelope than `view` has."""
    holder = _WHOLE_ENVELOPE.get(kind)
    if view is View.FULL or holder is None:
        return event
    payload = _find(event, kind, 0, len(event))
    envelope = _find(event, holder, payload.content, payload.end) if payload else None
    if payload is None or envelope is None:
        return event
    rest = _first_from(event, _BEYOND[view], envelope.content, envelope.end)
    shorter = chunk(bytes_tag(holder), event[envelope.content : rest])
    inner = event[payload.content : envelope.start] + shorter + event[envelope.end : payload.end]
    return event[: payload.start] + chunk(bytes_tag(kind), inner) + event[payload.end :]


def _content(data: bytes, field: _Field | None) -> bytes:
    return data[field.content : field.end] if field else b""


def _find(data: bytes, number: int, start: int, end: int) -> _Field | None:
    while start < end:
        field = _field_at(data, start)
        if field.number == number:
            return field
        start = field.end
    return None


def _first_from(data: bytes, number: int, start: int, end: int) -> int:
    """Return where the first field with at least this number begins."""
    while start < end:
        field = _field_at(data, start)
        if field.number >= number:
            return start
        start = field.end
    return end


def _field_at(data: bytes, start: int) -> _Field:
    tag, content = _varint(data, start)
    length, after = _varint(data, content)
    # Events, their payloads and envelopes have fields of these two kinds only (a test of the contract's shape holds that).
    if tag & 7 == _BYTES:
        return _Field(tag >> 3, start, after, after + length)
    return _Field(tag >> 3, start, content, after)


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """Return the number that begins at `start` and where the next octet after it is."""
    value = shift = 0
    while True:
        octet = data[start]
        start += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, start
        shift += 7

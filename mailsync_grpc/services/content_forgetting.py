"""Cached content of messages that are gone is deleted once the log tells of it.

Its name is not found any more, so it could not be served; but what was deleted should not stay on disk until the cache is
full. The log is followed like a stream does. How far is kept beside the cache, now and then: what is read twice is
deleted once. Where the log was cut before it was read, what nobody can ask for leaves as the least recently used.
"""

import asyncio
import struct
import time
from collections.abc import Iterator
from typing import Final, NoReturn

import structlog

from mailsync_grpc.content.names import Span
from mailsync_grpc.content.reader import ContentReader
from mailsync_grpc.errors import RevisionCompactedError
from mailsync_grpc.model import ids
from mailsync_grpc.model.changes import EventKind
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.watch_feed import Feed
from mailsync_grpc.store.cache_index import Owner
from mailsync_grpc.store.values import LogRecord
from mailsync_grpc.v1 import event_pb2

KEEP_EVERY: Final = 60.0
"""Seconds between two records of how far the log was read."""
_MARK = struct.Struct(">16sQ")
_RETRY = 1.0
_MOST = (1 << 32) - 1
_TELLING = {
    EventKind.ENVELOPES_REMOVED,
    EventKind.ENVELOPE_MOVED,
    EventKind.FOLDER_REMOVED,
    EventKind.FOLDER_RESET,
    EventKind.ACCOUNT_REMOVED,
}
_log = structlog.get_logger(__name__)


async def forget_gone(core: Core, feed: Feed, reader: ContentReader) -> NoReturn:
    """Follow the log for ever."""
    position, kept_at = _position(await reader.mark(), core.store.epoch, feed.head), 0.0
    while True:
        try:
            records = await feed.read(position)
            spans = [span for record in records if record.kind in _TELLING for span in gone(record)]
            through = records[-1].revision if records else position
            due = time.monotonic() - kept_at >= KEEP_EVERY
            await reader.forget_gone(spans, _MARK.pack(core.store.epoch, through) if due else b"")
            position, kept_at = through, time.monotonic() if due else kept_at
        except RevisionCompactedError as error:
            position = Revision(error.floor)
        except Exception as error:  # noqa: BLE001 - whatever it is, what goes from now on must be deleted
            _log.error("content of messages that are gone is not deleted", error=str(error))
            await asyncio.sleep(_RETRY)
        if feed.head <= position:  # else something came meanwhile, and the signal is past
            await feed.wait(KEEP_EVERY)


def gone(record: LogRecord) -> Iterator[Span]:
    """Yield whose content an event says is wanted no more."""
    account = record.account
    if record.kind is EventKind.ACCOUNT_REMOVED:
        yield Span(
            Owner(account, bytes(ids.ID_BYTES), 0, 0), Owner(account, b"\xff" * ids.ID_BYTES, _MOST, _MOST)
        )
        return
    event = event_pb2.Event.FromString(record.event)
    name = event.envelope_moved.from_folder if record.kind is EventKind.ENVELOPE_MOVED else event.folder
    folder = ids.parse_folder(name)
    if folder is None:
        return  # the payload of an account that was deleted since
    if record.kind is EventKind.ENVELOPES_REMOVED:
        for uids in event.envelopes_removed.uids:
            validity = event.envelopes_removed.uid_validity
            yield _span(account, folder.folder_id, (validity, uids.first), (validity, uids.last))
    elif record.kind is EventKind.ENVELOPE_MOVED:
        left = event.envelope_moved.from_uid_validity, event.envelope_moved.from_uid
        yield _span(account, folder.folder_id, left, left)
    else:
        yield _span(account, folder.folder_id, (0, 0), (_MOST, _MOST))


def _span(account: int, folder: bytes, first: tuple[int, int], last: tuple[int, int]) -> Span:
    return Span(Owner(account, folder, *first), Owner(account, folder, *last))


def _position(mark: bytes, epoch: bytes, head: Revision) -> Revision:
    """Return where to go on: at the mark when it is of this store, else at the head."""
    if len(mark) != _MARK.size:
        return head
    marked, revision = _MARK.unpack(mark)
    return Revision(min(revision, head)) if marked == epoch else head

"""The snapshot that a stream begins with: pieces of the present state, each read while the one before is on its way.

Reading is done in a thread of the store's, a piece at a time; nothing is held there between two pieces. A stream that
ends in between says by its token how far it came, and the next one reads on from there.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

from mailsync_grpc.services.core import Core
from mailsync_grpc.services.scan import Piece, Place, pieces
from mailsync_grpc.services.streams import Slots
from mailsync_grpc.services.watch_filter import Filter
from mailsync_grpc.store.codec.wire import bytes_tag, number_field, varint, varint_tag
from mailsync_grpc.v1 import event_service_pb2 as pb

_CHUNK: Final = bytes_tag(pb.WatchEventsResponse.SNAPSHOT_CHUNK_FIELD_NUMBER)
_READ_REVISION: Final = varint_tag(pb.SnapshotChunk.READ_REVISION_FIELD_NUMBER)


class SnapshotReader:
    """Reads the state that `wanted` shows from `place` on. Raises SnapshotLimitError when too many are at it."""

    def __init__(self, core: Core, slots: Slots, wanted: Filter, place: Place) -> None:
        slots.take()
        self._core = core
        self._slots = slots
        self._pieces: Iterator[Piece] = pieces(core.store, core.head, wanted, wanted.view, place)
        self._ahead = asyncio.ensure_future(self._read())

    async def next(self) -> Piece | None:
        """Return the next piece, None behind the last one."""
        piece = await self._ahead
        if piece is not None:
            self._ahead = asyncio.ensure_future(self._read())
        return piece

    async def _read(self) -> Piece | None:
        return await self._core.run(next, self._pieces, None)

    def close(self) -> None:
        """Read no more."""
        self._ahead.cancel()
        self._slots.give_back()


def response_of(piece: Piece, frame: bytes) -> bytes:
    """Return a serialized WatchEventsResponse of the piece and the fields of `frame`; a piece is large, so it is copied once."""
    revision = number_field(_READ_REVISION, piece.read_revision)
    return b"".join((_CHUNK, varint(len(revision) + len(piece.content)), revision, piece.content, frame))


def end_of(place: Place) -> pb.SnapshotEnd:
    """Return the marker behind the last piece."""
    return pb.SnapshotEnd(accounts=place.accounts, folders=place.folders, envelopes=place.envelopes)

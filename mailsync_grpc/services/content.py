"""ContentService: bodies, parts and headers, streamed from the cache or the mail server; and the purge of that cache.

What a caller may see is decided from its name in the store before the cache or a mail server is asked anything, and
entries belong to one account, so neither an answer nor its time tells of content that is another's.
"""

from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from mailsync_grpc.content.reader import ContentReader
from mailsync_grpc.content.values import (
    ContentHeader,
    ContentId,
    ContentKind,
    ContentTrailer,
    MessageKey,
    Piece,
    Wanted,
    What,
)
from mailsync_grpc.errors import InvalidFieldError
from mailsync_grpc.model.envelope import Attachment, BodyPart, Envelope
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.services import fields
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.lookup import find_message
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.requests import Decision, Mutations
from mailsync_grpc.services.streams import Writer
from mailsync_grpc.store.codec.wire import bytes_tag, varint
from mailsync_grpc.store.values import EnvelopeRow
from mailsync_grpc.v1 import content_service_pb2 as pb
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1 import system_service_pb2 as system_pb

_CHUNK: Final = bytes_tag(pb.DownloadContentResponse.CHUNK_FIELD_NUMBER)


@dataclass(frozen=True, slots=True)
class ContentService:
    """Serves `mailsync.v1.ContentService`."""

    core: Core
    reader: ContentReader

    async def download_content(self, request: pb.DownloadContentRequest, context: Context) -> None:
        """Stream a header, chunks and a trailer."""
        wanted = _wanted(request)
        found = await self.core.run(find_message, self.core, request.name)
        message = MessageKey(found.account, found.folder, found.uid)
        known = _structure(found.row) if found.row else None
        pieces = self.reader.open(message, wanted, known, mirrored=found.row is not None)
        async with aclosing(pieces):
            with Writer(context, self.core.config.watch.stall_timeout) as out:
                async for piece in pieces:
                    current().require_valid()
                    await out.write(_response(piece))


@dataclass(frozen=True, slots=True)
class PurgeService:
    """Serves the one call of `mailsync.v1.SystemService` that is about content."""

    core: Core
    mutations: Mutations
    reader: ContentReader

    async def purge_content_cache(
        self, request: system_pb.PurgeContentCacheRequest, _context: Context
    ) -> system_pb.PurgeContentCacheResponse:
        """Drop what is cached of an account or of all; a repeat drops what was cached since."""
        return await self.mutations.once(
            request, system_pb.PurgeContentCacheResponse, lambda: self._purge(request.account)
        )

    async def _purge(self, name: str) -> Decision[system_pb.PurgeContentCacheResponse]:
        dropped = [await self.reader.purge(account) for account in await self._accounts(name)]
        return Decision(
            None,
            system_pb.PurgeContentCacheResponse(
                entries=sum(entries for entries, _ in dropped), size=sum(size for _, size in dropped)
            ),
        )

    async def _accounts(self, name: str) -> Iterable[AccountNo | None]:
        """Return the account of this name, without one those that the caller may see; None is all there are."""
        if name:
            account_id = fields.account_id(name, "account")
            return [(await self.core.run(self.core.account, account_id)).no]
        visible = await self.core.run(lambda: current().visible)
        return [None] if visible is None else visible


def _wanted(request: pb.DownloadContentRequest) -> Wanted:
    return Wanted(
        _what(request), request.decode, request.offset, request.limit, request.if_match, request.chunk_size
    )


def _what(request: pb.DownloadContentRequest) -> What:
    match request.WhichOneof("what"):
        case "section" if request.section:
            return request.section
        case "kind" if request.kind in {int(kind) for kind in ContentKind}:
            return ContentKind(request.kind)
        case "content_id" if request.content_id:
            return ContentId(request.content_id)
    raise InvalidFieldError(
        {"what": "a section such as 1.2, a kind (TEXT, HTML, HEADERS, RAW) or a content_id"}
    )


def _structure(row: EnvelopeRow) -> Envelope | None:
    """Return what the store knows of the message's parts, None when its record is not whole."""
    stored = envelope_pb2.Envelope.FromString(row.basic + row.detail)
    if stored.HasField("partial"):
        return None
    return Envelope(
        size=stored.size,
        text_parts=tuple(
            BodyPart(
                part.section,
                part.media_type,
                part.media_subtype,
                part.charset,
                part.transfer_encoding,
                part.size,
                part.lines,
            )
            for part in stored.body_meta
        ),
        attachments=tuple(
            Attachment(
                part.section,
                part.file_name,
                part.media_type,
                part.media_subtype,
                part.size,
                part.content_id,
                part.inline,
                part.transfer_encoding,
                part.charset,
            )
            for part in stored.attachments
        ),
    )


def _response(piece: Piece) -> pb.DownloadContentResponse | bytes:
    match piece:
        case ContentHeader():
            return pb.DownloadContentResponse(header=_header(piece))
        case ContentTrailer():
            return pb.DownloadContentResponse(trailer=_trailer(piece))
        case chunk:
            # Framed by hand: the generated class would copy it twice more.
            return b"".join((_CHUNK, varint(len(chunk)), chunk))


def _header(header: ContentHeader) -> pb.ContentHeader:
    return pb.ContentHeader(
        media_type=header.media_type,
        charset=header.charset,
        total_size=header.total_size,
        etag=header.etag,
        file_name=header.file_name,
        section=header.section,
        transfer_encoding=header.transfer_encoding,
        offset=header.offset,
        cached=header.cached,
    )


def _trailer(trailer: ContentTrailer) -> pb.ContentTrailer:
    return pb.ContentTrailer(
        size=trailer.size,
        sha256=trailer.sha256,
        decoding_warnings=[pb.DecodingWarning.ValueType(warning) for warning in trailer.decoding_warnings],
        total_size=trailer.total_size,
    )

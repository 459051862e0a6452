"""`ContentReader`: what the service asks for content.

A request goes: which section is meant, a share in that content, its form, then the stream of it (`streaming`). Runs on
one event loop; whatever blocks runs in threads.
"""

import asyncio
import hmac
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from functools import partial
from types import TracebackType
from typing import Self

import structlog

from mailsync_grpc.config import Config
from mailsync_grpc.content.cache import Cache
from mailsync_grpc.content.cleaning import Limits
from mailsync_grpc.content.decoding import Form
from mailsync_grpc.content.names import Entry, Span, entry_of, owner_of
from mailsync_grpc.content.parts import HEADERS, Part, check_section, section_of
from mailsync_grpc.content.shared import SharedContent
from mailsync_grpc.content.sharing import Sharing
from mailsync_grpc.content.source import ImapSource, Source
from mailsync_grpc.content.streaming import Stream
from mailsync_grpc.content.structures import Structures
from mailsync_grpc.content.threads import Threads
from mailsync_grpc.content.values import (
    ContentHeader,
    ContentId,
    ContentKind,
    MessageKey,
    Piece,
    Wanted,
    What,
)
from mailsync_grpc.errors import (
    ContentChangedError,
    EnvelopeNotFoundError,
    PartNotFoundError,
    StoreFullError,
    UidValidityChangedError,
)
from mailsync_grpc.imap.sessions import Sessions
from mailsync_grpc.model.envelope import Envelope
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.vault import Vault

DISK_THREADS = 4
CLEAN_SECONDS = 30.0
_UNKNOWN = Envelope()
_log = structlog.get_logger(__name__)


class ContentReader:
    """Reads content of messages through the cache. An async context manager; `name_key` is 32 bytes."""

    def __init__(self, source: Source, cache: Cache, name_key: bytes, chunk_size: int) -> None:
        self._source = source
        self._cache = cache
        self._name_key = name_key
        self._chunk_size = chunk_size
        self._threads = Threads(DISK_THREADS)
        self._sharing = Sharing()
        self._structures = Structures(source)
        self._cleaner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._cleaner = asyncio.create_task(self._clean_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._cleaner is not None:
            self._cleaner.cancel()
            with suppress(asyncio.CancelledError):
                await self._cleaner
        await self._source.close()
        await self._sharing.close()
        await self._structures.close()
        await self._threads.run(self._cache.close)
        self._threads.close()

    async def open(
        self, message: MessageKey, wanted: Wanted, known: Envelope | None = None, *, mirrored: bool = True
    ) -> AsyncGenerator[Piece, None]:
        """Yield a header, chunks and a trailer; to be closed (`contextlib.aclosing`) when left early.

        `known`, when given, is what the store knows of the message and saves asking the server for its structure.
        Of a message that is not `mirrored` nobody tells us when it is gone, so its server is asked before anything.
        Raises InvalidFieldError, EnvelopeNotFoundError, PartNotFoundError, UidValidityChangedError,
        ContentChangedError, QuotaExceededError, CredentialsNeededError and any ImapError.
        """
        known = known if known is not None and known.partial is None else None
        try:
            if not mirrored:
                known = await self._source.structure(message, fresh=True)
            section = await self._section(message, wanted.what, known)
            entry = entry_of(self._name_key, message, section)
            async with (
                self._sharing.share(entry, lambda: self._new(entry, message, known, section)) as content,
                aclosing(self._stream(content, message, wanted)) as pieces,
            ):
                async for piece in pieces:
                    yield piece
        except EnvelopeNotFoundError:
            await self._purge(owner_of(message))
            raise
        except UidValidityChangedError:
            await self._purge(owner_of(message)[:3])
            raise

    async def purge_account(self, account: AccountNo) -> None:
        """Delete everything kept of an account that is removed."""
        await self._threads.run(self._cache.purge_account, account)

    async def purge(self, account: AccountNo | None) -> tuple[int, int]:
        """Delete what is kept of an account, of all without one; entries and octets that went."""
        return await self._threads.run(self._cache.purge, () if account is None else (account,))

    async def forget_gone(self, spans: Sequence[Span], mark: bytes = b"") -> None:
        """Delete what is kept of messages that are gone; with a mark keep that beside the cache. Raises StoreFullError."""
        if spans:
            await self._threads.run(self._cache.purge_between, spans)
        if mark:
            await self._threads.run(self._cache.set_mark, mark)

    async def mark(self) -> bytes:
        """Return the mark that was kept last, nothing before."""
        return await self._threads.run(self._cache.mark)

    async def cached(self) -> tuple[int, int]:
        """Return how many entries the cache holds, and their octets."""
        return await self._threads.run(self._cache.holds)

    def holds(self) -> tuple[int, int]:
        """As `cached`, blocking, for any thread."""
        return self._cache.holds()

    async def _purge(self, scope: Sequence[int | bytes]) -> None:
        try:
            await self._threads.run(self._cache.purge, scope)
        except StoreFullError as error:
            # The caller learns that the message is gone, whatever becomes of its entries.
            _log.warning("content of a message that is gone is not deleted", reason=str(error))

    async def _stream(
        self, content: SharedContent, message: MessageKey, wanted: Wanted
    ) -> AsyncGenerator[Piece, None]:
        form = Form.of(await content.part(), decode=wanted.decode)
        etag = self._etag(message, form)
        if wanted.if_match and not hmac.compare_digest(wanted.if_match.encode(), etag.encode()):
            raise ContentChangedError(
                "the content is not the one that if_match names; download it from its beginning"
            )
        yield _header(content, form, etag, wanted.offset)
        wanted = wanted._replace(chunk_size=wanted.chunk_size or self._chunk_size)
        async with aclosing(Stream(content, form, wanted).pieces()) as pieces:
            async for piece in pieces:
                yield piece

    async def _section(self, message: MessageKey, what: What, known: Envelope | None) -> str:
        if isinstance(what, str):
            check_section(what)
            return what
        if what not in {ContentKind.RAW, ContentKind.HEADERS}:
            known = known or await self._structures.of(message)
        section = section_of(known or _UNKNOWN, what)
        if section is None:
            named = f"Content-ID {what.text}" if isinstance(what, ContentId) else what.name
            raise PartNotFoundError(f"{message.name}, {named}")
        return section

    async def _locate(self, message: MessageKey, section: str, known: Envelope | None) -> Part:
        if known is None:
            known = _UNKNOWN if section == HEADERS else await self._structures.of(message)
        return await self._source.part(message, section, known)

    def _new(self, entry: Entry, message: MessageKey, known: Envelope | None, section: str) -> SharedContent:
        return SharedContent(
            entry,
            self._cache,
            self._threads,
            partial(self._locate, message, section, known),
            partial(self._source.windows, message, section),
        )

    def _etag(self, message: MessageKey, form: Form) -> str:
        """Messages are immutable under their UID (RFC 3501 section 2.3.1.1), so the name identifies the content."""
        name = entry_of(self._name_key, message, form.part.section).name
        described = f"{form.identity}\0{form.part}".encode()
        return hmac.digest(self._name_key, name + described, "sha256")[:16].hex()

    async def _clean_for_ever(self) -> None:
        while True:
            try:
                await self._threads.run(self._cache.clean)
            except Exception as error:  # noqa: BLE001 - whatever one cleaning met, the disk must not fill up
                _log.warning("content cache is not cleaned", reason=str(error))
            await asyncio.sleep(CLEAN_SECONDS)


def open_reader(config: Config, vault: Vault, sessions: Sessions) -> ContentReader:
    """Return a reader over the cache in the data directory, to be entered once on the event loop it serves.

    It closes `sessions` at its end.
    """
    settings = config.content
    limits = Limits(settings.max_bytes, settings.max_disk_use)
    cache = Cache(config.data_dir / "content", vault.subkey("content cache"), limits)
    return ContentReader(ImapSource(sessions), cache, vault.subkey("content names"), settings.chunk_size)


def _header(content: SharedContent, form: Form, etag: str, offset: int) -> ContentHeader:
    declared = content.size if content.size is not None else form.part.size
    return ContentHeader(
        form.part.media_type,
        form.charset,
        declared if form.identity else None,
        etag,
        form.part.file_name,
        "" if form.part.section in {"", HEADERS} else form.part.section,
        form.transfer_encoding,
        offset,
        content.cached,
    )

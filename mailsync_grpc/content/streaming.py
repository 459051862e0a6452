"""The octets of one stream: windows through decoder and outlet to the caller, each made while it takes the one before."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import count

from mailsync_grpc.content.decoding import Decoder, Form
from mailsync_grpc.content.outlet import Outlet
from mailsync_grpc.content.shared import WINDOW, SharedContent
from mailsync_grpc.content.values import ContentTrailer, DecodingWarning, Wanted

MIN_CHUNK, MAX_CHUNK = 1 << 10, 1 << 20


class Stream:
    """What is sent of one content in one form. `wanted.chunk_size` is coerced into what a response may hold."""

    def __init__(self, content: SharedContent, form: Form, wanted: Wanted) -> None:
        # Octets that are sent as they are can be begun at any window; decoding begins at the beginning.
        self._first = wanted.offset // WINDOW if form.identity else 0
        chunk_size = min(max(wanted.chunk_size, MIN_CHUNK), MAX_CHUNK)
        self._outlet = Outlet(wanted.offset - self._first * WINDOW, wanted.limit, chunk_size)
        self._decoder: Decoder = form.decoder(asked=wanted.decode)
        self._identity = form.identity
        self._content = content

    async def pieces(self) -> AsyncGenerator[bytes | ContentTrailer, None]:
        """Yield chunks and the trailer; to be closed when left early."""
        async with aclosing(_one_ahead(self._of_windows())) as made:
            async for chunks in made:
                for chunk in chunks:
                    yield chunk
        ended = not self._outlet.full
        for chunk in (
            *(self._outlet.feed(self._decoder.finish()) if ended else ()),
            *self._outlet.finish(),
        ):
            yield chunk
        yield self._trailer(ended=ended)

    async def _of_windows(self) -> AsyncGenerator[list[bytes], None]:
        """Yield the chunks that each window makes."""
        for number in count(self._first):
            chunks = None if self._outlet.full else await self._content.window(number, self._made)
            if chunks is None:
                return
            yield chunks

    def _made(self, window: bytes) -> list[bytes]:
        return self._outlet.feed(self._decoder.feed(window))

    def _trailer(self, *, ended: bool) -> ContentTrailer:
        passed = self._outlet.passed if ended else None
        total = self._content.size if self._identity else passed
        short = {DecodingWarning.SHORT} if self._content.short else set()
        warnings = tuple(sorted(self._decoder.warnings | short))
        return ContentTrailer(self._outlet.size, self._outlet.sha256(), warnings, total)


async def _one_ahead(steps: AsyncGenerator[list[bytes], None]) -> AsyncGenerator[list[bytes], None]:
    """Yield what `steps` yields, each made while the one before is used."""
    coming = asyncio.ensure_future(anext(steps, None))
    try:
        while (made := await coming) is not None:
            coming = asyncio.ensure_future(anext(steps, None))
            yield made
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await steps.aclose()

"""Which contents are being read: each is there once, from its first reader until its last has gone and it is committed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from mailsync_grpc.content.names import Entry
from mailsync_grpc.content.shared import SharedContent
from mailsync_grpc.metrics import CONTENT_CACHE_REQUESTS


class Sharing:
    """The contents of one event loop."""

    def __init__(self) -> None:
        self._shared: dict[bytes, SharedContent] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def share(self, entry: Entry, make: Callable[[], SharedContent]) -> AsyncIterator[SharedContent]:
        """Yield the content of an entry, opened; one that nobody reads yet is made."""
        joined = self._shared.get(entry.name)
        content = joined or make()
        self._shared[entry.name] = content
        content.readers += 1
        try:
            await content.part()
            result = "hit" if content.cached else "joined" if joined else "miss"
            CONTENT_CACHE_REQUESTS.labels(result).inc()
            yield content
        finally:
            content.readers -= 1
            if not content.readers and content.cached:
                self._in_background(self._release(content))
            elif not content.readers:
                self._forget(content)

    async def close(self) -> None:
        """Return once what nobody reads any more is closed."""
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _release(self, content: SharedContent) -> None:
        """Forget content that nobody reads any more once it is committed; until then it may be joined."""
        await content.settled()
        if not content.readers and self._shared.get(content.entry.name) is content:
            self._forget(content)

    def _forget(self, content: SharedContent) -> None:
        del self._shared[content.entry.name]
        self._in_background(content.close())

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

"""One content while anyone reads it: fetched once, by whoever is furthest, for all.

Callers of one content share a `SharedContent` and ask it for windows by number. A window that was fetched before comes
from the file; the next one is fetched from the mail server by the first who asks, and appended to the file. So the
fetch follows its fastest reader and runs ahead of them by a few windows, no connection is held while they pause, and
memory holds those windows and one a caller however large the content is. Each step runs in a task of its own under one lock: a caller that is
cancelled stops waiting, and the step goes on for the others.

The file becomes a cache entry when the end was reached and no octet that the server declared is missing. Where there
is no file (cache off, disk full, entry found damaged while it was being read), windows come from the server one by one.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from mailsync_grpc.content.cache import Cache
from mailsync_grpc.content.drafts import Draft
from mailsync_grpc.content.names import Entry
from mailsync_grpc.content.parts import Part
from mailsync_grpc.content.sealed import CHUNK, CorruptEntryError, SealedFile
from mailsync_grpc.content.threads import Threads
from mailsync_grpc.errors import QuotaExceededError
from mailsync_grpc.metrics import CONTENT_BYTES, CONTENT_NOT_CACHED

WINDOW = 8 * CHUNK
"""Octets of one fetch: 512 KiB. A server takes a while to begin each answer, and memory holds a few of them a download."""
MAX_CONTENT = 1 << 30
"""A server that sends more of one part than this is not believed."""

_FROM_CACHE, _FROM_SERVER = (CONTENT_BYTES.labels(source) for source in ("cache", "server"))

T = TypeVar("T")
Windows = Callable[[int, int, int], AsyncGenerator[bytes, None]]
"""Yields the content from an offset on in windows of a size, thought to end at the third, as `Source.windows` does."""


class SharedContent:
    """One section of one message. `readers` is kept by who hands it out, who calls `close` after the last.

    `cached` tells that it is whole on disk, so that nothing more is asked of the mail server.
    """

    def __init__(
        self,
        entry: Entry,
        cache: Cache,
        threads: Threads,
        locate: Callable[[], Awaitable[Part]],
        windows: Windows,
    ) -> None:
        self.readers = 0
        self.cached = False
        self.size: int | None = None
        self.entry = entry
        self._cache = cache
        self._threads = threads
        self._locate = locate
        self._windows = windows
        self._runs: dict[int, AsyncGenerator[bytes, None]] = {}  # by where they go on
        self._part: Part | None = None
        self._file: SealedFile | None = None
        self._draft: Draft | None = None
        self._reached = 0
        self._lock = asyncio.Lock()
        self._steps: set[asyncio.Task[Any]] = set()

    @property
    def short(self) -> bool:
        """Whether the server sent fewer octets than it declares; known once `size` is."""
        return self.size is not None and self._declared is not None and self.size < self._declared

    @property
    def _declared(self) -> int | None:
        """Octets that the server says there are, where it does."""
        return self._part.size if self._part else None

    async def part(self) -> Part:
        """Return what is known of the part, found in the cache or else asked of the server."""
        return self._part if self._part is not None else await self._step(self._open())

    async def window(self, number: int, use: Callable[[bytes], T]) -> T | None:
        """Return what `use` makes of window `number` in a thread, None beyond the end.

        A window is shorter than WINDOW only at the end.
        """
        return await self._step(self._window(number * WINDOW, use))

    async def settled(self) -> None:
        """Return once nothing is under way, the commit of what became whole included."""
        while self._steps:
            await asyncio.wait(self._steps)

    async def close(self) -> None:
        """Release what is held; a file that did not become whole is deleted."""
        await self.settled()
        await self._end_runs()
        await self._forget_file()

    async def _step(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.shield(self._begin_step(work))

    def _begin_step(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._steps.add(task)
        task.add_done_callback(self._end_step)
        return task

    def _end_step(self, task: asyncio.Task[Any]) -> None:
        self._steps.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if the caller has gone

    async def _open(self) -> Part:
        async with self._lock:
            if self._part is not None:
                return self._part
            cached = await self._threads.run(self._cache.find, self.entry)
            if cached is not None:
                self.cached, self._file, self.size = True, cached.file, cached.file.size
                self._part = cached.part
                return cached.part
            part = await self._locate()
            self._draft = await self._threads.run(self._cache.draft, self.entry, part)
            self._file = self._draft.file if self._draft else None
            self._part = part
            return part

    async def _window(self, offset: int, use: Callable[[bytes], T]) -> T | None:
        async with self._lock:
            if self.size is not None and offset >= self.size:
                return None
            if self._file is not None and offset < self._file.size:
                try:
                    return await self._threads.run(self._read, self._file, offset, use)
                except (CorruptEntryError, OSError):
                    await self._forget_file(damaged=True)
            return await self._next(offset, use)

    def _read(self, file: SealedFile, offset: int, use: Callable[[bytes], T]) -> T:
        data = file.read(offset, WINDOW)
        _FROM_CACHE.inc(len(data))
        return use(data)

    async def _next(self, offset: int, use: Callable[[bytes], T]) -> T | None:
        if offset >= MAX_CONTENT and offset > self._reached:
            return None  # begins beyond anything there can be
        if offset >= MAX_CONTENT:
            raise QuotaExceededError(f"the mail server sends more than {MAX_CONTENT} octets of one part")
        data = await self._fetch_whole(offset)
        _FROM_SERVER.inc(len(data))
        # Nothing at an offset that was never reached tells only that the content ends before it.
        if len(data) < WINDOW and (data or offset == self._reached):
            self.size = offset + len(data)
        self._reached = max(self._reached, offset + len(data))
        draft = self._draft if self._draft and offset == self._draft.file.size else None
        # Kept and used in one go, since handing it from thread to thread costs as much as either.
        kept, used = await self._threads.run(
            lambda: (draft is not None and self._cache.append(draft, data), use(data) if data else None)
        )
        if draft is not None:
            await self._keep(draft, kept=kept)
        return used

    async def _fetch_whole(self, offset: int) -> bytes:
        """Return a window; what is missing of the declared size is asked for once more before it counts as missing."""
        declared = self._declared or 0
        data = await self._of_run(offset)
        while data and len(data) < WINDOW and offset + len(data) < declared:
            async with aclosing(self._windows(offset + len(data), WINDOW - len(data), 0)) as again:
                more = await anext(again)
            if not more:
                break
            data += more
        return data

    async def _of_run(self, offset: int) -> bytes:
        """Return the next window of the run that goes on at `offset`, or the first of a new one."""
        run = self._runs.pop(offset, None)
        data = await anext(run, None) if run else None
        if run is None or data is None:
            run = self._windows(offset, WINDOW, self._declared or 0)
            data = await anext(run)
        await self._end_runs(but=max(1, self.readers) - 1, at=offset + len(data))
        self._runs[offset + len(data)] = run
        return data

    async def _end_runs(self, but: int = 0, at: int | None = None) -> None:
        """End the run that goes on `at` a place, and the oldest of the others, so that `but` are left."""
        oldest = [offset for offset in self._runs if offset != at]
        for offset in [*(self._runs.keys() & {at}), *oldest[: max(0, len(oldest) - but)]]:
            await self._runs.pop(offset).aclose()

    async def _keep(self, draft: Draft, *, kept: bool) -> None:
        """Go on with a file after its last window was `kept`, or was not."""
        if not kept:
            await self._forget_file()
        elif self.short:
            self._draft = None
            CONTENT_NOT_CACHED.labels("short").inc()
            await self._threads.run(self._cache.discard, draft)
        elif draft.file.size == self.size:  # the end may be known from a caller who began behind what is kept
            self._draft, self.cached = None, True
            # Nobody waits for the disk: who comes before the commit is served from the open file.
            self._begin_step(self._threads.run(self._cache.commit, draft))

    async def _forget_file(self, *, damaged: bool = False) -> None:
        file, draft = self._file, self._draft
        self._file = self._draft = None
        self.cached = False
        if draft is not None:
            await self._threads.run(self._cache.discard, draft)
        elif damaged:
            await self._threads.run(self._cache.drop, self.entry)
        if file is not None:
            file.close()

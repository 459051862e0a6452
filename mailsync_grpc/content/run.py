"""Windows of one section, read one after the other on one connection while somebody takes them.

A server that is asked for octets from the middle of a message reads it from the beginning, unless the last thing it was
asked on that connection was what stands before. Downloads that took turns on a few connections window by window would
make it read everything again for every window. So a download keeps its connection for a run of windows, the next one
being fetched while the last one is delivered. A reader that is slow to take them loses the connection to whoever waits,
and begins a new run later; so does, after `RUN_OCTETS`, one that is fast.
"""

import asyncio
import threading
from collections.abc import Callable

from mailsync_grpc.imap.sessions import Reading

PATIENCE = 0.1
"""Seconds that a connection waits for a reader."""
RUN_OCTETS = 16 << 20
"""Octets after which others get their turn."""
Fetch = Callable[[Reading, int, int], bytes]
"""Returns octets from an offset (first) on, at most so many (second)."""


class Run:
    """One run from `offset` on, in windows of `size` octets. `read` runs in a thread, all else on the event loop."""

    def __init__(self, fetch: Fetch, offset: int, size: int) -> None:
        self._fetch = fetch
        self._offset = offset
        self._end = offset + RUN_OCTETS
        self._size = size
        self._loop = asyncio.get_running_loop()
        self._fetched: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._wanted = threading.Semaphore(2)  # two windows may be fetched ahead of who takes them
        self._stopped = False

    def read(self, connection: Reading) -> None:
        """Fetch windows until the content or the run ends; begun again on another connection, go on from there."""
        while self._offset < self._end and self._wanted.acquire(timeout=PATIENCE) and not self._stopped:
            try:
                data = self._fetch(connection, self._offset, self._size)
            except BaseException:
                self._wanted.release()  # whoever begins again need not wait
                raise
            self._offset = self._offset + len(data) if len(data) == self._size else self._end
            self._loop.call_soon_threadsafe(self._fetched.put_nowait, data)

    async def take(self) -> bytes | None:
        """Return the next window, None when the run is over."""
        data = await self._fetched.get()
        self._wanted.release()
        return data

    def over(self) -> None:
        """Let who takes know, once `read` has returned or failed."""
        self._fetched.put_nowait(None)

    def stop(self) -> None:
        """Fetch no more."""
        self._stopped = True
        self._wanted.release()

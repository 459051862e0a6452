"""Windows of one section, read one after the other on one connection while somebody takes them.

A server that is asked for octets from the middle of a message reads it from the beginning, unless the last thing it was
asked on that connection was what stands before. Downloads that took turns on a few connections window by window would
make it read everything again for every window. So a download keeps its connection for a run of windows, the next ones
being asked for before the last one is delivered, a few when it has shown that it takes them. A reader that is slow to
take them loses the connection to whoever waits, and begins a new run later; so does, after `RUN_OCTETS`, one that is
fast.
"""

import asyncio
import threading
from collections.abc import Callable

from mailsync_grpc.imap.reading import Reading, Windows

PATIENCE = 0.1
"""Seconds that a connection waits for a reader."""
RUN_OCTETS = 16 << 20
"""Octets after which others get their turn."""
AHEAD = 6
"""Windows that may be on their way or wait to be taken: 3 MiB, what a link of 400 Mbit/s holds in 60 ms."""
Open = Callable[[Reading], Windows]
"""Returns what asks for windows of the section on a connection."""


class Run:
    """One run from `offset` on, in windows of `size` octets. `read` runs in a thread, all else on the event loop.

    `expected` is where the section is thought to end: beyond it nothing is asked for ahead.
    """

    def __init__(self, open_windows: Open, offset: int, size: int, expected: int) -> None:
        self._open_windows = open_windows
        self._offset = offset
        self._end = offset + RUN_OCTETS
        self._size = size
        self._expected = expected
        self._loop = asyncio.get_running_loop()
        self._fetched: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._asked = offset
        self._wanted = threading.Semaphore(1)  # windows that may be asked for
        self._ahead = 1  # how many that are while none is on its way or waits
        self._stopped = False

    def read(self, connection: Reading) -> None:
        """Fetch windows until the content or the run ends; begun again on another connection, go on from there."""
        self._asked = self._offset
        try:
            with self._open_windows(connection) as windows:
                while self._ask(windows):
                    data = windows.take()
                    if len(data) < self._size:
                        windows.end()  # what the server has still to say of it comes before it counts as the last
                    self._give(data)
        finally:
            self._forgo()

    def expect_nothing(self) -> None:
        """Ask for nothing ahead any more."""
        self._expected = 0

    async def take(self) -> bytes | None:
        """Return the next window, None when the run is over."""
        data = await self._fetched.get()
        grows = self._ahead < AHEAD
        self._ahead += grows
        self._wanted.release(1 + grows)
        return data

    def over(self) -> None:
        """Let who takes know, once `read` has returned or failed."""
        self._fetched.put_nowait(None)

    def stop(self) -> None:
        """Fetch no more."""
        self._stopped = True
        self._wanted.release()

    def _ask(self, windows: Windows) -> bool:
        """Ask for all windows that may be asked for; whether any is on its way."""
        while self._asked < self._end and self._may_ask():
            self._asked += self._size
            windows.ask(self._asked - self._size, self._size)
        return self._asked > self._offset and not self._stopped

    def _may_ask(self) -> bool:
        """Whether one more may be asked for: the first one if it is wanted soon, others if they are wanted now."""
        first = self._asked == self._offset
        if not first and self._asked >= self._expected:
            return False
        return self._wanted.acquire(timeout=PATIENCE if first else 0) and not self._stopped

    def _give(self, data: bytes) -> None:
        """Hand a window to who takes; a short one is the last."""
        self._offset += len(data)
        if len(data) < self._size:
            self._asked = self._end = self._offset
        self._loop.call_soon_threadsafe(self._fetched.put_nowait, data)

    def _forgo(self) -> None:
        """Let others be asked for in the place of those that were asked for in vain."""
        if self._asked > self._offset:
            self._wanted.release((self._asked - self._offset) // self._size)

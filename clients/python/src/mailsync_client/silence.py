"""Notices silence: a dead connection reports no error, it only stops saying anything.

A blocking read cannot look at the clock, so one thread for each stream does. It sleeps until the earliest moment at which
the reader could have waited too long, which makes it wake about once per `limit`, however many reads there are.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self


class SilenceWatch:
    """Calls `expire` once, from a thread of its own, when one `waiting()` block lasts longer than `limit` seconds.

    Time outside such blocks does not count: a slow consumer is not a silent server.
    """

    def __init__(self, limit: float, expire: Callable[[], object]) -> None:
        self._limit = limit
        self._expire = expire
        self._waiting_since: float | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mailsync-silence", daemon=True)
        self.expired = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The time of one blocking read."""
        self._waiting_since = time.monotonic()
        try:
            yield
        finally:
            self._waiting_since = None

    def _run(self) -> None:
        pause = self._limit
        while not self._closed.wait(pause):
            since = self._waiting_since
            pause = self._limit if since is None else since + self._limit - time.monotonic()
            if pause <= 0:
                self.expired = True
                self._expire()
                return

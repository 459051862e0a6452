"""How fast events are committed and delivered, over the last minute: a row of readings in memory, and no more than that.

A rate is taken from the oldest reading within the minute to now, so it holds from the first seconds on and forgets a
burst after a minute.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, NoReturn

WINDOW: Final = 60.0
EVERY: Final = 5.0


class Counts(NamedTuple):
    """Events committed and events delivered to streams, as counted so far."""

    committed: int
    delivered: int


class Rates:
    """Rates of what `read` counts. `clock` is monotonic, in seconds."""

    def __init__(self, read: Callable[[], Counts], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._readings = deque([(clock(), read())])

    async def follow(self) -> NoReturn:
        """Take a reading again and again."""
        while True:
            await asyncio.sleep(EVERY)
            self.sample()

    def sample(self) -> None:
        """Take a reading, and forget those that the window has passed but for one at its edge."""
        now = self._clock()
        self._readings.append((now, self._read()))
        while self._readings[1][0] <= now - WINDOW:
            self._readings.popleft()

    def per_second(self) -> tuple[float, float]:
        """Return events committed and events delivered per second."""
        then, before = self._readings[0]
        seconds = self._clock() - then
        if seconds <= 0:
            return 0.0, 0.0
        now = self._read()
        return (now.committed - before.committed) / seconds, (now.delivered - before.delivered) / seconds

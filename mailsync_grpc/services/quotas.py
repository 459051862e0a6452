"""What one caller may use: calls per second, by a bucket of tokens that fills steadily, streams open and changes waiting.

Callers are few (one for each access token), so what is counted of each is kept for the life of the process.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from mailsync_grpc.config import QuotaConfig
from mailsync_grpc.errors import QuotaExceededError, RateExceededError


@dataclass(slots=True)
class Bucket:
    """Holds up to `burst` calls and fills by `rate` a second. Times are seconds of any steady clock."""

    rate: float
    burst: float
    level: float
    filled: float

    def take(self, now: float) -> float:
        """Take a call and return 0.0, or leave it and return the seconds until there is one."""
        self.level = min(self.burst, self.level + (now - self.filled) * self.rate)
        self.filled = now
        if self.level < 1:
            return (1 - self.level) / self.rate
        self.level -= 1
        return 0.0


class Quotas:
    """The quotas of every caller, by its name. Belongs to one event loop."""

    def __init__(self, config: QuotaConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self.streams: Counter[str] = Counter()
        """Streams open now, by caller."""
        self._changes: Counter[str] = Counter()

    def take(self, caller: str) -> None:
        """Count a call. Raises RateExceededError."""
        rate, burst, now = self._config.calls_per_second, self._config.burst, self._clock()
        bucket = self._buckets.setdefault(caller, Bucket(rate, burst, burst, now))
        wait = bucket.take(now)
        if wait:
            raise RateExceededError(f"more than {rate:g} calls a second (quota.calls_per_second)", wait)

    def stream(self, caller: str) -> AbstractContextManager[None]:
        """Count a stream while the block runs. Raises QuotaExceededError."""
        limit = self._config.streams
        refusal = f"{limit} streams are open (quota.streams); end one first"
        return _counted(self.streams, caller, limit, refusal)

    def change(self, caller: str) -> AbstractContextManager[None]:
        """Count a call that waits for a change while the block runs. Raises QuotaExceededError."""
        limit = self._config.changes
        refusal = f"{limit} changes wait (quota.changes); repeat it when one has ended"
        return _counted(self._changes, caller, limit, refusal)


@contextmanager
def _counted(open_now: Counter[str], caller: str, limit: int, refusal: str) -> Iterator[None]:
    if open_now[caller] >= limit:
        raise QuotaExceededError(refusal)
    open_now[caller] += 1
    try:
        yield
    finally:
        open_now[caller] -= 1

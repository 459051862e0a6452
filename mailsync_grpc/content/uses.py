"""When cached entries were used last: gathered in memory, written to the index now and then.

A use is later than every use before it, also when the clock was set back meanwhile; else what was used while the clock
was ahead would outlive all that is used from then on.
"""

import threading

import structlog

from mailsync_grpc.errors import StoreFullError
from mailsync_grpc.store.base import Clock
from mailsync_grpc.store.cache_index import CacheIndex

_KEPT = 1_000
_log = structlog.get_logger(__name__)


class Uses:
    """The uses of one cache. Safe for several threads; times are milliseconds."""

    def __init__(self, index: CacheIndex, clock: Clock) -> None:
        self._index = index
        self._clock = clock
        self._lock = threading.Lock()
        self._latest = index.latest()
        self._uses: dict[bytes, int] = {}

    def now(self) -> int:
        """Return the clock's time."""
        return int(self._clock() * 1000)

    def stamp(self) -> int:
        """Return the time of a use that is made now."""
        with self._lock:
            return self._next()

    def add(self, name: bytes) -> None:
        """Note that an entry is used."""
        with self._lock:
            self._uses[name] = self._next()
            full = len(self._uses) >= _KEPT
        if full:
            self.record()

    def record(self) -> None:
        """Write what was noted."""
        with self._lock:
            uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            self._index.touch(uses)
        except StoreFullError as error:
            _log.warning("uses of cached content are not recorded", reason=str(error))

    def _next(self) -> int:
        self._latest = max(self._latest + 1, self.now())
        return self._latest

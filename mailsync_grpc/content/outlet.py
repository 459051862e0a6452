"""The last step of a stream: cut to offset and limit, put into chunks, counted and hashed. Pure."""

import hashlib


class Outlet:
    """Takes octets, gives chunks. `skip` octets are left out, then `limit` sent (0: all); sizes in octets.

    `passed` counts all octets taken, `size` those that are sent.
    """

    def __init__(self, skip: int, limit: int, chunk_size: int) -> None:
        self.passed = 0
        self.size = 0
        self._skip = skip
        self._limit = limit
        self._chunk_size = chunk_size
        self._held = b""
        self._hash = hashlib.sha256()

    @property
    def full(self) -> bool:
        """Whether the limit is reached, so that nothing more is sent."""
        return bool(self._limit) and self.size >= self._limit

    def feed(self, data: bytes) -> list[bytes]:
        """Return the chunks that are complete."""
        wanted = self._cut(data)
        self._hash.update(wanted)
        self.size += len(wanted)
        octets = self._held + wanted
        whole = len(octets) - len(octets) % self._chunk_size
        self._held = octets[whole:]
        return [octets[start : start + self._chunk_size] for start in range(0, whole, self._chunk_size)]

    def finish(self) -> list[bytes]:
        """Return the last chunk, if octets are left."""
        held, self._held = self._held, b""
        return [held] if held else []

    def sha256(self) -> bytes:
        """Return the SHA-256 of all octets sent."""
        return self._hash.digest()

    def _cut(self, data: bytes) -> bytes:
        start = max(0, self._skip - self.passed)
        self.passed += len(data)
        end = start + self._limit - self.size if self._limit else len(data)
        return data[start:end]

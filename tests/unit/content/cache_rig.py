"""A cache that can be opened anew, with a clock and a disk of its own, and short ways to fill it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mailsync_grpc.content.cache import Cache
from mailsync_grpc.content.cleaning import Limits
from mailsync_grpc.content.names import Entry, entry_of
from mailsync_grpc.content.parts import Part
from mailsync_grpc.content.values import MessageKey
from mailsync_grpc.metrics import CONTENT_NOT_CACHED
from tests.unit.content.fakes import KEY, message


def counted(counter: Any) -> Callable[[], float]:
    before = counter._value.get()
    return lambda: float(counter._value.get() - before)


def not_cached(reason: str) -> Callable[[], float]:
    return counted(CONTENT_NOT_CACHED.labels(reason))


PART = Part("1", "text/plain", "utf-8", "base64", 4, "a name")


class CacheRig:
    """A cache that can be opened anew, with a clock and a disk of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = 1_000.0
        self.disk = (0, 1 << 40)
        self.limits = Limits(1 << 20, 0.85)
        self.cache = self.open()

    def open(self) -> Cache:
        return Cache(self.directory, KEY, self.limits, clock=lambda: self.now, disk=lambda _: self.disk)

    def reopen(self, limits: Limits | None = None) -> None:
        self.cache.close()
        self.limits = limits or self.limits
        self.cache = self.open()

    def put(self, entry: Entry, content: bytes = b"text", part: Part = PART) -> bool:
        self.now += 1
        draft = self.cache.draft(entry, part)
        assert draft is not None
        assert self.cache.append(draft, content)
        kept = self.cache.commit(draft)
        draft.file.close()
        return kept

    def get(self, entry: Entry) -> bytes | None:
        self.now += 1
        found = self.cache.find(entry)
        if found is None:
            return None
        try:
            return found.file.read(0, found.file.size)
        finally:
            found.file.close()

    def files(self) -> list[Path]:
        index = self.directory / "index"
        return [path for path in self.directory.rglob("*") if path.is_file() and index not in path.parents]


def entry(uid: int = 1, section: str = "1", source: MessageKey | None = None) -> Entry:
    return entry_of(KEY, source or message(uid), section)

"""Cached content on disk: found by keyed name, written beside and renamed when whole, cleaned least recently used first.

Invariants. A file under its final name is whole. Every such file is in the index: it is recorded before the rename and
forgotten after the deletion, so a crash leaves a record without a file, never a file without a record (but for one that
the system lets nobody delete). A record without a file is a miss; so is a file that does not open, holds less than was
declared or has no record: it is deleted. What is half written lies apart (`drafts`). Nothing is synced to disk: what a power cut spoils
does not open. Directories that somebody deletes are made again when they are next needed; what else lies in the cache's
directory is left alone.

All methods block; they may be called from any thread.
"""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from mailsync_grpc.content.cleaning import Limits, Usage, octets_to_free
from mailsync_grpc.content.drafts import Disk, Draft, Drafts, delete, is_short, tell_not_cached
from mailsync_grpc.content.names import ANY_ENTRIES, Entry, Span, path_of
from mailsync_grpc.content.parts import Part
from mailsync_grpc.content.sealed import CorruptEntryError, SealedFile
from mailsync_grpc.content.uses import Uses
from mailsync_grpc.errors import StoreFullError
from mailsync_grpc.metrics import (
    CONTENT_CACHE_EVICTED_AGE,
    CONTENT_CACHE_EVICTED_BYTES,
    CONTENT_CACHE_EVICTIONS,
    CONTENT_NOT_CACHED,
)
from mailsync_grpc.store import failpoints
from mailsync_grpc.store.base import Clock
from mailsync_grpc.store.cache_index import CacheIndex, Owner, Use

_BATCH = 256
_log = structlog.get_logger(__name__)


def disk_usage(path: Path) -> tuple[int, int]:
    """Return the octets used and free on the file system of `path`, as df counts them."""
    _, used, free = shutil.disk_usage(path)
    return used, free


@dataclass(frozen=True, slots=True)
class Cached:
    """A whole entry, open; `part` describes it."""

    file: SealedFile
    part: Part


class Cache:
    """The cache in one directory, used by one process. `max_bytes` 0 keeps nothing."""

    def __init__(
        self,
        directory: Path,
        key: bytes,
        limits: Limits,
        *,
        clock: Clock = time.time,
        disk: Disk = disk_usage,
    ) -> None:
        """Open the cache; `key` is 32 bytes and encrypts the files."""
        self._directory = directory
        self._key = key
        self._limits = limits
        self._disk = disk
        # Held while files and records change together, so that a cleaning never sees one without the other.
        self._changing = threading.Lock()
        self._cleaning = threading.Lock()
        self._removed_accounts: set[int] = set()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._index = CacheIndex(directory / "index")
        self._uses = Uses(self._index, clock)
        self._drafts = Drafts(directory / "tmp", key, limits, disk)
        if self._index.created:
            for entries in directory.glob(ANY_ENTRIES):
                shutil.rmtree(entries)

    def close(self) -> None:
        """Record the last uses and release the index."""
        self._uses.record()
        self._index.close()

    def find(self, entry: Entry) -> Cached | None:
        """Return an entry, open, or None. One that cannot be read, is not whole or not recorded is deleted."""
        file = self._open(entry)
        if file is None:
            return None
        part = Part(*json.loads(file.description))
        recorded = entry.name in self._index
        if recorded and not is_short(file, part):
            self._uses.add(entry.name)
            return Cached(file, part)
        file.close()
        if recorded:
            self.drop(entry)
        else:  # purged a moment ago, or put back by hand
            delete(self._directory / entry.path)
        return None

    def _open(self, entry: Entry) -> SealedFile | None:
        try:
            return SealedFile.open(self._directory / entry.path, self._key, entry.name)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("cached content cannot be opened", reason=error.strerror)
            return None
        except CorruptEntryError:
            self.drop(entry)
            return None

    def draft(self, entry: Entry, part: Part) -> Draft | None:
        """Begin an entry; None when the cache keeps nothing or the disk does not let it."""
        return self._drafts.begin(entry, part) if self._limits.max_bytes else None

    def append(self, draft: Draft, data: bytes) -> bool:
        """Add to a draft; False when that cannot be: the disk is full, or the content too large for the cache."""
        return self._drafts.append(draft, data)

    def discard(self, draft: Draft) -> None:
        """Give a draft up. Its file stays open for who reads it."""
        self._drafts.end(draft)

    def commit(self, draft: Draft) -> bool:
        """Make a draft an entry, or delete it; False when it could not be kept, as one shorter than declared never is."""
        try:
            total = self._commit(draft)
        except (OSError, StoreFullError) as error:
            tell_not_cached(error)
            return False
        finally:
            self._drafts.end(draft)
        if total > self._limits.max_bytes:
            self.clean()
        return total > 0

    def _commit(self, draft: Draft) -> int:
        """Return the octets of all entries when the draft is one, 0 when it is not to be."""
        if is_short(draft.file, draft.part):
            CONTENT_NOT_CACHED.labels("short").inc()
            return 0
        entry, target = draft.entry, self._directory / draft.entry.path
        draft.file.finish()
        failpoints.hit("cache_finished")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._changing:
            if not draft.wanted or entry.owner.account in self._removed_accounts:
                return 0
            total = self._index.put(entry.name, entry.owner, draft.file.stored, self._uses.stamp())
            failpoints.hit("cache_recorded")
            draft.path.replace(target)
            failpoints.hit("cache_renamed")
        return total

    def drop(self, entry: Entry) -> None:
        """Delete one entry that is not what was written."""
        _log.warning("cached content is not what was written; fetching it anew")
        with suppress(StoreFullError):  # the file is gone, its record goes when the cache is cleaned
            self._delete([entry.name])

    def purge_account(self, account: int) -> None:
        """Delete all entries of an account that is removed, and keep none of it from now on."""
        with self._changing:
            self._removed_accounts.add(account)
        self.purge((account,))

    def purge(self, scope: Sequence[int | bytes]) -> tuple[int, int]:
        """Delete the entries within `scope`, the leading fields of an Owner, none for all; how many, and their octets.

        What of it is being written does not become an entry.
        """
        self._refuse(lambda owner: owner[: len(scope)] == tuple(scope))
        entries = octets = 0
        while names := self._index.owned(scope, _BATCH):
            octets += self._delete(names)
            entries += len(names)
        return entries, octets

    def purge_between(self, spans: Sequence[Span]) -> None:
        """As `purge`, of all owners within `spans`, whose messages are gone."""
        self._refuse(lambda owner: any(span.first <= owner <= span.last for span in spans))
        for span in spans:
            while names := self._index.between(span.first, span.last, _BATCH):
                self._delete(names)

    def _refuse(self, within: Callable[[Owner], bool]) -> None:
        with self._changing:
            self._drafts.refuse(within)

    def mark(self) -> bytes:
        """Return the mark kept last, nothing before."""
        return self._index.mark()

    def set_mark(self, mark: bytes) -> None:
        """Keep a mark beside the entries. Raises StoreFullError."""
        self._index.set_mark(mark)

    def holds(self) -> tuple[int, int]:
        """Return how many entries there are, and their octets."""
        return self._index.count(), self._index.total()

    def clean(self) -> int:
        """Delete least recently used entries while a limit is passed; octets freed, 0 when another thread does it."""
        if not self._cleaning.acquire(blocking=False):
            return 0
        try:
            return self._clean()
        finally:
            self._cleaning.release()

    def _clean(self) -> int:
        self._uses.record()
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        usage = Usage(self._index.total(), *self._disk(self._directory))
        to_free = octets_to_free(usage, self._limits)
        limit = "size" if usage.cache > self._limits.max_bytes else "disk"
        freed = 0
        while freed < to_free:
            uses = self._index.oldest(to_free - freed, _BATCH)
            if not uses:
                break
            freed += self._delete([use.name for use in uses])
            self._count_evictions(uses, limit)
        if freed:
            CONTENT_CACHE_EVICTED_BYTES.inc(freed)
            _log.info("content cache cleaned", freed=freed, limit=limit)
        return freed

    def _count_evictions(self, uses: Sequence[Use], limit: str) -> None:
        CONTENT_CACHE_EVICTIONS.labels(limit).inc(len(uses))
        now = self._uses.now()
        for use in uses:
            CONTENT_CACHE_EVICTED_AGE.observe(max(0, now - use.last) / 1000)

    def _delete(self, names: Iterable[bytes]) -> int:
        with self._changing:
            for name in names:
                delete(self._directory / path_of(name))
            failpoints.hit("cache_deleted")
            return self._index.remove(names)

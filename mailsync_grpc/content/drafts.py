"""Entries being written: in a directory of their own, served to nobody but who is there already.

What a crash left half written lies in that directory and is deleted at the next start. What is purged while it is being
written is not wanted any more, and does not become an entry.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from mailsync_grpc.content.cleaning import Limits, disk_is_full, fits
from mailsync_grpc.content.names import Entry
from mailsync_grpc.content.parts import Part
from mailsync_grpc.content.sealed import SealedFile
from mailsync_grpc.errors import StoreFullError
from mailsync_grpc.metrics import CONTENT_NOT_CACHED
from mailsync_grpc.store import failpoints
from mailsync_grpc.store.cache_index import Owner

_FULL = (errno.ENOSPC, errno.EDQUOT)
_log = structlog.get_logger(__name__)

Disk = Callable[[Path], tuple[int, int]]
"""Tells the octets used and free on the file system of a path."""


@dataclass(eq=False, slots=True)
class Draft:
    """An entry being written: readable as far as it goes. `wanted` is for `Drafts` and its owner alone."""

    entry: Entry
    path: Path
    file: SealedFile
    part: Part
    wanted: bool = True


class Drafts:
    """The drafts of one cache. Methods block; `refuse` and looks at `Draft.wanted` need a lock of the caller's."""

    def __init__(self, directory: Path, key: bytes, limits: Limits, disk: Disk) -> None:
        self._directory = directory
        self._key = key
        self._limits = limits
        self._disk = disk
        self._drafts: set[Draft] = set()
        shutil.rmtree(directory, ignore_errors=True)

    def begin(self, entry: Entry, part: Part) -> Draft | None:
        """Begin an entry; None when the disk does not let it."""
        path = self._directory / os.urandom(16).hex()
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = SealedFile.create(path, self._key, entry.name, json.dumps(part).encode())
        except OSError as error:
            tell_not_cached(error)
            delete(path)
            return None
        draft = Draft(entry, path, file, part)
        self._drafts.add(draft)
        return draft

    def append(self, draft: Draft, data: bytes) -> bool:
        """Add to a draft; False when that cannot be: the disk is full, or the content too large for the cache."""
        try:
            self._check_room()
            draft.file.append(data)
            failpoints.hit("in_cache_write")
            fitting = fits(draft.file.stored, self._limits)
        except OSError as error:
            tell_not_cached(error)
            return False
        if not fitting:
            CONTENT_NOT_CACHED.labels("too_large").inc()
        return fitting

    def refuse(self, within: Callable[[Owner], bool]) -> None:
        """Want no draft any more whose owner is `within`."""
        for draft in self._drafts.copy():
            draft.wanted = draft.wanted and not within(draft.entry.owner)

    def end(self, draft: Draft) -> None:
        """Delete a draft, unless it has another name by now. Its file stays open for who reads it."""
        self._drafts.discard(draft)
        delete(draft.path)

    def _check_room(self) -> None:
        """Raise OSError as a full disk does; else content would fill it, to be evicted by the next cleaning."""
        if disk_is_full(*self._disk(self._directory), self._limits):
            raise OSError(errno.ENOSPC, "the disk is in use above content.max_disk_use")


def is_short(file: SealedFile, part: Part) -> bool:
    """Whether a file holds less than the mail server declares of the part."""
    return part.size is not None and file.size < part.size


def delete(path: Path) -> None:
    """Delete a file if it is there. One that cannot be deleted must not keep others."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("cached content cannot be deleted", reason=error.strerror)


def tell_not_cached(error: OSError | StoreFullError) -> None:
    """Tell the operator that content goes to its caller without being kept."""
    full = isinstance(error, StoreFullError) or error.errno in _FULL
    CONTENT_NOT_CACHED.labels("disk_full" if full else "disk_error").inc()
    _log.warning("content is not cached", reason=getattr(error, "strerror", None) or str(error))

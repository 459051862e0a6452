"""The content cache's index: size and last use of each cached file, in a small LMDB environment of this node's own.

It is no part of the mirror (PostgreSQL has none of it) and can be lost: a cache without its index is emptied and filled
again. Four tables: `entry` (name → last use, size, owner), `use` (last use, name; least recently used first), `owner`
(account, folder, UIDVALIDITY, UID, name; so that what belongs together is found together), `total` (octets, and what else is single).
"""

import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lmdb

from mailsync_grpc.errors import StoreFullError
from mailsync_grpc.model.ids import ID_BYTES

MAP_BYTES = 16 << 30
"""Size of the sparse map: some 50 million entries, more than a disk's cap lets in."""

_SCHEMA = b"1"
_OWNER = struct.Struct(f">I{ID_BYTES}sII")
_ENTRY = struct.Struct(f">QQ{_OWNER.size}s")
_NUMBER = struct.Struct(">Q")
_TOTAL = b"octets"
_VERSION = b"schema"
_MARK = b"mark"
_DAMAGED = (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError, lmdb.PageNotFoundError)


class Owner(NamedTuple):
    """Whose an entry is: account number, folder id (10 bytes), UIDVALIDITY, UID."""

    account: int
    folder: bytes
    uid_validity: int
    uid: int


class Use(NamedTuple):
    """An entry's name and its last use, in milliseconds."""

    name: bytes
    last: int


class CacheIndex:
    """The index. Times are milliseconds. Safe for several threads.

    Every change is one durable transaction and raises StoreFullError when it cannot be written.
    """

    def __init__(self, path: Path, map_bytes: int = MAP_BYTES) -> None:
        """Open the index in directory `path`; `created` tells that it is new, so that no cached file is known."""
        try:
            self.created = self._open(path, map_bytes)
        except _DAMAGED:
            # Damaged, or of another version: not worth repairing.
            shutil.rmtree(path, ignore_errors=True)
            self.created = self._open(path, map_bytes)

    def _open(self, path: Path, map_bytes: int) -> bool:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._env: Any = lmdb.open(str(path), map_size=map_bytes, max_dbs=4, mode=0o600)
        try:
            self._entry, self._use, self._owner, self._total = (
                self._env.open_db(table) for table in (b"entry", b"use", b"owner", b"total")
            )
            return self._is_new()
        except BaseException:
            self._env.close()
            raise

    def _is_new(self) -> bool:
        with self._env.begin() as txn:
            version = txn.get(_VERSION, db=self._total)
        if version not in {None, _SCHEMA}:
            raise lmdb.InvalidError("the index was written by another version")
        if version is None:  # else nothing is written, so that a full disk keeps nobody from starting
            with self._env.begin(write=True) as txn:
                txn.put(_VERSION, _SCHEMA, db=self._total)
        return version is None

    def close(self) -> None:
        """Release the environment."""
        self._env.close()

    def __contains__(self, name: bytes) -> bool:
        """Whether there is an entry of this name."""
        with self._env.begin() as txn:
            return txn.get(name, db=self._entry) is not None

    def total(self) -> int:
        """Return the octets of all entries."""
        with self._env.begin() as txn:
            return self._read_total(txn)

    def count(self) -> int:
        """Return how many entries there are."""
        with self._env.begin() as txn:
            return int(txn.stat(self._entry)["entries"])

    def put(self, name: bytes, owner: Owner, size: int, now: int) -> int:
        """Record an entry of `size` octets used at `now`; the octets of all entries."""
        with self._change() as txn:
            total = self._read_total(txn) - self._forget(txn, name) + size
            self._write(txn, name, _OWNER.pack(*owner), size, now)
            txn.put(_TOTAL, _NUMBER.pack(total), db=self._total)
        return total

    def touch(self, uses: Mapping[bytes, int]) -> None:
        """Record the last use of entries; unknown names are passed over."""
        with self._change() as txn:
            for name, now in uses.items():
                stored = txn.get(name, db=self._entry)
                if stored is not None:
                    _, size, owner = _ENTRY.unpack(stored)
                    self._forget(txn, name)
                    self._write(txn, name, owner, size, now)

    def remove(self, names: Iterable[bytes]) -> int:
        """Forget entries; their octets."""
        with self._change() as txn:
            freed = sum(self._forget(txn, name) for name in names)
            txn.put(_TOTAL, _NUMBER.pack(self._read_total(txn) - freed), db=self._total)
        return freed

    def oldest(self, octets: int, limit: int) -> list[Use]:
        """Return entries, least recently used first, until they make up `octets` or are `limit`."""
        uses: list[Use] = []
        with self._env.begin() as txn:
            for key in _keys(txn.cursor(self._use), b""):
                if octets <= 0 or len(uses) >= limit:
                    break
                uses.append(Use(key[_NUMBER.size :], _NUMBER.unpack_from(key)[0]))
                octets -= _ENTRY.unpack(txn.get(uses[-1].name, db=self._entry))[1]
        return uses

    def latest(self) -> int:
        """Return the last use of the entry that was used last, 0 when there is none."""
        with self._env.begin() as txn:
            cursor = txn.cursor(self._use)
            return int(_NUMBER.unpack_from(cursor.key())[0]) if cursor.last() else 0

    def owned(self, scope: Sequence[int | bytes], limit: int) -> list[bytes]:
        """Return up to `limit` names within `scope`: the leading fields of an Owner, none for all."""
        prefix = b"".join(part if isinstance(part, bytes) else part.to_bytes(4, "big") for part in scope)
        names: list[bytes] = []
        with self._env.begin() as txn:
            for key in _keys(txn.cursor(self._owner), prefix):
                if len(names) >= limit:
                    break
                names.append(key[_OWNER.size :])
        return names

    def between(self, first: Owner, last: Owner, limit: int) -> list[bytes]:
        """Return up to `limit` names of entries of the owners from `first` to `last`, both included."""
        names: list[bytes] = []
        end = _OWNER.pack(*last)
        with self._env.begin() as txn:
            cursor = txn.cursor(self._owner)
            found = cursor.set_range(_OWNER.pack(*first))
            while found and len(names) < limit and cursor.key()[: _OWNER.size] <= end:
                names.append(cursor.key()[_OWNER.size :])
                found = cursor.next()
        return names

    def mark(self) -> bytes:
        """Return what `set_mark` kept, nothing before."""
        with self._env.begin() as txn:
            return bytes(txn.get(_MARK, default=b"", db=self._total))

    def set_mark(self, mark: bytes) -> None:
        """Keep how far the owner of the cache has read what tells of entries that are no longer wanted."""
        with self._change() as txn:
            txn.put(_MARK, mark, db=self._total)

    @contextmanager
    def _change(self) -> Iterator[Any]:
        try:
            with self._env.begin(write=True) as txn:
                yield txn
        except lmdb.Error as error:  # map or disk full
            raise StoreFullError(f"the index of the content cache cannot be written: {error}") from None

    def _write(self, txn: Any, name: bytes, owner: bytes, size: int, now: int) -> None:
        txn.put(name, _ENTRY.pack(now, size, owner), db=self._entry)
        txn.put(_NUMBER.pack(now) + name, b"", db=self._use)
        txn.put(owner + name, b"", db=self._owner)

    def _forget(self, txn: Any, name: bytes) -> int:
        stored = txn.pop(name, db=self._entry)
        if stored is None:
            return 0
        now, size, owner = _ENTRY.unpack(stored)
        txn.delete(_NUMBER.pack(now) + name, db=self._use)
        txn.delete(owner + name, db=self._owner)
        return int(size)

    def _read_total(self, txn: Any) -> int:
        stored = txn.get(_TOTAL, db=self._total)
        return int(_NUMBER.unpack(stored)[0]) if stored else 0


def _keys(cursor: Any, prefix: bytes) -> Iterator[bytes]:
    found = cursor.set_range(prefix) if prefix else cursor.first()
    while found and cursor.key().startswith(prefix):
        yield cursor.key()
        found = cursor.next()

"""A file of content encrypted at rest, written and read in chunks.

Layout: magic, 16 random bytes of salt, length of the description, description, chunks of 64 KiB, end. Description,
chunks and end are sealed one by one with AES-256-GCM (NIST SP 800-38D) under a key of the file's own, derived from the
cache's key and the salt, so that numbered nonces never repeat under one key. The nonce holds what a piece is and its
number, the associated data the entry's name: a piece moved within a file, to another file, or a file moved to
another name does not open. The end holds the content's size; a file without it, or of another length, is not whole.
"""

import hmac
import os
import struct
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK = 64 << 10
"""Octets of content in a sealed chunk."""

_MAGIC = b"MSC1"
_SALT_BYTES = 16
_TAG_BYTES = 16
_SEALED = CHUNK + _TAG_BYTES
_FRONT = struct.Struct(f">4s{_SALT_BYTES}sI")
_END = struct.Struct(">Q")
_END_BYTES = _END.size + _TAG_BYTES
_DESCRIPTION, _CHUNK, _FINAL = range(3)
_MAX_DESCRIPTION = 1 << 20
_CLOSED = -1


class CorruptEntryError(Exception):
    """The file is not what was written under this name; handled inside the cache, where it is a miss."""


class SealedFile:
    """One file, open for reading and, until `finish`, for appending. Safe to read from several threads."""

    def __init__(self, handle: int, cipher: AESGCM, name: bytes, start: int) -> None:
        self._handle = handle
        self._cipher = cipher
        self._name = name
        self._start = start
        self.description = b""
        self.size = 0

    @classmethod
    def create(cls, path: Path, key: bytes, name: bytes, description: bytes) -> Self:
        """Make the file `path`, mode 0600. Raises OSError."""
        salt = os.urandom(_SALT_BYTES)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        file = cls(handle, _cipher(key, salt), name, 0)
        try:
            sealed = file._seal(_DESCRIPTION, 0, description)
            file._start = _FRONT.size + len(sealed)
            _write(handle, _FRONT.pack(_MAGIC, salt, len(sealed)) + sealed)
        except BaseException:
            file.close()
            raise
        file.description = description
        return file

    @classmethod
    def open(cls, path: Path, key: bytes, name: bytes) -> Self:
        """Open a file that was finished. Raises FileNotFoundError, CorruptEntryError, OSError."""
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return cls._opened(handle, key, name)
        except BaseException:
            os.close(handle)
            raise

    @classmethod
    def _opened(cls, handle: int, key: bytes, name: bytes) -> Self:
        front = os.pread(handle, _FRONT.size, 0)
        if len(front) != _FRONT.size or not front.startswith(_MAGIC):
            raise CorruptEntryError
        _, salt, length = _FRONT.unpack(front)
        if length > _MAX_DESCRIPTION:
            raise CorruptEntryError
        file = cls(handle, _cipher(key, salt), name, _FRONT.size + length)
        file.description = file._open(_DESCRIPTION, 0, os.pread(handle, length, _FRONT.size))
        stored = os.fstat(handle).st_size
        file.size = _END.unpack(file._open(_FINAL, 0, os.pread(handle, _END_BYTES, stored - _END_BYTES)))[0]
        if stored != file._start + _stored_length(file.size) + _END_BYTES:
            raise CorruptEntryError
        return file

    @property
    def chunks(self) -> int:
        """Number of whole chunks."""
        return self.size // CHUNK

    @property
    def stored(self) -> int:
        """Octets the file takes on disk."""
        return os.fstat(self._handle).st_size

    def append(self, data: bytes) -> None:
        """Add content; only the last piece may be other than a multiple of CHUNK. Raises OSError (disk full)."""
        assert self.size % CHUNK == 0
        sealed = bytearray(_stored_length(len(data)))
        pieces = zip(_cut(memoryview(data), CHUNK), _cut(memoryview(sealed), _SEALED), strict=True)
        for number, (piece, place) in enumerate(pieces, self.chunks):
            self._cipher.encrypt_into(_nonce(_CHUNK, number), piece, self._name, place)
        _write(self._handle, sealed)
        self.size += len(data)

    def finish(self) -> None:
        """Make the file whole: nothing may be appended any more. Raises OSError."""
        _write(self._handle, self._seal(_FINAL, 0, _END.pack(self.size)))

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` octets of content from `offset`, a multiple of CHUNK. Raises CorruptEntryError."""
        length = max(0, min(length, self.size - offset))
        first = offset // CHUNK
        sealed = os.pread(self._handle, _stored_length(length), self._position(first))
        if len(sealed) != _stored_length(length):
            raise CorruptEntryError  # cut short since it was opened
        return b"".join(
            self._open(_CHUNK, number, piece)
            for number, piece in enumerate(_cut(memoryview(sealed), _SEALED), first)
        )

    def close(self) -> None:
        """Release the file, once: its number may be another's at once."""
        handle, self._handle = self._handle, _CLOSED
        if handle != _CLOSED:
            os.close(handle)

    def _position(self, chunk: int) -> int:
        return self._start + chunk * _SEALED

    def _seal(self, kind: int, number: int, data: bytes) -> bytes:
        return self._cipher.encrypt(_nonce(kind, number), data, self._name)

    def _open(self, kind: int, number: int, sealed: bytes | memoryview) -> bytes:
        try:
            return self._cipher.decrypt(_nonce(kind, number), sealed, self._name)
        except (InvalidTag, ValueError):
            raise CorruptEntryError from None


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(hmac.digest(key, salt, "sha256"))


def _nonce(kind: int, number: int) -> bytes:
    return struct.pack(">IQ", kind, number)


def _stored_length(size: int) -> int:
    return size + -(-size // CHUNK) * _TAG_BYTES


def _cut(octets: memoryview, length: int) -> list[memoryview]:
    return [octets[start : start + length] for start in range(0, len(octets), length)]


def _write(handle: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]

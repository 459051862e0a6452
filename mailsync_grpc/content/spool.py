"""Messages on their way to a mail server: kept on disk, encrypted as cached content is, from the call to the APPEND.

A file is whole and on the disk before the intent that names it is committed, and is removed when that has been carried
out. What a crash left behind, and no open intent names, is deleted when the server starts.
"""

import os
from collections.abc import Container, Iterator
from pathlib import Path

from mailsync_grpc.config import Config
from mailsync_grpc.content.sealed import CHUNK, CorruptEntryError, SealedFile
from mailsync_grpc.errors import StoreCorruptError, StoreFullError
from mailsync_grpc.vault import Vault

_DIRECTORY = "spool"
_PIECE = 16 * CHUNK
_NAME_BYTES = 16


class Draft:
    """A message being received. All methods block."""

    def __init__(self, name: str, path: Path, file: SealedFile) -> None:
        self.name = name
        self._path = path
        self._file = file
        self._rest = bytearray()

    def add(self, octets: bytes) -> None:
        """Add octets. Raises StoreFullError."""
        self._rest += octets
        whole = len(self._rest) // CHUNK * CHUNK
        if whole:
            self._append(bytes(self._rest[:whole]))
            del self._rest[:whole]

    def finish(self) -> None:
        """Make the message whole and durable. Raises StoreFullError."""
        self._append(bytes(self._rest))
        try:
            self._file.finish()
            with self._path.open("rb") as written:
                os.fsync(written.fileno())
            _sync_directory(self._path.parent)
        except OSError as error:
            raise _full(error) from None
        self._file.close()

    def _append(self, octets: bytes) -> None:
        try:
            self._file.append(octets)
        except OSError as error:
            raise _full(error) from None

    def discard(self) -> None:
        """Remove the message, finished or not."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class Spool:
    """The spool of a data directory."""

    def __init__(self, directory: Path, key: bytes) -> None:
        self._directory = directory
        self._key = key

    def create(self) -> Draft:
        """Begin a message under a new name. Raises StoreFullError."""
        name = os.urandom(_NAME_BYTES).hex()
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._directory / name
            return Draft(name, path, SealedFile.create(path, self._key, name.encode(), b""))
        except OSError as error:
            raise _full(error) from None

    def pieces(self, name: str) -> Iterator[bytes]:
        """Return the octets of a message, piece by piece. Raises StoreCorruptError when it is not there whole."""
        try:
            file = SealedFile.open(self._directory / name, self._key, name.encode())
        except (OSError, CorruptEntryError):
            raise StoreCorruptError("the message to be appended is no longer in the spool") from None
        return _read(file)

    def remove(self, name: str) -> None:
        """Remove a message if it is there."""
        (self._directory / name).unlink(missing_ok=True)

    def clean(self, kept: Container[str]) -> None:
        """Remove every message that is not named in `kept`."""
        for path in self._directory.iterdir() if self._directory.is_dir() else ():
            if path.name not in kept:
                path.unlink(missing_ok=True)


def open_spool(config: Config, vault: Vault) -> Spool:
    """Return the spool of the configured data directory."""
    return Spool(config.data_dir / _DIRECTORY, vault.subkey("spool"))


def _read(file: SealedFile) -> Iterator[bytes]:
    try:
        for offset in range(0, file.size, _PIECE):
            yield file.read(offset, _PIECE)
    except CorruptEntryError:
        raise StoreCorruptError("the message to be appended is damaged") from None
    finally:
        file.close()


def _full(error: OSError) -> StoreFullError:
    return StoreFullError(f"the message cannot be kept: {error.strerror}; free disk space")


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

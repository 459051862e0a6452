"""Messages on their way to a mail server: kept on disk, encrypted as cached content is, from the call to the APPEND.

A file is whole and on the disk before the intent that names it is committed, and is removed when that has been carried
out. What is left of a crash or of a removed account, so that no open intent names it, is deleted by `clean`. All files together are
bounded; one that is being received counts with the size it is to have.
"""

import os
import threading
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mailsync_grpc.config import Config
from mailsync_grpc.content.sealed import CHUNK, CorruptEntryError, SealedFile
from mailsync_grpc.errors import QuotaExceededError, StoreCorruptError, StoreFullError
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
        self.close()

    def _append(self, octets: bytes) -> None:
        try:
            self._file.append(octets)
        except OSError as error:
            raise _full(error) from None

    def close(self) -> None:
        """Release the file, finished or not."""
        self._file.close()


class Spool:
    """The spool of a data directory, which holds `max_bytes` at most. Only one process may `create` and `clean`."""

    def __init__(self, directory: Path, key: bytes, max_bytes: int) -> None:
        self._directory = directory
        self._key = key
        self._max_bytes = max_bytes
        self._received: dict[str, int] = {}  # octets that messages being received are to have, by name
        self._lock = threading.Lock()

    def create(self, size: int) -> Draft:
        """Begin a message of `size` octets under a new name, until `release`. Raises QuotaExceededError, StoreFullError."""
        name = os.urandom(_NAME_BYTES).hex()
        with self._lock:
            waiting = sum(octets for other, octets in self._files().items() if other not in self._received)
            if waiting + sum(self._received.values()) + size > self._max_bytes:
                raise QuotaExceededError(
                    f"messages of {self._max_bytes} octets wait to be added (append.max_spooled_bytes); repeat it later"
                )
            self._received[name] = size
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._directory / name
            return Draft(name, path, SealedFile.create(path, self._key, name.encode(), b""))
        except OSError as error:
            with self._lock:
                del self._received[name]
            raise _full(error) from None

    def release(self, draft: Draft, *, keep: bool) -> None:
        """End the receiving of a message, which is kept when an intent names it."""
        draft.close()
        with self._lock:
            del self._received[draft.name]
        if not keep:
            self.remove(draft.name)

    @contextmanager
    def pieces(self, name: str) -> Iterator[Iterator[bytes]]:
        """Return the octets of a message, piece by piece. Raises StoreCorruptError when it is not there whole."""
        try:
            file = SealedFile.open(self._directory / name, self._key, name.encode())
        except (OSError, CorruptEntryError):
            raise StoreCorruptError("the message to be appended is no longer in the spool") from None
        try:
            yield _read(file)
        finally:
            file.close()

    def remove(self, name: str) -> None:
        """Remove a message if it is there."""
        (self._directory / name).unlink(missing_ok=True)

    def clean(self, names: Callable[[], Container[str]]) -> None:
        """Remove what is neither being received nor named by an intent.

        `names` is asked last: a message leaves those received only once its intent is committed.
        """
        found = self._files()
        with self._lock:
            received = set(self._received)
        named = names()
        for name in found:
            if name not in received and name not in named:
                self.remove(name)

    def _files(self) -> dict[str, int]:
        """Return the messages on disk and how long they are."""
        found = {}
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(self._directory) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found[entry.name] = entry.stat().st_size
        return found


def open_spool(config: Config, vault: Vault) -> Spool:
    """Return the spool of the configured data directory."""
    return Spool(config.data_dir / _DIRECTORY, vault.subkey("spool"), config.append.max_spooled_bytes)


def _read(file: SealedFile) -> Iterator[bytes]:
    try:
        for offset in range(0, file.size, _PIECE):
            yield file.read(offset, _PIECE)
    except CorruptEntryError:
        raise StoreCorruptError("the message to be appended is damaged") from None


def _full(error: OSError) -> StoreFullError:
    return StoreFullError(f"the message cannot be kept: {error.strerror}; free disk space")


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

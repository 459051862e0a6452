"""One server to a data directory: a lock file that names its holder.

The lock is the kernel's (flock), so it ends with the process however that ends; the pid in the file is only for the
message to whoever comes second.
"""

import fcntl
import os
from pathlib import Path

from mailsync_grpc.errors import StoreLockedError

LOCK_FILE = "server.lock"


class DirectoryLock:
    """Held from construction to `release`. Raises StoreLockedError when another process holds it."""

    def __init__(self, directory: Path) -> None:
        path = directory / LOCK_FILE
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            raise StoreLockedError(
                f"{directory} is in use by the server with pid {holder or 'unknown'}; stop that one, or give this one "
                "a data directory of its own"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let the next server in. The file stays: removing it would let two servers hold two files of one name."""
        os.close(self._file)

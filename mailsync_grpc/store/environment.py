"""Opening LMDB: where, how, and whether what is found there can be used.

Commits are durable (sync and metasync on, no write map), the map is large and sparse so that it never has to grow, and
a soft limit keeps a reserve for what frees space. What cannot be used is refused before it is touched: a network file
system (LMDB needs coherent mapped memory and locks), a file shorter than its own page count (reading beyond its end
would kill the process), another schema.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import lmdb

from mailsync_grpc.errors import (
    ConfigError,
    StoreFullError,
    StoreLockedError,
)
from mailsync_grpc.model.ids import RandomBytes
from mailsync_grpc.store.databases import Databases, damaged, open_databases, term_of

STORE_DIRECTORY = "store"
RESERVE = 64 << 20
"""Octets of map and disk that only retention and deletes may use."""
MAP_SIZE = 256 << 30
_MAX_READERS = 1_024
_NETWORK_FILE_SYSTEMS = frozenset(
    "9p afs beegfs ceph cifs coda davfs fuse.davfs2 fuse.glusterfs fuse.sshfs gfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 "
    "ocfs2 orangefs smb3 smbfs".split()
)
_MOUNTS = Path("/proc/mounts")
_DAMAGE = (
    lmdb.BadTxnError,
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)


@dataclass(frozen=True, slots=True)
class Environment:
    """An open store: LMDB's environment, its databases, its epoch and its limit.

    `term` numbers the server that this process belongs to; only the last one's processes may write.
    """

    path: Path
    env: lmdb.Environment
    dbs: Databases
    epoch: bytes
    term: int
    max_bytes: int
    pid: int

    @contextmanager
    def read(self) -> Iterator["lmdb.Transaction[bytes]"]:
        """A read transaction; keep it short, it holds back the reuse of pages."""
        self.require_own_process()
        with translated(self.path), self.env.begin() as txn:
            yield txn

    def require_own_process(self) -> None:
        """Refuse to go on in a forked child: LMDB's locks and maps are not inherited."""
        if os.getpid() != self.pid:
            raise RuntimeError(
                f"this store was opened by process {self.pid}; open it anew, or spawn instead of forking"
            )

    def require_own_term(self, txn: "lmdb.Transaction[bytes]") -> None:
        """Refuse to write once another server has opened the store: what this process decides upon is outdated."""
        if term_of(txn, self.dbs) != self.term:
            raise StoreLockedError(f"{self.path}: another server has taken over; this process writes no more")

    def used(self, txn: "lmdb.Transaction[bytes]") -> int:
        """Octets of the pages in use; pages freed inside the file do not count."""
        stats = [txn.stat(db) for db in self.dbs]
        pages = sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)
        return pages * self.env.stat()["psize"]

    def headroom(self, txn: "lmdb.Transaction[bytes]") -> int:
        """Octets that ordinary writes may still take, by the limit and by the disk; negative when full."""
        used = self.used(txn)
        info, disk = self.env.info(), os.statvfs(self.path)
        free_inside = (info["last_pgno"] + 1) * self.env.stat()["psize"] - used
        free_outside = disk.f_bavail * disk.f_frsize - RESERVE
        return min(self.max_bytes - used, free_inside + max(free_outside, 0))

    @property
    def margin(self) -> int:
        """Octets of headroom below which a big batch may be refused, so that retention must help."""
        return min(RESERVE, self.max_bytes // 8)

    def close(self) -> None:
        """Release the files; in a forked child they are the parent's and stay."""
        if os.getpid() == self.pid:
            self.env.close()


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn LMDB's errors into those of the error tree."""
    try:
        yield
    except _DAMAGE as error:
        raise damaged(path, str(error)) from error
    except (lmdb.MapFullError, lmdb.DiskError) as error:
        raise StoreFullError(f"{path}: {error}; free disk space or raise store.max_bytes") from error


def open_environment(
    data_dir: Path, max_bytes: int, map_size: int, random: RandomBytes, *, exclusive: bool
) -> Environment:
    """Open or create the store below `data_dir`; `exclusive` begins a new server's term.

    Raises ConfigError, StoreCorruptError, StoreFullError, StoreSchemaError.
    """
    path = data_dir / STORE_DIRECTORY
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_network_file_system(path)
    with translated(path):
        env = lmdb.open(
            str(path),
            map_size=max(map_size, max_bytes + 2 * RESERVE),
            max_dbs=len(Databases._fields),
            max_readers=_MAX_READERS,
            max_spare_txns=1,
            mode=0o700,
            readahead=_fits_in_memory(path),
        )
        try:
            refuse_truncated(path, env)
            opened = open_databases(path, env, random, exclusive=exclusive)
            env.reader_check()
        except BaseException:
            env.close()
            raise
    return Environment(path, env, *opened, max_bytes, os.getpid())


def _fits_in_memory(path: Path) -> bool:
    # Reading ahead helps until the store outgrows memory; then it only evicts pages that are wanted.
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(FileNotFoundError):
        return (path / "data.mdb").stat().st_blocks * 512 < memory // 2
    return True


def refuse_truncated(path: Path, env: lmdb.Environment) -> None:
    """Raise StoreCorruptError when the file ends before its last page."""
    pages, size = env.info()["last_pgno"] + 1, (path / "data.mdb").stat().st_size
    if size < pages * env.stat()["psize"]:
        raise damaged(path, f"{size} octets hold fewer than its {pages} pages")


def refuse_network_file_system(path: Path, mounts: Path = _MOUNTS) -> None:
    """Raise ConfigError when `path` is on a file system of another machine; without a mount table there is no knowing."""
    with suppress(FileNotFoundError):
        kind = _file_system(path.resolve(), mounts.read_text(errors="replace"))
        if kind in _NETWORK_FILE_SYSTEMS:
            raise ConfigError(
                f"data_dir: {path} is on {kind}, a network file system; use a directory on a local disk"
            )


def _file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that the longest mount point above `path` holds."""
    kinds = {}
    for line in mounts.splitlines():
        _, mount_point, kind, *_ = line.split(" ")
        kinds[Path(mount_point.replace("\\040", " "))] = kind
    return next((kinds[parent] for parent in (path, *path.parents) if parent in kinds), "")

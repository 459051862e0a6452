"""A copy of a store while it is in use: compact, of one moment, and a store of its own.

LMDB copies what one read transaction sees, without the free pages, so writers go on meanwhile (and the file may grow by
what they write). The copy gets an epoch of its own before it has its name, so that a token of one store can never be
taken for a position in the other, however the backup ends. Only the store is copied: the master key must not lie
beside what it protects, and the content cache can be fetched again.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import lmdb

from mailsync_grpc.errors import ConfigError
from mailsync_grpc.model.ids import RandomBytes
from mailsync_grpc.store import failpoints, keys
from mailsync_grpc.store.databases import damaged, put_epoch, require_schema
from mailsync_grpc.store.environment import STORE_DIRECTORY, refuse_truncated, translated

_DRAFT = "store.unfinished"
_ANY_SIZE = 1 << 43
"""Octets of a map that holds whatever the server's limit is; it takes addresses, not memory."""


class Backup(NamedTuple):
    """What was copied: octets of the copy's file, its accounts, its new epoch."""

    octets: int
    accounts: int
    epoch: bytes


def back_up(data_dir: Path, target: Path, random: RandomBytes = os.urandom) -> Backup:
    """Copy the store of `data_dir` to the directory `target`, which must be empty or not there yet.

    `target` can then be a server's data directory. Raises ConfigError, StoreCorruptError, StoreFullError (no room for the
    copy), StoreSchemaError.
    """
    source = data_dir / STORE_DIRECTORY
    if not (source / "data.mdb").is_file():
        raise ConfigError(f"data_dir: there is no store in {data_dir}")
    _make_empty(target)
    draft = target / _DRAFT
    draft.mkdir(mode=0o700)
    try:
        _copy(source, draft)
        backup = _renew(draft, random)
    except BaseException:
        shutil.rmtree(draft)
        raise
    failpoints.hit("before_backup")
    draft.rename(target / STORE_DIRECTORY)
    _sync(target)
    return backup


def _make_empty(target: Path) -> None:
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_empty = not any(target.iterdir())
    except OSError as error:
        raise ConfigError(f"{target}: {error.strerror}") from None
    if not is_empty:
        raise ConfigError(f"{target} is not empty; name a new directory for the backup")


def _copy(source: Path, draft: Path) -> None:
    with (
        translated(source),
        lmdb.open(str(source), map_size=_ANY_SIZE, max_dbs=1, readonly=True, readahead=False) as env,
    ):
        refuse_truncated(source, env)
        env.copy(str(draft), compact=True)
    (draft / "data.mdb").chmod(0o600)


def _renew(draft: Path, random: RandomBytes) -> Backup:
    """Make the copy a store of its own; the commit also brings the copied pages to the disk."""
    # Nobody else knows of the copy, so it needs no lock file.
    with translated(draft), lmdb.open(str(draft), map_size=_ANY_SIZE, max_dbs=4, lock=False) as env:
        meta, accounts = env.open_db(b"meta", create=False), env.open_db(b"accounts", create=False)
        with env.begin(write=True) as txn:
            schema = txn.get(keys.SCHEMA_KEY, db=meta)
            if schema is None:
                raise damaged(draft, "its schema version is missing")
            require_schema(draft, keys.number.unpack(schema)[0], may_migrate=True)
            epoch = put_epoch(txn, meta, random)
            _forget_open_intents(env, txn)
            count = txn.stat(accounts)["entries"]
        env.sync(force=True)
        octets = (draft / "data.mdb").stat().st_size
    return Backup(octets, count, epoch)


def _forget_open_intents(env: lmdb.Environment, txn: "lmdb.Transaction[bytes]") -> None:
    """Leave to the original what callers had asked for: two stores must not both move and delete."""
    with suppress(lmdb.NotFoundError):  # a schema that had none
        unfinished, intents = (env.open_db(name, txn, create=False) for name in (b"open_intents", b"intents"))
        with txn.cursor(unfinished) as cursor:
            for key in list(cursor.iternext(values=False)):
                txn.delete(key, db=intents)
        txn.drop(unfinished, delete=False)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

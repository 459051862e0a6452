"""The named databases of an LMDB store, and what the store says of itself: its schema, its epoch, its term.

All of it is opened, made or migrated in one write transaction, so that a process killed meanwhile leaves a store of the
old version or of the new one, or none.
"""

from pathlib import Path
from typing import NamedTuple

import lmdb

from mailsync_grpc.errors import StoreCorruptError, StoreSchemaError
from mailsync_grpc.model.ids import RandomBytes
from mailsync_grpc.store import failpoints, keys
from mailsync_grpc.store.migrations import MIGRATIONS, OLDEST

_EPOCH_BYTES = 16


class Databases(NamedTuple):
    """Handles of the named databases; `keys` says what each holds."""

    meta: "lmdb._Database"
    accounts: "lmdb._Database"
    account_ids: "lmdb._Database"
    folders: "lmdb._Database"
    folder_ids: "lmdb._Database"
    progress: "lmdb._Database"
    mirrors: "lmdb._Database"
    envelopes: "lmdb._Database"
    places: "lmdb._Database"
    blocks: "lmdb._Database"
    flags: "lmdb._Database"
    outside: "lmdb._Database"
    runs: "lmdb._Database"
    log: "lmdb._Database"
    answers: "lmdb._Database"
    answer_times: "lmdb._Database"
    tokens: "lmdb._Database"
    authorizations: "lmdb._Database"
    access_tokens: "lmdb._Database"
    tombs: "lmdb._Database"


class Opened(NamedTuple):
    """A store's databases, its epoch, and the term of the server that this process belongs to."""

    dbs: Databases
    epoch: bytes
    term: int


def open_databases(path: Path, env: lmdb.Environment, random: RandomBytes, *, exclusive: bool) -> Opened:
    """Open the databases of the store in `path`, made when there are none; `exclusive` begins a new server's term.

    A store of an older schema is migrated by a server, which alone knows that no process of the older version is at
    work. Raises StoreCorruptError, StoreSchemaError.
    """
    with env.begin(write=True) as txn:
        is_new = not env.stat()["entries"]
        dbs = Databases(*(env.open_db(name.encode(), txn=txn) for name in Databases._fields))
        failpoints.hit("in_opening")
        if is_new:
            txn.put(keys.SCHEMA_KEY, keys.number.pack(keys.SCHEMA), db=dbs.meta)
            put_epoch(txn, dbs.meta, random)
        schema, epoch = txn.get(keys.SCHEMA_KEY, db=dbs.meta), txn.get(keys.EPOCH_KEY, db=dbs.meta)
        if schema is None or epoch is None:
            raise damaged(path, "its schema version is missing")
        found = keys.number.unpack(schema)[0]
        require_schema(path, found, may_migrate=exclusive)
        if found < keys.SCHEMA:
            _migrate(env, txn, dbs.meta, found)
        term = term_of(txn, dbs)
        if exclusive:
            term += 1
            txn.put(keys.TERM_KEY, keys.wide.pack(term), db=dbs.meta)
        failpoints.hit("in_opening")
    failpoints.hit("in_opening")
    return Opened(dbs, epoch, term)


def put_epoch(txn: "lmdb.Transaction[bytes]", meta: "lmdb._Database", random: RandomBytes) -> bytes:
    """Give the store a new epoch and return it."""
    epoch = random(_EPOCH_BYTES)
    txn.put(keys.EPOCH_KEY, epoch, db=meta)
    return epoch


def term_of(txn: "lmdb.Transaction[bytes]", dbs: Databases) -> int:
    """Return how many servers have opened the store."""
    stored = txn.get(keys.TERM_KEY, db=dbs.meta)
    return int(keys.wide.unpack(stored)[0]) if stored else 0


def _migrate(
    env: lmdb.Environment, txn: "lmdb.Transaction[bytes]", meta: "lmdb._Database", schema: int
) -> None:
    for step in range(schema, keys.SCHEMA):
        MIGRATIONS[step](env, txn)
    txn.put(keys.SCHEMA_KEY, keys.number.pack(keys.SCHEMA), db=meta)


def require_schema(path: Path, schema: int, *, may_migrate: bool) -> None:
    """Raise StoreSchemaError for a schema that cannot be worked on, as it is or migrated, with what to do."""
    if schema == keys.SCHEMA or (may_migrate and OLDEST <= schema < keys.SCHEMA):
        return
    if OLDEST <= schema < keys.SCHEMA:
        raise StoreSchemaError(
            f"{path} has schema {schema}, this version works on {keys.SCHEMA}; start `mailsync serve`, which migrates it"
        )
    age = "a newer" if schema > keys.SCHEMA else "an older"
    raise StoreSchemaError(
        f"{path} was written by {age} version of mailsync (schema {schema}, this one reads {OLDEST} to {keys.SCHEMA}); "
        "run that version, or move the directory away to mirror every account anew"
    )


def damaged(path: Path, fault: str) -> StoreCorruptError:
    """Return the error that says what to do about a damaged store."""
    return StoreCorruptError(
        f"{path / 'data.mdb'} is damaged ({fault}); restore a backup, or move {path} away to mirror every account anew"
    )

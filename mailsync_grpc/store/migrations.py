"""How a store of an older schema becomes one of the next: a function for each step, all of them in one transaction.

A step works on rows as that schema wrote them, never through today's codecs, which know only what is written today. A
database that is new with a schema needs no step: it is made, empty, when the store is opened.

    1 → 2   FolderProgress: `history_end`, the highest UID of the first look, becomes `arriving`, the pending UIDs above
            it. New database `outside`. (Envelope ids of schema 1 are wholly random, so messages stored under it are not
            found as twins: they move as removed and added.)
    2 → 3   New databases `tokens`, `authorizations` and `access_tokens`, new keys in `meta`; an account's record tells its
            kind of credentials, which before was always a password.
"""

import json
from collections.abc import Callable

import lmdb

from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store import failpoints

Migration = Callable[[lmdb.Environment, "lmdb.Transaction[bytes]"], None]
"""Brings rows to the next schema within the transaction."""


def _tell_arriving(env: lmdb.Environment, txn: "lmdb.Transaction[bytes]") -> None:
    progress = env.open_db(b"progress", txn=txn)
    with txn.cursor(progress) as cursor:
        rows = list(cursor)
    for key, value in rows:
        txn.put(key, with_arriving(value), db=progress)
        failpoints.hit("in_opening")


def with_arriving(progress: bytes) -> bytes:
    """Return a progress record of schema 1 as one of schema 2."""
    (record,) = json.loads(progress)
    seen = UidSet.span(1, record.pop("history_end", 0))
    pending = UidSet(tuple((low, high) for low, high in record["pending"]["ranges"]))
    record["arriving"] = {"ranges": (pending - seen).ranges}
    return json.dumps([record], separators=(",", ":")).encode()


def _leave_rows(_env: lmdb.Environment, _txn: "lmdb.Transaction[bytes]") -> None:
    """Do nothing: records take what is new by default, databases are made when the store is opened."""


MIGRATIONS: dict[int, Migration] = {1: _tell_arriving, 2: _leave_rows}
"""From a schema to the next."""
OLDEST = min(MIGRATIONS)
"""The oldest schema that can be migrated."""

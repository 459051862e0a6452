"""The small writes of LMDB that make no event: counters, and the times folders were looked at."""

from collections.abc import Sequence
from dataclasses import replace

from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.store import keys
from mailsync_grpc.store.base import Counter
from mailsync_grpc.store.codec.records import PROGRESS
from mailsync_grpc.store.writer import WriteUnit


def allocate(unit: WriteUnit, counter: Counter, count: int) -> int:
    """As `Store.allocate`."""
    key = keys.counter_key(counter)
    stored = unit.get(key, unit.dbs.meta)
    last: int = keys.wide.unpack(stored)[0] if stored else 0
    unit.put(key, keys.wide.pack(last + count), unit.dbs.meta)
    return last + 1


def touch(unit: WriteUnit, as_of: Sequence[tuple[AccountNo, FolderNo, int]]) -> None:
    """As `Store.touch`."""
    for account, folder, millis in sorted(as_of):
        key = keys.pair.pack(account, folder)
        stored = unit.get(key, unit.dbs.progress)
        if stored is not None and unit.get(keys.number.pack(account), unit.dbs.accounts) is not None:
            unit.put(key, PROGRESS.encode(replace(PROGRESS.decode(stored), as_of=millis)), unit.dbs.progress)

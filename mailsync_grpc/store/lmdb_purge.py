"""What frees space in LMDB, in pieces: rows of removed accounts and dropped mirrors, old events, old answers.

A tomb says what is to be deleted; it was put in the commit that made the rows invisible and goes with the last of
them. So the work may stop and be taken up anywhere.
"""

import lmdb

from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.store import keys
from mailsync_grpc.store.base import KEPT_LOG
from mailsync_grpc.store.lmdb_answers import expire_answers
from mailsync_grpc.store.lmdb_authorizations import expire_authorizations
from mailsync_grpc.store.values import Trimmed
from mailsync_grpc.store.writer import WriteUnit

_MILLIS = 1_000


def purge(unit: WriteUnit, limit: int) -> bool:
    """As `Store.purge`."""
    left = limit - expire_answers(unit, limit)
    left -= expire_authorizations(unit, left)
    while (tomb := next(unit.keys_with(b"", unit.dbs.tombs), None)) is not None:
        if left <= 0:
            return True
        left = _purge_tomb(unit, tomb, left)
    return False


def _purge_tomb(unit: WriteUnit, tomb: bytes, limit: int) -> int:
    """Delete up to `limit` rows of what the tomb stands for, then the tomb; return what is left of the limit."""
    account, mirror = keys.pair.unpack(tomb)
    if mirror == keys.WHOLE_ACCOUNT:
        left = _purge_account(unit, tomb, limit)
        left = _erase_events(unit, tomb, AccountNo(account), left)
    else:
        left = _purge_mirror(unit, tomb, limit)
    if left > 0:
        unit.delete(tomb, unit.dbs.tombs)
        left -= 1
    return left


def _purge_account(unit: WriteUnit, tomb: bytes, limit: int) -> int:
    dbs = unit.dbs
    for db in (
        dbs.envelopes, dbs.places, dbs.blocks, dbs.flags, dbs.outside, dbs.progress, dbs.mirrors, dbs.folder_ids, dbs.folders, dbs.runs
    ):  # fmt: skip
        limit -= _delete_prefix(unit, db, tomb[: keys.PREFIX], limit)
    return limit


def _purge_mirror(unit: WriteUnit, tomb: bytes, limit: int) -> int:
    limit -= _delete_rows(unit, tomb, limit)
    for db in (unit.dbs.blocks, unit.dbs.flags, unit.dbs.outside):
        limit -= _delete_prefix(unit, db, tomb, limit)
    return limit


def _delete_rows(unit: WriteUnit, prefix: bytes, limit: int) -> int:
    deleted = 0
    with unit.txn.cursor(unit.dbs.envelopes) as cursor:
        found = cursor.set_range(prefix)
        while deleted < limit and found and (key := cursor.key()).startswith(prefix):
            # An envelope may have been rebound to a new mirror; then its place is there.
            place = keys.id_key(keys.number.unpack_from(key)[0], keys.row_head(cursor.value())[0])
            if unit.get(place, unit.dbs.places) == key[keys.PREFIX :]:
                unit.delete(place, unit.dbs.places)
            found = cursor.delete() and bool(cursor.key())
            deleted += 1
    return deleted


def _delete_prefix(unit: WriteUnit, db: "lmdb._Database", prefix: bytes, limit: int) -> int:
    deleted = 0
    with unit.txn.cursor(db) as cursor:
        found = cursor.set_range(prefix)
        while deleted < limit and found and cursor.key().startswith(prefix):
            found = cursor.delete() and bool(cursor.key())
            deleted += 1
    return deleted


def _erase_events(unit: WriteUnit, tomb: bytes, account: AccountNo, limit: int) -> int:
    """Erase payloads of the account's events among the next `limit` events; return what is left of the limit."""
    erasing = keys.Erasing.unpack(unit.get(tomb, unit.dbs.tombs) or b"")
    start = max(erasing.next, unit.bounds.floor + 1)
    end = min(start + limit, erasing.until)
    freed = 0
    with unit.txn.cursor(unit.dbs.log) as cursor:
        for revision in range(start, end):
            value = cursor.get(keys.wide.pack(revision)) or b""
            if keys.log_account(value) == account:
                freed += keys.log_event_size(value)
                cursor.put(keys.wide.pack(revision), keys.without_event(value))
    unit.bounds = unit.bounds._replace(octets=unit.bounds.octets - freed)
    unit.put(tomb, erasing._replace(next=max(start, end)).pack(), unit.dbs.tombs)
    return limit - max(end - start, 0)


def trim_log(unit: WriteUnit, max_age: float, max_bytes: int, limit: int) -> Trimmed:
    """As `Store.trim_log`."""
    head, floor, floor_check, octets, last_time = unit.bounds
    # What is younger than an hour stays, unless the store is full.
    least = 0 if unit.is_full else KEPT_LOG
    too_old, may_go = (unit.now - max(age, least) * _MILLIS for age in (max_age, 0))
    by_age, by_size, more = 0, 0, False
    with unit.txn.cursor(unit.dbs.log) as cursor:
        found = cursor.first()
        while found:
            record = keys.unpack_log(*cursor.item())
            aged = record.commit_time < too_old
            more = aged or (octets > max_bytes and record.commit_time < may_go)
            if not more or by_age + by_size == limit:
                break
            floor, floor_check = record.revision, record.check
            octets -= len(record.event)
            by_age += aged
            by_size += not aged
            found = cursor.delete() and bool(cursor.key())
            more = False
    unit.bounds = keys.LogBounds(head, floor, floor_check, octets, last_time)
    return Trimmed(by_age, by_size, more)

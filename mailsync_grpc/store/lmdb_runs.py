"""Sync runs in LMDB: put one by one, the newest kept of each account, and those that have not ended."""

from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.store import keys
from mailsync_grpc.store.base import KEPT_RUNS
from mailsync_grpc.store.codec.records import RUNS
from mailsync_grpc.store.prepare import check_version
from mailsync_grpc.store.writer import WriteUnit


def put_run(unit: WriteUnit, account: AccountNo, run: SyncRun, record: bytes) -> None:
    """Store a run's next version. Raises ConflictError when it is not that."""
    key = keys.run_key(account, run.no)
    head = keys.record_head(unit.get(key, unit.dbs.runs))
    check_version(head.version if head else 0, run.version, run.name)
    unit.put(key, keys.pack_record(run.version, 0, record), unit.dbs.runs)
    if head is None:
        _forget_old(unit, account)


def _forget_old(unit: WriteUnit, account: AccountNo) -> None:
    kept = list(unit.keys_with(keys.number.pack(account), unit.dbs.runs))
    for key in kept[:-KEPT_RUNS]:
        record = keys.record_body(unit.get(key, unit.dbs.runs) or b"")
        if RUNS.decode(record).state.ended:
            unit.delete(key, unit.dbs.runs)

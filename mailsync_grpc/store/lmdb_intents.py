"""Intents in LMDB: put one by one, found by number while they are open, forgotten a day after their end."""

from mailsync_grpc.model.intent import Intent
from mailsync_grpc.store import keys
from mailsync_grpc.store.codec.records import INTENTS
from mailsync_grpc.store.lmdb_answers import is_fresh
from mailsync_grpc.store.prepare import check_version
from mailsync_grpc.store.writer import WriteUnit


def put_intent(unit: WriteUnit, intent: Intent, record: bytes) -> None:
    """Store an intent's next version. Raises ConflictError when it is not that."""
    key = keys.intent_key(intent.account.no, intent.no)
    head = keys.record_head(unit.get(key, unit.dbs.intents))
    check_version(head.version if head else 0, intent.version, f"intent {intent.no}")
    unit.put(key, keys.pack_record(intent.version, 0, record), unit.dbs.intents)
    if intent.ended:
        unit.delete(key, unit.dbs.open_intents)
    else:
        unit.put(key, b"", unit.dbs.open_intents)
    if head is None:
        _forget_old(unit, intent)
    count_put(unit)


def count_put(unit: WriteUnit) -> None:
    """Wake who waits for intents."""
    stored = unit.get(keys.INTENTS_KEY, unit.dbs.meta)
    count: int = keys.wide.unpack(stored)[0] if stored else 0
    unit.put(keys.INTENTS_KEY, keys.wide.pack(count + 1), unit.dbs.meta)


def _forget_old(unit: WriteUnit, newest: Intent) -> None:
    """Delete the account's oldest intents up to the first that is open, or whose answer may be asked for again."""
    expired: list[bytes] = []
    for key in unit.keys_with(keys.number.pack(newest.account.no), unit.dbs.intents):
        intent = INTENTS.decode(keys.record_body(unit.get(key, unit.dbs.intents) or b""))
        if not intent.ended or is_fresh(intent.end_time, unit.now):
            break
        expired.append(key)
    for key in expired:
        unit.delete(key, unit.dbs.intents)

"""Authorizations on their way in LMDB: kept until they are taken or expire; expired ones are purged with the rest."""

from mailsync_grpc.store import keys
from mailsync_grpc.store.values import Authorization
from mailsync_grpc.store.writer import WriteUnit


def keep_authorization(unit: WriteUnit, key: bytes, kept: Authorization) -> None:
    """As `Store.keep_authorization`."""
    unit.put(key, keys.pack_authorization(kept), unit.dbs.authorizations)


def take_authorization(unit: WriteUnit, key: bytes) -> Authorization | None:
    """As `Store.take_authorization`."""
    stored = unit.get(key, unit.dbs.authorizations)
    if stored is None:
        return None
    unit.delete(key, unit.dbs.authorizations)
    kept = keys.unpack_authorization(stored)
    return kept if kept.expire_time > unit.now else None


def expire_authorizations(unit: WriteUnit, limit: int) -> int:
    """Delete up to `limit` expired authorizations and return how many. They are few, so all are looked at."""
    expired = [
        key
        for key in unit.keys_with(b"", unit.dbs.authorizations)
        if keys.unpack_authorization(unit.get(key, unit.dbs.authorizations) or b"").expire_time <= unit.now
    ][:limit]
    for key in expired:
        unit.delete(key, unit.dbs.authorizations)
    return len(expired)

"""Access tokens in LMDB, and the version of what callers may see."""

from dataclasses import dataclass, replace

from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.store import keys
from mailsync_grpc.store.base import AccessTable, TokenEdit
from mailsync_grpc.store.codec.records import TOKENS
from mailsync_grpc.store.environment import Environment
from mailsync_grpc.store.lmdb_answers import put_answer
from mailsync_grpc.store.writer import Writer, WriteUnit

NO_ACCOUNT = AccountNo(0)
"""Whose the answers of calls are that concern no account."""


@dataclass(frozen=True, slots=True)
class LmdbAccess:
    """`AccessStore` of an open store."""

    environment: Environment
    writer: Writer

    def edit(self, edit: TokenEdit) -> None:
        """As `AccessStore.edit`."""
        # To revoke a token must be possible on the reserve too.
        self.writer.do(lambda unit: _edit(unit, edit), frees=not edit.put)

    def table(self) -> AccessTable:
        """As `AccessStore.table`."""
        dbs = self.environment.dbs
        with self.environment.read() as txn, txn.cursor(dbs.access_tokens) as cursor:
            tokens = tuple(TOKENS.decode(value) for _, value in cursor)
            return AccessTable(tokens, txn.get(keys.CLOSED_KEY, db=dbs.meta) is not None)

    def version(self) -> int:
        """As `AccessStore.version`."""
        with self.environment.read() as txn:
            return _version(txn.get(keys.ACCESS_KEY, db=self.environment.dbs.meta))


def _edit(unit: WriteUnit, edit: TokenEdit) -> None:
    for token in edit.put:
        unit.put(token.id.encode(), TOKENS.encode(token), unit.dbs.access_tokens)
        unit.put(keys.CLOSED_KEY, b"1", unit.dbs.meta)
    for token_id in edit.drop:
        unit.delete(token_id.encode(), unit.dbs.access_tokens)
    for token_id, millis in edit.used:
        _use(unit, token_id.encode(), millis)
    if edit.answer:
        put_answer(unit, NO_ACCOUNT, edit.answer)
    if edit.put or edit.drop:
        advance_access(unit)


def _use(unit: WriteUnit, key: bytes, millis: int) -> None:
    stored = unit.get(key, unit.dbs.access_tokens)
    if stored is not None:
        unit.put(key, TOKENS.encode(replace(TOKENS.decode(stored), last_used=millis)), unit.dbs.access_tokens)


def advance_access(unit: WriteUnit) -> None:
    """Tell readers that tokens or accounts changed."""
    version = _version(unit.get(keys.ACCESS_KEY, unit.dbs.meta))
    unit.put(keys.ACCESS_KEY, keys.wide.pack(version + 1), unit.dbs.meta)


def _version(stored: bytes | None) -> int:
    return int(keys.wide.unpack(stored)[0]) if stored else 0

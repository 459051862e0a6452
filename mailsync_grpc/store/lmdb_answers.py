"""Recorded answers in LMDB: found by request, forgotten by time, erased with their account."""

from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.store import keys
from mailsync_grpc.store.base import KEPT_ANSWERS, ConflictError
from mailsync_grpc.store.values import RecordedAnswer
from mailsync_grpc.store.writer import WriteUnit

KEPT_MILLIS = KEPT_ANSWERS * 1_000


def put_answer(unit: WriteUnit, account: AccountNo, answer: RecordedAnswer) -> None:
    """Record an answer. Raises ConflictError when the request was answered meanwhile."""
    digest = keys.answer_digest(answer.scope, answer.request_id)
    before = unit.get(digest, unit.dbs.answers)
    if before is not None and is_fresh(keys.answer_time(before), unit.now):
        raise ConflictError(f"request {answer.request_id} was answered meanwhile")
    unit.put(digest, keys.pack_answer(unit.now, account, answer), unit.dbs.answers)
    unit.put(keys.answer_time_key(unit.now, account, digest), b"", unit.dbs.answer_times)


def is_fresh(recorded: int, now: int) -> bool:
    """Whether an answer recorded at `recorded` (milliseconds) still counts."""
    return recorded > now - KEPT_MILLIS


def remove_answers(unit: WriteUnit, account: AccountNo) -> None:
    """Erase the answers of an account; they may quote it."""
    for key in list(unit.keys_with(b"", unit.dbs.answer_times)):
        _, owner, digest = keys.split_answer_time(key)
        if owner != account:
            continue
        # A request id used again after its answer expired may be another account's by now.
        recorded = unit.get(digest, unit.dbs.answers)
        if recorded is not None and keys.answer_account(recorded) == account:
            unit.delete(digest, unit.dbs.answers)
        unit.delete(key, unit.dbs.answer_times)


def expire_answers(unit: WriteUnit, limit: int) -> int:
    """Delete up to `limit` answers that are too old and return how many."""
    expired: list[bytes] = []
    for key in unit.keys_with(b"", unit.dbs.answer_times):
        if len(expired) == limit or is_fresh(keys.split_answer_time(key)[0], unit.now):
            break
        expired.append(key)
    for key in expired:
        digest = keys.split_answer_time(key)[2]
        # A request repeated after its answer expired has a newer one under the same digest.
        recorded = unit.get(digest, unit.dbs.answers)
        if recorded is not None and not is_fresh(keys.answer_time(recorded), unit.now):
            unit.delete(digest, unit.dbs.answers)
        unit.delete(key, unit.dbs.answer_times)
    return len(expired)

"""The key layout of the LMDB engine: every key and every fixed-width value is made and read here, nowhere else.

Numbers are fixed-width and big-endian, so that LMDB's byte order is their order and all rows of an account, of a
mirror, stand together. One named database holds one kind of row:

    meta          schema | epoch | term | log | access | closed | intents | counter + number
                  what the store is, how many servers have opened it, the log's bounds, the version of what callers
                  may see, whether there has ever been an access token, how often intents were put, the counters
    accounts      account                  -> record head, JSON
    account_ids   id                       -> account
    folders       account folder           -> record head, JSON
    folder_ids    account id               -> folder
    progress      account folder           -> JSON
    mirrors       account mirror           -> folder, FORMER behind it where only ids are kept (see Store.apply)
    envelopes     account mirror uid       -> envelope id, length of basic, basic, detail
    places        account envelope-id      -> mirror uid
    blocks        account mirror uid>>7    -> flag block (see flagblocks)
    flags         account mirror hash      -> flags segment
    outside       account mirror           -> UID ranges that the window leaves out
    runs          account run              -> record head, JSON
    intents       account intent           -> record head, JSON
    open_intents  account intent           -> nothing; those that have not ended
    log           revision                 -> log head, event
    answers       digest                   -> answer head, fingerprint, response
    answer_times  time account digest      -> nothing
    tokens        account                  -> record head, sealed
    authorizations  key                    -> expire time, sealed
    access_tokens id                       -> JSON
    tombs         account mirror           -> progress of the purge; mirror 0 stands for the whole account

Any change of this needs a new SCHEMA and a step in `migrations`.
"""

from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from mailsync_grpc.model.changes import EventKind
from mailsync_grpc.model.ids import ID_BYTES, AccountNo, FolderNo, Revision
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.values import (
    NO_TOKENS,
    Authorization,
    EnvelopeRow,
    LogRecord,
    RecordedAnswer,
    SealedTokens,
)

SCHEMA = 3

SCHEMA_KEY, EPOCH_KEY, TERM_KEY, LOG_KEY, INTENTS_KEY = b"schema", b"epoch", b"term", b"log", b"intents"
ACCESS_KEY, CLOSED_KEY = b"access", b"closed"
_COUNTER = b"counter"

number = Struct(">I")
pair = Struct(">II")
triple = Struct(">III")
wide = Struct(">Q")
_account_wide = Struct(">IQ")
_pair_wide = Struct(">IIQ")
_time_account = Struct(">QI")
_record_head = Struct(">QI")
_log_head = Struct(">QBIIIQ")
_answer_head = Struct(">QIB")
_row_head = Struct(f">{ID_BYTES}sI")
_bounds = Struct(">QQQQQ")
_two_wide = Struct(">QQ")

WHOLE_ACCOUNT = 0
"""In place of a mirror's number: the tomb of an account."""
PREFIX = number.size
"""Length of the account number that opens the keys of an account's rows."""
_FORMER = b"f"


class LogBounds(NamedTuple):
    """Where the log begins and ends: revisions, the floor event's check, kept event bytes, the last commit time (ms)."""

    head: int = 0
    floor: int = 0
    floor_check: int = 0
    octets: int = 0
    last_time: int = 0

    def pack(self) -> bytes:
        """Return the bounds as stored."""
        return _bounds.pack(*self)

    @classmethod
    def unpack(cls, value: bytes | None) -> "LogBounds":
        """Return stored bounds, those of an empty log for None."""
        return cls(*_bounds.unpack(value)) if value else cls()


class RecordHead(NamedTuple):
    """What the write lock needs of a record, readable without its JSON. `mirror` is 0 except for folders."""

    version: int
    mirror: int


class Erasing(NamedTuple):
    """How far the purge of an account is with the log: events from `next` to `until` are still to be looked at."""

    next: int
    until: int

    def pack(self) -> bytes:
        """Return the value as stored."""
        return _two_wide.pack(*self)

    @classmethod
    def unpack(cls, value: bytes) -> "Erasing":
        """Return the stored value."""
        return cls(*_two_wide.unpack(value))


def counter_key(counter: int) -> bytes:
    """Key of a counter."""
    return _COUNTER + bytes((counter,))


def run_key(account: int, run: int) -> bytes:
    """Key of a sync run."""
    return _account_wide.pack(account, run)


def intent_key(account: int, intent: int) -> bytes:
    """Key of an intent."""
    return _account_wide.pack(account, intent)


def key_account(key: bytes) -> AccountNo:
    """Return whose row a key that begins with an account's number is."""
    return AccountNo(number.unpack_from(key)[0])


def pack_mirror(folder: int, *, former: bool = False) -> bytes:
    """Return the value of a mirror's entry."""
    return number.pack(folder) + (_FORMER if former else b"")


def mirror_folder(value: bytes) -> FolderNo:
    """Return the folder of a mirror's entry."""
    return FolderNo(number.unpack_from(value)[0])


def is_current(value: bytes | None) -> bool:
    """Whether an entry is there and says that the mirror is its folder's own, which can be read and written."""
    return value is not None and len(value) == number.size


def flags_key(account: int, mirror: int, flag_hash: int) -> bytes:
    """Key of an entry of a flag table."""
    return _pair_wide.pack(account, mirror, flag_hash)


def id_key(account: int, opaque_id: bytes) -> bytes:
    """Key of a folder's or an envelope's id."""
    return number.pack(account) + opaque_id


def pack_record(version: int, mirror: int, record: bytes) -> bytes:
    """Return a record with its head."""
    return _record_head.pack(version, mirror) + record


def record_head(value: bytes | None) -> RecordHead | None:
    """Return the head of a stored record."""
    return RecordHead(*_record_head.unpack_from(value)) if value else None


def record_body(value: bytes) -> bytes:
    """Return a stored record without its head."""
    return value[_record_head.size :]


def pack_tokens(tokens: SealedTokens) -> bytes:
    """Return the value of an account's tokens."""
    return pack_record(tokens.version, 0, tokens.sealed)


def unpack_tokens(value: bytes | None) -> SealedTokens:
    """Return stored tokens, those of version 0 for None."""
    head = record_head(value)
    return SealedTokens(head.version, record_body(value)) if head and value else NO_TOKENS


def pack_authorization(kept: Authorization) -> bytes:
    """Return the value of an authorization."""
    return wide.pack(kept.expire_time) + kept.sealed


def unpack_authorization(value: bytes) -> Authorization:
    """Return a stored authorization."""
    return Authorization(value[wide.size :], wide.unpack_from(value)[0])


def pack_row(row: EnvelopeRow) -> bytes:
    """Return the value of an envelope's row."""
    return _row_head.pack(row.envelope_id, len(row.basic)) + row.basic + row.detail


ROW_HEAD = _row_head.size


def row_head(value: bytes) -> tuple[bytes, int]:
    """Return the envelope id and where `detail` begins; `basic` begins at ROW_HEAD."""
    envelope_id, size = _row_head.unpack_from(value)
    return envelope_id, ROW_HEAD + size


def pack_uids(uids: UidSet) -> bytes:
    """Return a set of UIDs as stored: its ranges in order."""
    return b"".join(pair.pack(*one) for one in uids.ranges)


def unpack_uids(value: bytes | None) -> UidSet:
    """Return a stored set of UIDs, the empty one for None."""
    return UidSet(tuple(pair.iter_unpack(value))) if value else UidSet()


def pack_log(record: LogRecord) -> bytes:
    """Return the value of a log record."""
    _, time, kind, account, folder, other, check, event = record
    return _log_head.pack(time, kind, account, folder, other, check) + event


def unpack_log(key: bytes, value: bytes) -> LogRecord:
    """Return a stored log record."""
    time, kind, account, folder, other, check = _log_head.unpack_from(value)
    return LogRecord(
        Revision(wide.unpack(key)[0]),
        time,
        EventKind(kind),
        AccountNo(account),
        FolderNo(folder),
        FolderNo(other),
        check,
        value[_log_head.size :],
    )


def log_account(value: bytes) -> int:
    """Return whose event a log record is."""
    return AccountNo(_log_head.unpack_from(value)[2])


def log_event_size(value: bytes) -> int:
    """Return the octets of a log record's event."""
    return len(value) - _log_head.size


def without_event(value: bytes) -> bytes:
    """Return a log record with its event erased."""
    return value[: _log_head.size]


def answer_digest(scope: str, request_id: str) -> bytes:
    """Key of a recorded answer: LMDB's keys are short, scopes and request ids need not be."""
    return sha256(f"{scope}\0{request_id}".encode("utf-8", "surrogatepass")).digest()


def answer_time_key(millis: int, account: int, digest: bytes) -> bytes:
    """Key by which answers are found in order of time."""
    return _time_account.pack(millis, account) + digest


def split_answer_time(key: bytes) -> tuple[int, int, bytes]:
    """Return time, account and digest of such a key."""
    millis, account = _time_account.unpack_from(key)
    return millis, account, key[_time_account.size :]


def pack_answer(millis: int, account: int, answer: RecordedAnswer) -> bytes:
    """Return the value of a recorded answer."""
    head = _answer_head.pack(millis, account, len(answer.fingerprint))
    return head + answer.fingerprint + answer.response


def answer_time(value: bytes) -> int:
    """Return when an answer was recorded (milliseconds)."""
    return wide.unpack_from(value)[0]  # type: ignore[no-any-return] # struct's tuples hold Any


def answer_account(value: bytes) -> int:
    """Return whose request an answer belongs to."""
    return AccountNo(_answer_head.unpack_from(value)[1])


def unpack_answer(scope: str, request_id: str, value: bytes) -> RecordedAnswer:
    """Return a recorded answer."""
    end = _answer_head.size + _answer_head.unpack_from(value)[2]
    return RecordedAnswer(scope, request_id, value[_answer_head.size : end], value[end:])

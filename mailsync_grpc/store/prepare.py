"""What a batch means for any engine, worked out before the write lock is taken.

Validation, encoding of envelopes, records and events all happen here, in the caller's thread. A batch that breaks the
rules of the protocol is refused here (ValueError, a fault of the program) and so never meets its neighbours in a
commit.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from operator import attrgetter
from typing import NamedTuple

from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.changes import (
    AccountChanged,
    AccountRemoved,
    Backfilled,
    Change,
    EnvelopeAdded,
    EnvelopeMoved,
    EnvelopeUpdated,
    EventKind,
    FlagsChanged,
    FolderChanged,
    FolderReset,
    NewEnvelope,
    SyncRunChanged,
)
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import FolderKey, FolderProgress
from mailsync_grpc.model.ids import ACCOUNT_ID, ID_BYTES, FolderNo
from mailsync_grpc.model.intent import IntentState
from mailsync_grpc.store.base import Batch, ConflictError
from mailsync_grpc.store.codec.envelope import encode_envelope, encode_flags
from mailsync_grpc.store.codec.event import Origin, encode_change, kind_of
from mailsync_grpc.store.codec.identity import join_envelope
from mailsync_grpc.store.codec.records import ACCOUNTS, FOLDERS, RUNS
from mailsync_grpc.store.values import EnvelopeRow

_MAX_UID = 0xFFFFFFFF  # RFC 3501 section 9, nz-number
_UID = attrgetter("uid")
NO_FOLDER = FolderNo(0)

# A batch makes a thousand of them, and a named tuple's own constructor takes four times as long.
_new_row = partial(tuple.__new__, EnvelopeRow)

ProgressLookup = Callable[[FolderKey], FolderProgress]
"""Returns how far a mirror is, nowhere when it is not there yet; for the message that a FolderChanged carries."""


class PreparedRow(NamedTuple):
    """A message to be stored, as segments, and the hash of its flags."""

    row: EnvelopeRow
    flag_hash: int


class PreparedChange(NamedTuple):
    """A change with its event, all but revision and commit time.

    `other_folder` is the source of a move. `rows` are the envelopes it stores, ascending by UID, `record` the encoded account, folder or run it stores,
    `flags` the flags segment it stores.
    """

    change: Change
    kind: EventKind
    folder: FolderNo
    other_folder: FolderNo
    event: bytes
    rows: tuple[PreparedRow, ...] = ()
    record: bytes = b""
    flags: bytes = b""


class PreparedBatch(NamedTuple):
    """A batch and what its changes mean."""

    batch: Batch
    changes: tuple[PreparedChange, ...]

    @property
    def creates(self) -> bool:
        """Whether the batch brings its account into being."""
        first = self.changes[0].change if self.changes else None
        return isinstance(first, AccountChanged) and first.account.version == 1

    @property
    def removes(self) -> bool:
        """Whether the batch removes its account; then it does nothing else."""
        return bool(self.changes) and isinstance(self.changes[0].change, AccountRemoved)

    @property
    def may_use_reserve(self) -> bool:
        """Whether a full store takes the batch: a removal, and what exists elsewhere already and is lost without it.

        That are renewed tokens, which no provider gives a second time, and what became of a change that was begun.
        """
        batch = self.batch
        if batch.changes or batch.progress or batch.outside or batch.run_progress:
            return self.removes
        made = bool(batch.intents) and all(one.state >= IntentState.SETTLED for one in batch.intents)
        return made or batch.tokens is not None


def check_version(stored: int, given: int, what: str) -> None:
    """Raise ConflictError unless `given` follows the stored version (0 for a record that does not exist)."""
    if given != stored + 1:
        raise ConflictError(f"{what} is at version {stored}, version {given} cannot follow")


def prepare(batch: Batch, progress_of: ProgressLookup) -> PreparedBatch:
    """Return the batch, validated and encoded. Raises ValueError when it breaks the protocol's rules."""
    _require(ACCOUNT_ID.fullmatch(batch.account.id) is not None, "account id")
    for run in batch.run_progress:
        _require(run.account == batch.account, "run of another account")
    for intent in batch.intents:
        _require(intent.account == batch.account, "intent of another account")
    _require(len(batch.causes) in {0, len(batch.changes)}, "causes of some changes only")
    removes = any(isinstance(change, AccountRemoved) for change in batch.changes)
    beside = batch.progress or batch.outside or batch.tokens or batch.intents
    alone = len(batch.changes) == 1 and not beside
    _require(not removes or alone, "changes of a removed account")
    for folder, _ in (*batch.progress, *batch.outside):
        _require(folder.account == batch.account, "progress of another account")
    given = dict(batch.progress)
    causes = batch.causes or (batch.request_id,) * len(batch.changes)
    changes = tuple(
        _prepare_change(change, Origin(batch.account.id, b"", cause), batch, given, progress_of)
        for change, cause in zip(batch.changes, causes, strict=True)
    )
    return PreparedBatch(batch, changes)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"batch refused: {what}")


def _prepare_change(
    change: Change,
    origin: Origin,
    batch: Batch,
    given: dict[FolderKey, FolderProgress],
    progress_of: ProgressLookup,
) -> PreparedChange:
    account, folder_no, folder_id = _addressee(change)
    _require(account == batch.account, "change of another account")
    other_folder = _source(change)
    rows = _rows(change)
    envelope, progress = b"", FolderProgress()
    if isinstance(change, EnvelopeAdded | EnvelopeUpdated | EnvelopeMoved):
        envelope = join_envelope(change.folder, rows[0].row)
    elif isinstance(change, FolderChanged):
        progress = given.get(change.folder.key) or progress_of(change.folder.key)
    event = encode_change(change, origin._replace(folder_id=folder_id), envelope, progress)
    flags = encode_flags(change.after) if isinstance(change, FlagsChanged) else b""
    return PreparedChange(
        change, kind_of(change), folder_no, other_folder, event, rows, _record(change), flags
    )


def _source(change: Change) -> FolderNo:
    if not isinstance(change, EnvelopeMoved):
        return NO_FOLDER
    source = change.source
    _require(
        source.account == change.folder.account and source.no != change.folder.no, "move within a folder"
    )
    return source.no


def _addressee(change: Change) -> tuple[AccountKey, FolderNo, bytes]:
    match change:
        case AccountChanged(account):
            return account.key, NO_FOLDER, b""
        case AccountRemoved(account):
            return account, NO_FOLDER, b""
        case SyncRunChanged(run):
            return run.account, NO_FOLDER, b""
    folder = change.folder
    return folder.account, folder.no, folder.id


def _rows(change: Change) -> tuple[PreparedRow, ...]:
    match change:
        case EnvelopeAdded(_, message) | EnvelopeUpdated(_, message) | EnvelopeMoved(message=message):
            return (_row(message),)
        case Backfilled(_, messages):
            _require(bool(messages), "backfill of nothing")
            _require(len({message.uid for message in messages}) == len(messages), "UID given twice")
            return tuple(_row(message) for message in sorted(messages, key=_UID))
    return ()


def _row(message: NewEnvelope) -> PreparedRow:
    uid, envelope_id, flags, envelope = message
    if not 0 < uid <= _MAX_UID or len(envelope_id) != ID_BYTES:
        raise ValueError("batch refused: UID out of range or envelope id of wrong length")
    segment, flag_hash = _flags(flags)
    row = _new_row((uid, envelope_id, segment, *encode_envelope(envelope)))
    return PreparedRow(row, flag_hash)


@lru_cache(maxsize=65_536)
def _flags(flags: Flags) -> tuple[bytes, int]:
    return encode_flags(flags), flags.hash


def _record(change: Change) -> bytes:
    match change:
        case AccountChanged(account):
            return ACCOUNTS.encode(account)
        case FolderChanged(folder) | FolderReset(folder):
            return FOLDERS.encode(folder)
        case SyncRunChanged(run):
            return RUNS.encode(run)
    return b""

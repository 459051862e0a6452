"""Changes of the mirror: each is at once a mutation of the store and the event that tells of it.

The store applies a change and appends its event in one transaction and knows no other way to alter what clients can
list, so replaying the log gives the store. A change is complete in itself: everything its event says is in it, so
that the event can be encoded before the write lock is taken.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from mailsync_grpc.model.account import Account, AccountKey
from mailsync_grpc.model.envelope import Envelope
from mailsync_grpc.model.evidence import MoveEvidence
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import Folder, FolderKey
from mailsync_grpc.model.report import Report
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.model.uidset import UidSet


class EventKind(IntEnum):
    """Kinds of events; values are those of `mailsync.v1.EventType`."""

    ENVELOPE_ADDED = 10
    ENVELOPE_UPDATED = 11
    FLAGS_CHANGED = 12
    ENVELOPE_MOVED = 13
    ENVELOPES_REMOVED = 14
    ENVELOPES_EVICTED = 15
    BACKFILLED = 16
    FOLDER_CHANGED = 17
    FOLDER_REMOVED = 18
    FOLDER_RESET = 19
    FOLDER_SYNCED = 20
    BOUNCE = 21
    COMPLAINT = 22
    AUTO_REPLY = 23
    ACCOUNT_CHANGED = 24
    ACCOUNT_REMOVED = 25
    SYNC_RUN_CHANGED = 26


class NewEnvelope(NamedTuple):
    """A message to be stored: its place, its new 10-byte id, its flags and its immutable metadata."""

    uid: int
    envelope_id: bytes
    flags: Flags
    envelope: Envelope


class KnownEnvelope(NamedTuple):
    """What the store knew of a message before it went."""

    uid: int
    envelope_id: bytes
    message_id: str
    subject: str


@dataclass(frozen=True, slots=True)
class EnvelopeAdded:
    """New mail: one event with the whole envelope."""

    folder: FolderKey
    message: NewEnvelope


@dataclass(frozen=True, slots=True)
class Backfilled:
    """History stored: one event with the UID ranges of all `messages`."""

    folder: FolderKey
    messages: tuple[NewEnvelope, ...]


@dataclass(frozen=True, slots=True)
class EnvelopeUpdated:
    """Metadata of a stored message was repaired or fetched later; its id stays.

    `message.flags` must be those that are stored, since the event tells the whole envelope as it is.
    """

    folder: FolderKey
    message: NewEnvelope


@dataclass(frozen=True, slots=True)
class EnvelopeMoved:
    """A stored message went from `source` to `folder`; `message` has the id that it had there."""

    source: FolderKey
    source_uid: int
    folder: FolderKey
    message: NewEnvelope
    evidence: MoveEvidence


@dataclass(frozen=True, slots=True)
class Reported:
    """A message that arrived reports something (`Report.kind` says which event it is); follows its EnvelopeAdded."""

    folder: FolderKey
    uid: int
    envelope_id: bytes
    report: Report


@dataclass(frozen=True, slots=True)
class FlagsChanged:
    """A message's flags differ from the last look."""

    folder: FolderKey
    uid: int
    envelope_id: bytes
    before: Flags
    after: Flags


@dataclass(frozen=True, slots=True)
class EnvelopesRemoved:
    """Stored messages that the server no longer holds; `known` tells of each when they are few."""

    folder: FolderKey
    uids: UidSet
    known: tuple[KnownEnvelope, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvelopesEvicted:
    """Stored messages that left the window; the server still holds them."""

    folder: FolderKey
    uids: UidSet


class FolderChangeKind(IntEnum):
    """Values are those of `mailsync.v1.FolderChange`."""

    CREATED = 1
    RENAMED = 2
    SELECTED = 3
    DESELECTED = 4
    STATE = 5
    ATTRIBUTES = 6


@dataclass(frozen=True, slots=True)
class FolderChanged:
    """A folder appeared or its record differs; `folder` is the whole new record, `previous_path` set by a rename."""

    folder: Folder
    change: FolderChangeKind
    previous_path: str = ""


@dataclass(frozen=True, slots=True)
class FolderRemoved:
    """A folder is gone from its server; its mirror is dropped."""

    folder: Folder


@dataclass(frozen=True, slots=True)
class FolderReset:
    """UIDVALIDITY changed: `folder` is the record with the new numbering and a new, empty mirror.

    The mirror before can no longer be listed; its ids can be found as `former` until the folder is synced again.
    """

    folder: Folder
    before: FolderKey


@dataclass(frozen=True, slots=True)
class FolderSynced:
    """The folder's first complete sync ended with `messages` stored envelopes."""

    folder: FolderKey
    messages: int


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """An account appeared or its record differs; `account` is the whole new record."""

    account: Account


@dataclass(frozen=True, slots=True)
class AccountRemoved:
    """An account was deleted; everything kept of it is purged, the payloads of its events too."""

    account: AccountKey


@dataclass(frozen=True, slots=True)
class SyncRunChanged:
    """A sync run started, advanced in a way worth telling, or ended; `run` is the whole new record."""

    run: SyncRun


Change = (
    EnvelopeAdded
    | Backfilled
    | EnvelopeUpdated
    | EnvelopeMoved
    | Reported
    | FlagsChanged
    | EnvelopesRemoved
    | EnvelopesEvicted
    | FolderChanged
    | FolderRemoved
    | FolderReset
    | FolderSynced
    | AccountChanged
    | AccountRemoved
    | SyncRunChanged
)

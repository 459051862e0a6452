"""What a store answers: envelopes as stored bytes and where they are, records of the log, sizes.

All are named tuples because they are made by the thousand; none holds a transaction or anything else of an engine.
"""

from typing import NamedTuple

from mailsync_grpc.model.changes import EventKind
from mailsync_grpc.model.envelope import PartialReason
from mailsync_grpc.model.evidence import Evidence
from mailsync_grpc.model.folder import MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo, Revision

BLOCK_SHIFT = 7
"""Flags are packed in blocks of 2^7 = 128 UIDs."""


class SealedTokens(NamedTuple):
    """What an account's login renews by itself, sealed; empty octets when there is nothing (any more).

    `version` counts the changes, since several processes renew (see `Store.apply`).
    """

    version: int
    sealed: bytes


NO_TOKENS = SealedTokens(0, b"")


class Authorization(NamedTuple):
    """An authorization on its way, sealed, until `expire_time` (milliseconds since 1970)."""

    sealed: bytes
    expire_time: int


class EnvelopeRow(NamedTuple):
    """One stored envelope as segments of its serialized `mailsync.v1.Envelope`, ready to be joined.

    `flags` holds field 6, `basic` fields 10 to 29, `detail` fields 30 and up; each is complete with its tags.
    """

    uid: int
    envelope_id: bytes
    flags: bytes
    basic: bytes
    detail: bytes

    @property
    def octets(self) -> int:
        """Size of the segments, by which pages are bounded."""
        return len(self.flags) + len(self.basic) + len(self.detail)


class EnvelopePage(NamedTuple):
    """Rows in the asked order; `more` tells that the folder holds further ones beyond the last row."""

    rows: list[EnvelopeRow]
    more: bool
    read_revision: Revision


class EnvelopePlace(NamedTuple):
    """Where an envelope id is now."""

    folder: FolderNo
    uid: int


class Twin(NamedTuple):
    """A stored envelope that may be the same message as another; `former` when only its folder's old numbering has it."""

    folder: FolderNo
    mirror: MirrorNo
    uid: int
    envelope_id: bytes
    evidence: Evidence
    former: bool


class Summary(NamedTuple):
    """What windows and repairs need to know of a stored envelope: seconds since 1970, and why it is partial."""

    uid: int
    internal_date: int | None
    partial: PartialReason | None


class FlagBlock(NamedTuple):
    """Flags of up to 128 consecutive UIDs, packed (see `store.flagblocks`); `number` is `uid >> 7`."""

    number: int
    packed: bytes


class LogRecord(NamedTuple):
    """One event of the log. `event` is a serialized `mailsync.v1.Event`, empty when its account was deleted.

    (Only ACCOUNT_REMOVED itself stays.) `folder` is 0 for events without one; `other_folder` is the second folder of a
    move, else 0; `check` is a 64-bit hash of the event as first written; `commit_time` is milliseconds since 1970.
    """

    revision: Revision
    commit_time: int
    kind: EventKind
    account: AccountNo
    folder: FolderNo
    other_folder: FolderNo
    check: int
    event: bytes


class LogSlice(NamedTuple):
    """Consecutive records after a position, with the log's bounds at that moment.

    Positions from `floor` to `head` can be read from; `floor` is the revision before the oldest kept event.
    """

    records: list[LogRecord]
    floor: Revision
    head: Revision


class Trimmed(NamedTuple):
    """How many events were dropped because of their age, how many because of the log's size; `more` are to be."""

    by_age: int
    by_size: int
    more: bool


class StoreStats(NamedTuple):
    """Sizes for the metrics: bytes used by the engine's files, kept event bytes, events and envelopes.

    The times are commit times of the oldest and the newest kept event in milliseconds since 1970, 0 without any.
    """

    bytes_used: int
    log_bytes: int
    log_floor: Revision
    log_head: Revision
    log_oldest_time: int
    log_newest_time: int
    envelopes: int
    accounts: int


class RecordedAnswer(NamedTuple):
    """The answer to a request, kept 24 h so that a repeat of the request changes nothing (AIP-155).

    `scope` is the caller and method, `fingerprint` a hash of the request without its request_id.
    """

    scope: str
    request_id: str
    fingerprint: bytes
    response: bytes

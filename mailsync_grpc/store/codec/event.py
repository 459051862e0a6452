"""Events as stored and sent: a change encoded before the write lock, stamped with its revision under it.

An event's fields after the first two are known when the batch is made; revision and commit time are known only inside
the commit. Protobuf merges concatenated messages, so the stamp is put in front and nothing is parsed.
"""

from functools import lru_cache
from typing import NamedTuple

from google.protobuf.message import Message

from mailsync_grpc.model.changes import (
    AccountChanged,
    AccountRemoved,
    Backfilled,
    Change,
    EnvelopeAdded,
    EnvelopeMoved,
    EnvelopesEvicted,
    EnvelopesRemoved,
    EnvelopeUpdated,
    EventKind,
    FlagsChanged,
    FolderChanged,
    FolderRemoved,
    FolderReset,
    FolderSynced,
    KnownEnvelope,
    Reported,
    SyncRunChanged,
)
from mailsync_grpc.model.folder import FolderKey, FolderProgress
from mailsync_grpc.model.ids import account_name, encode_id, envelope_name, folder_name
from mailsync_grpc.model.report import ReportKind
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.codec.envelope import flags_message
from mailsync_grpc.store.codec.identity import identity
from mailsync_grpc.store.codec.messages import account_message, folder_message, report_message, run_message
from mailsync_grpc.store.codec.wire import (
    bytes_tag,
    chunk,
    clean,
    millis_field,
    text_field,
    varint,
    varint_tag,
)
from mailsync_grpc.v1 import envelope_pb2, event_pb2

_REVISION, _COMMIT_TIME = varint_tag(1), bytes_tag(2)
_ACCOUNT, _FOLDER, _REQUEST_ID = bytes_tag(3), bytes_tag(4), bytes_tag(5)
_PAYLOAD = {kind: bytes_tag(kind) for kind in EventKind}
_WHOLE_ENVELOPE, _MOVED_ENVELOPE = bytes_tag(1), bytes_tag(5)
_FLAGS_AFTER, _FLAGS_ADDED, _FLAGS_REMOVED = bytes_tag(5), bytes_tag(6), bytes_tag(7)


class Origin(NamedTuple):
    """Where an event comes from: account and folder ids (the latter empty for none) and the request that caused it."""

    account_id: str
    folder_id: bytes
    request_id: str


def commit_time_field(millis: int) -> bytes:
    """Return the commit time as a field of Event; the same for every event of a commit."""
    return millis_field(_COMMIT_TIME, millis)


def stamp(revision: int, commit_time: bytes, event: bytes) -> bytes:
    """Return the whole serialized Event; `commit_time` is from `commit_time_field`, `event` from `encode_change`."""
    return _REVISION + varint(revision) + commit_time + event


@lru_cache(maxsize=1_024)
def _origin_fields(origin: Origin) -> bytes:
    account_id, folder_id, request_id = origin
    folder = folder_name(account_id, folder_id) if folder_id else ""
    fields = (_ACCOUNT, account_name(account_id)), (_FOLDER, folder), (_REQUEST_ID, request_id)
    return b"".join(text_field(tag, text) for tag, text in fields)


def encode_change(change: Change, origin: Origin, envelope: bytes, progress: FolderProgress) -> bytes:
    """Return the change's event without revision and commit time.

    `envelope` is the joined envelope of a change that tells a whole one, `progress` that of a FolderChanged's folder;
    other changes need neither.
    """
    match change:
        case EnvelopeAdded() | EnvelopeUpdated():
            payload = chunk(_WHOLE_ENVELOPE, envelope)
        case EnvelopeMoved():
            payload = _moved(change).SerializeToString() + chunk(_MOVED_ENVELOPE, envelope)
        case FlagsChanged():
            payload = _flags_changed(change)
        case _:
            payload = _message(change, progress).SerializeToString()
    return _origin_fields(origin) + chunk(_PAYLOAD[kind_of(change)], payload)


_KINDS: dict[type[Change], EventKind] = {
    EnvelopeAdded: EventKind.ENVELOPE_ADDED,
    EnvelopeUpdated: EventKind.ENVELOPE_UPDATED,
    EnvelopeMoved: EventKind.ENVELOPE_MOVED,
    Backfilled: EventKind.BACKFILLED,
    FlagsChanged: EventKind.FLAGS_CHANGED,
    EnvelopesRemoved: EventKind.ENVELOPES_REMOVED,
    EnvelopesEvicted: EventKind.ENVELOPES_EVICTED,
    FolderChanged: EventKind.FOLDER_CHANGED,
    FolderRemoved: EventKind.FOLDER_REMOVED,
    FolderReset: EventKind.FOLDER_RESET,
    FolderSynced: EventKind.FOLDER_SYNCED,
    AccountChanged: EventKind.ACCOUNT_CHANGED,
    AccountRemoved: EventKind.ACCOUNT_REMOVED,
    SyncRunChanged: EventKind.SYNC_RUN_CHANGED,
}
_REPORTS: dict[
    ReportKind, tuple[EventKind, type[event_pb2.Bounce | event_pb2.Complaint | event_pb2.AutoReply]]
] = {
    ReportKind.BOUNCE: (EventKind.BOUNCE, event_pb2.Bounce),
    ReportKind.COMPLAINT: (EventKind.COMPLAINT, event_pb2.Complaint),
    ReportKind.AUTO_REPLY: (EventKind.AUTO_REPLY, event_pb2.AutoReply),
}


def kind_of(change: Change) -> EventKind:
    """Return what the change is called in the log."""
    return _REPORTS[change.report.kind][0] if isinstance(change, Reported) else _KINDS[type(change)]


def _moved(change: EnvelopeMoved) -> event_pb2.EnvelopeMoved:
    """Return all but the envelope."""
    source, uid = change.source, change.source_uid
    return event_pb2.EnvelopeMoved(
        from_folder=source.name,
        from_name=envelope_name(source.account.id, source.id, source.uid_validity, uid),
        from_uid=uid,
        from_uid_validity=source.uid_validity,
        evidence=event_pb2.MoveEvidence.ValueType(change.evidence),
    )


def _reported(change: Reported) -> Message:
    folder = change.folder
    return _REPORTS[change.report.kind][1](
        envelope=envelope_name(folder.account.id, folder.id, folder.uid_validity, change.uid),
        envelope_id=encode_id(change.envelope_id),
        report=report_message(change.report),
    )


def _flags_changed(change: FlagsChanged) -> bytes:
    # name, uid, uid_validity and envelope_id have the same numbers as in Envelope (a golden test holds that).
    fields = [
        identity(change.folder, change.uid, change.envelope_id),
        chunk(_FLAGS_AFTER, flags_message(change.after)),
        chunk(_FLAGS_ADDED, flags_message(change.after.minus(change.before))),
        chunk(_FLAGS_REMOVED, flags_message(change.before.minus(change.after))),
    ]
    return b"".join(fields)


def _message(change: Change, progress: FolderProgress) -> Message:
    match change:
        case Reported():
            return _reported(change)
        case AccountChanged(account):
            return event_pb2.AccountChanged(account=account_message(account))
        case AccountRemoved(account):
            return event_pb2.AccountRemoved(account=account_name(account.id))
        case SyncRunChanged(run):
            return event_pb2.SyncRunChanged(sync_run=run_message(run))
    return _rows_event(change) or _folder_event(change, progress)


def _rows_event(change: Change) -> Message | None:
    match change:
        case Backfilled(folder, messages):
            uids = UidSet.of(message.uid for message in messages)
            return event_pb2.Backfilled(
                uid_validity=folder.uid_validity, uids=_ranges(uids), count=len(messages)
            )
        case EnvelopesRemoved(folder, uids, known):
            return event_pb2.EnvelopesRemoved(
                uid_validity=folder.uid_validity,
                uids=_ranges(uids),
                known=[_removed(folder, envelope) for envelope in known],
            )
        case EnvelopesEvicted(folder, uids):
            return event_pb2.EnvelopesEvicted(uid_validity=folder.uid_validity, uids=_ranges(uids))
    return None


def _folder_event(change: Change, progress: FolderProgress) -> Message:
    match change:
        case FolderChanged(folder, kind, previous_path):
            return event_pb2.FolderChanged(
                folder=folder_message(folder, progress),
                change=event_pb2.FolderChange.ValueType(kind),
                previous_path=clean(previous_path),
            )
        case FolderSynced(key, messages):
            return event_pb2.FolderSynced(uid_validity=key.uid_validity, messages=messages)
        case FolderRemoved(folder):
            return event_pb2.FolderRemoved(path=clean(folder.display_name))
        case FolderReset(folder, before):
            return event_pb2.FolderReset(
                old_uid_validity=before.uid_validity, new_uid_validity=folder.uid_validity
            )
    raise TypeError(change)


def _ranges(uids: UidSet) -> list[envelope_pb2.UidRange]:
    return [envelope_pb2.UidRange(first=first, last=last) for first, last in uids.ranges]


def _removed(folder: FolderKey, known: KnownEnvelope) -> event_pb2.RemovedEnvelope:
    return event_pb2.RemovedEnvelope(
        name=envelope_name(folder.account.id, folder.id, folder.uid_validity, known.uid),
        uid=known.uid,
        envelope_id=encode_id(known.envelope_id),
        message_id=known.message_id,
        subject=known.subject,
    )

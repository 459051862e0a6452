"""Metadata that comes after its message was stored: fetched when someone asked, or repaired."""

from collections.abc import Mapping

from mailsync_grpc.model.changes import EnvelopeUpdated, NewEnvelope
from mailsync_grpc.model.envelope import Envelope
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.codec.envelope import decode_flags


def updates(store: Store, folder: Folder, envelopes: Mapping[int, Envelope]) -> list[EnvelopeUpdated]:
    """Return the changes that give stored messages, by UID, their new metadata; those not stored are passed over.

    They hold the flags as they are stored now: when these change before the commit it is refused (ConflictError).
    """
    rows = ((store.envelope(folder, uid), envelope) for uid, envelope in envelopes.items())
    return [
        EnvelopeUpdated(folder.key, NewEnvelope(row.uid, row.envelope_id, decode_flags(row.flags), envelope))
        for row, envelope in rows
        if row is not None
    ]

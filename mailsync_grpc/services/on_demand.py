"""Metadata that minimal mode left on the mail server: fetched when a caller asks for it, kept, and told to all.

One fetch serves all who ask for the same message meanwhile, and goes on when its callers have gone. What it brings is
committed as ENVELOPE_UPDATED like any other change; the caller gets it even when it cannot be stored.
"""

import asyncio
from functools import partial

from mailsync_grpc.errors import EnvelopeNotFoundError, StoreFullError
from mailsync_grpc.imap.reading import Reading
from mailsync_grpc.imap.report import MAX_OCTETS
from mailsync_grpc.imap.sessions import Sessions
from mailsync_grpc.model.envelope import Envelope, PartialReason
from mailsync_grpc.model.folder import MirrorNo
from mailsync_grpc.model.ids import AccountNo, envelope_name
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.lookup import FoundEnvelope
from mailsync_grpc.store.base import Batch, ConflictError
from mailsync_grpc.store.codec import encode_envelope
from mailsync_grpc.store.codec.envelope import decode_partial
from mailsync_grpc.store.values import EnvelopeRow
from mailsync_grpc.sync import bounce
from mailsync_grpc.sync.commit import is_husk
from mailsync_grpc.sync.updates import updates

ATTEMPTS = 10
"""Tries to store metadata of a message whose flags keep changing."""

Flight = tuple[AccountNo, MirrorNo, int]


class OnDemand:
    """Fetches over `sessions`. Belongs to one event loop."""

    def __init__(self, core: Core, sessions: Sessions) -> None:
        self._core = core
        self._sessions = sessions
        self._flights: dict[Flight, asyncio.Task[EnvelopeRow]] = {}

    async def whole(self, found: FoundEnvelope) -> EnvelopeRow:
        """Return the envelope's row, with its metadata fetched first where that was left for later.

        Raises EnvelopeNotFoundError, UidValidityChangedError, CredentialsNeededError and any ImapError.
        """
        if decode_partial(found.row.detail) is not PartialReason.NOT_FETCHED:
            return found.row
        key = (found.account.no, found.folder.mirror, found.row.uid)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._fetched(found))
            flight.add_done_callback(partial(self._landed, key))
        return await asyncio.shield(flight)

    def _landed(self, key: Flight, flight: "asyncio.Task[EnvelopeRow]") -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, even if every caller has gone

    async def _fetched(self, found: FoundEnvelope) -> EnvelopeRow:
        read = partial(_read, found)
        envelope = await self._sessions.read(found.account, found.folder, read)
        return await self._core.run(self._kept, found, envelope)

    def _kept(self, found: FoundEnvelope, envelope: Envelope) -> EnvelopeRow:
        """Store the metadata; flags that changed meanwhile are read again."""
        store, uid = self._core.store, found.row.uid
        for _ in range(ATTEMPTS):
            changes = updates(store, found.folder, {uid: envelope})
            if not changes:
                raise EnvelopeNotFoundError(_name(found))
            try:
                store.apply(Batch(found.account.key, tuple(changes)))
            except ConflictError:
                continue
            except StoreFullError:
                break
            return store.envelope(found.folder, uid) or _joined(found.row, envelope)
        return _joined(found.row, envelope)


def _read(found: FoundEnvelope, connection: Reading) -> Envelope:
    messages = connection.fetch_metadata(UidSet.span(found.row.uid, found.row.uid))
    # A husk is what some servers tell of a message that another session expunged.
    if not messages or is_husk(messages[0].envelope):
        raise EnvelopeNotFoundError(_name(found))
    octets = connection.fetch_sections(bounce.wanted(messages, UidSet()), MAX_OCTETS)
    return bounce.completed(messages, octets)[0].envelope


def _joined(row: EnvelopeRow, envelope: Envelope) -> EnvelopeRow:
    basic, detail = encode_envelope(envelope)
    return row._replace(basic=basic, detail=detail)


def _name(found: FoundEnvelope) -> str:
    folder = found.folder
    return envelope_name(found.account.id, folder.id, folder.uid_validity, found.row.uid)

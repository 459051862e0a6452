"""What shows that two messages are one: the same EMAILID (RFC 8474), or the same Message-ID, size and INTERNALDATE.

An envelope id is 80 bits: 40 of a hash of this evidence, then 40 random ones (all random without evidence). So the
index that finds an envelope by its id also finds, by the first half, the messages that may be the same: a look-up a
message, and not a byte more to store. The hash only proposes; the evidence itself is compared.
"""

from enum import IntEnum

import xxhash

from mailsync_grpc.model.envelope import Envelope
from mailsync_grpc.model.ids import ID_BYTES

MARK_BYTES = ID_BYTES // 2
"""Length of the half of an envelope id that comes from the evidence."""


class MoveEvidence(IntEnum):
    """Values are those of `mailsync.v1.MoveEvidence`."""

    EMAIL_ID = 1
    GMAIL_MESSAGE_ID = 2
    MESSAGE_ID_SIZE_DATE = 3


Evidence = tuple[object, ...]
"""Equal for two messages that are one, as far as can be seen."""


def evidence_of(envelope: Envelope) -> Evidence | None:
    """Return what identifies the message wherever it is, None when nothing does."""
    if envelope.email_id:
        return (envelope.email_id,)
    if envelope.message_id and envelope.internal_date is not None:
        return (envelope.message_id, envelope.size, envelope.internal_date)
    return None


def mark_of(evidence: Evidence) -> bytes:
    """Return the first half of the ids of messages with this evidence."""
    return xxhash.xxh3_64_digest(repr(evidence).encode())[:MARK_BYTES]


def envelope_id(envelope: Envelope, random: bytes) -> bytes:
    """Return a new envelope id from `ID_BYTES` random bytes."""
    evidence = evidence_of(envelope)
    return random if evidence is None else mark_of(evidence) + random[MARK_BYTES:]

"""One hash for what a mirror holds, the same in every language: equal hashes are equal mirrors.

Defined in clients/README.md: SHA-256 over one netstring for each envelope, in the order of their names' octets; each holds
the netstrings of its fields. A netstring is `<length in octets>:<octets>,`, so no text needs escaping.
"""

from collections.abc import Iterable
from hashlib import sha256

from mailsync_client.v1.envelope_pb2 import Envelope, Flags

_SYSTEM_FLAGS = ("answered", "deleted", "draft", "flagged", "seen")


def state_hash(envelopes: Iterable[Envelope]) -> str:
    """The hash in lower-case hexadecimal. Envelopes in any order, of the BASIC view or more."""
    digest = sha256()
    for _, record in sorted((envelope.name.encode(), _record(envelope)) for envelope in envelopes):
        digest.update(record)
    return digest.hexdigest()


def _record(envelope: Envelope) -> bytes:
    received = str(envelope.internal_date.seconds) if envelope.HasField("internal_date") else ""
    fields = [
        envelope.name.encode(),
        envelope.envelope_id.encode(),
        b"".join(_netstring(flag) for flag in _flags(envelope.flags)),
        received.encode(),
        str(envelope.size).encode(),
        envelope.message_id.encode(),
        envelope.subject.encode(),
    ]
    return _netstring(b"".join(_netstring(each) for each in fields))


def _flags(flags: Flags) -> list[bytes]:
    names = [name for name in _SYSTEM_FLAGS if getattr(flags, name)]
    names += [f"keyword:{keyword}" for keyword in flags.keywords]
    names += [f"label:{label}" for label in flags.labels]
    return sorted(name.encode() for name in names)


def _netstring(octets: bytes) -> bytes:
    return b"%d:%b," % (len(octets), octets)

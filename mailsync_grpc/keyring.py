"""Which keys open what is sealed here, and how one master key hands over to the next.

A data directory belongs to a master key, which a check value beside the store tells. Everything sealed under it opens
with it. A rotation adds a second key: from then on the file holds a ring, one entry for each master key that may open
the directory, and every entry holds, sealed under its key, the same keys: the newest, which seals, and older ones, which
open what is not sealed anew yet. So a process that knows either key knows both, at every moment of the rotation, and
each of its steps is one file replaced by rename. Retiring the old key drops its entry.

What is derived for other purposes (page and resume tokens, names of cached content) hangs on a root of its own, which is
derived from the first key and handed on: a rotation makes no token invalid and no cached content unreachable.
"""

import base64
import binascii
import hmac
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
CHECK_FILE = "master.check"

_NONCE_BYTES = 12
_DIGEST_BYTES = 32


class Keys(NamedTuple):
    """Master keys in use, the newest first, which seals; and the root of keys for other purposes."""

    accepted: tuple[bytes, ...]
    root: bytes

    @classmethod
    def of(cls, master_key: bytes) -> "Keys":
        """Return the keys of a directory that has known no other master key."""
        return cls((master_key,), derived(master_key, "root"))


Ring = Mapping[bytes, bytes]
"""From a key's check value to the keys, sealed under it; nothing for the only key of a directory that never had another."""


def derived(key: bytes, purpose: str) -> bytes:
    """Return the 32-byte key of a purpose (HKDF-SHA256, RFC 5869)."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"mailsync/{purpose}".encode()).derive(key)


def check_of(key: bytes) -> bytes:
    """Return the value that tells a master key, and says nothing of it."""
    return hmac.digest(derived(key, "check"), b"mailsync", "sha256")


def first_ring(key: bytes) -> bytes:
    """Return the file's content for a directory's first key."""
    return check_of(key)


def read_ring(content: bytes) -> Ring:
    """Return the ring in the file's content, the empty one for what is none."""
    if len(content) == _DIGEST_BYTES:
        return {content: b""}
    try:
        entries = json.loads(content)
        return {_octets(check): _octets(sealed) for check, sealed in entries.items()}
    except (ValueError, AttributeError, TypeError, binascii.Error):
        return {}


def keys_in(ring: Ring, master_key: bytes) -> Keys | None:
    """Return the keys that the ring holds for a master key, None when it is not one of the directory's."""
    sealed = ring.get(check_of(master_key))
    if sealed is None:
        return None
    if not sealed:
        return Keys.of(master_key)
    try:
        plain = _cipher(master_key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], b"keys")
    except InvalidTag:
        return None
    record = json.loads(plain)
    return Keys(tuple(map(_octets, record["keys"])), _octets(record["root"]))


def write_ring(data_dir: Path, keys: Keys, openers: tuple[bytes, ...]) -> None:
    """Let each of `openers` open the directory with `keys`, and no other key; whole and durable or not at all."""
    record = json.dumps({"keys": list(map(_text, keys.accepted)), "root": _text(keys.root)}).encode()
    entries = {_text(check_of(key)): _text(_sealed(key, record)) for key in openers}
    replace(data_dir / CHECK_FILE, json.dumps(entries).encode())


def replace(file: Path, content: bytes) -> None:
    """Replace a file, mode 0600, whole and durable or not at all."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    draft.rename(file)
    directory = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _sealed(key: bytes, plain: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, plain, b"keys")


def _cipher(key: bytes) -> AESGCM:
    return AESGCM(derived(key, "keyring"))


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _octets(text: str) -> bytes:
    return base64.b64decode(text, validate=True)

"""Identifiers and resource names.

Inside, accounts and folders are interned 32-bit numbers (never reused); outside they are resource names after
AIP-122 built from opaque ids. Folder and envelope ids are 80 random bits in lower-case base32 (16 characters), so
that they say nothing about the mailbox and survive renames and moves.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NewType

AccountNo = NewType("AccountNo", int)
"""Interned number of an account, 1 to 2^32-1."""
FolderNo = NewType("FolderNo", int)
"""Interned number of a folder, unique in the whole store, 1 to 2^32-1."""
Revision = NewType("Revision", int)
"""Position in the event log; dense, the first event is 1; 0 means before every event."""

ID_BYTES = 10
"""Length of a folder or envelope id: 80 bits."""

ACCOUNT_ID = re.compile(r"[a-z0-9-]{1,63}")
OPAQUE_ID = re.compile(r"[a-z2-7]{16}")
RUN_ID = re.compile(r"[1-9][0-9]{0,18}")

RandomBytes = Callable[[int], bytes]


def encode_id(raw: bytes) -> str:
    """Return the 16-character base32 text of a 10-byte id."""
    return base64.b32encode(raw).decode("ascii").lower()


def decode_id(text: str) -> bytes | None:
    """Return the 10 bytes of a base32 id, or None when `text` is not one."""
    if not OPAQUE_ID.fullmatch(text):
        return None
    return base64.b32decode(text.upper())


def encode_secret(raw: bytes) -> str:
    """Return random bytes as letters, digits, `-` and `_`."""
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def account_name(account_id: str) -> str:
    """Return `accounts/{account}`."""
    return f"accounts/{account_id}"


def folder_name(account_id: str, folder_id: bytes) -> str:
    """Return `accounts/{account}/folders/{folder}`."""
    return f"accounts/{account_id}/folders/{encode_id(folder_id)}"


def envelope_name(account_id: str, folder_id: bytes, uid_validity: int, uid: int) -> str:
    """Return `accounts/{account}/folders/{folder}/envelopes/{uid_validity}.{uid}`."""
    return f"{folder_name(account_id, folder_id)}/envelopes/{uid_validity}.{uid}"


def run_name(account_id: str, run: int) -> str:
    """Return `accounts/{account}/syncRuns/{run}`."""
    return f"{account_name(account_id)}/syncRuns/{run}"


@dataclass(frozen=True, slots=True)
class FolderRef:
    """A parsed folder name."""

    account_id: str
    folder_id: bytes


@dataclass(frozen=True, slots=True)
class EnvelopeRef:
    """A parsed envelope name by place: folder, UIDVALIDITY and UID."""

    folder: FolderRef
    uid_validity: int
    uid: int


@dataclass(frozen=True, slots=True)
class EnvelopeIdRef:
    """A parsed envelope name by the id that stays the same when the message moves."""

    account_id: str
    envelope_id: bytes


@dataclass(frozen=True, slots=True)
class RunRef:
    """A parsed sync run name."""

    account_id: str
    run: int


_ENVELOPE = re.compile(r"([1-9][0-9]{0,9})\.([1-9][0-9]{0,9})")
_MAX_NZ_NUMBER = 0xFFFFFFFF  # RFC 3501 section 9, nz-number


def parse_account(name: str) -> str | None:
    """Return the account id in `accounts/{account}`, or None when `name` has another form."""
    match name.split("/"):
        case ["accounts", account_id] if ACCOUNT_ID.fullmatch(account_id):
            return account_id
    return None


def parse_folder(name: str) -> FolderRef | None:
    """Return the parts of a folder name, or None when `name` has another form."""
    match name.split("/"):
        case ["accounts", account_id, "folders", text]:
            folder_id = decode_id(text)
            if folder_id is not None and ACCOUNT_ID.fullmatch(account_id):
                return FolderRef(account_id, folder_id)
    return None


def parse_envelope(name: str) -> EnvelopeRef | EnvelopeIdRef | None:
    """Return the parts of either form of an envelope name, or None when `name` has another form."""
    match name.split("/"):
        case ["accounts", account_id, "envelopes", text]:
            envelope_id = decode_id(text)
            if envelope_id is not None and ACCOUNT_ID.fullmatch(account_id):
                return EnvelopeIdRef(account_id, envelope_id)
        case ["accounts", account_id, "folders", folder, "envelopes", place]:
            ref = parse_folder(f"accounts/{account_id}/folders/{folder}")
            numbers = _ENVELOPE.fullmatch(place)
            if ref is not None and numbers is not None:
                uid_validity, uid = int(numbers[1]), int(numbers[2])
                if max(uid_validity, uid) <= _MAX_NZ_NUMBER:
                    return EnvelopeRef(ref, uid_validity, uid)
    return None


def parse_token(name: str) -> str | None:
    """Return the id in `tokens/{token}`, or None when `name` has another form."""
    match name.split("/"):
        case ["tokens", token_id] if OPAQUE_ID.fullmatch(token_id):
            return token_id
    return None


def parse_run(name: str) -> RunRef | None:
    """Return the parts of a sync run name, or None when `name` has another form."""
    match name.split("/"):
        case ["accounts", account_id, "syncRuns", run]:
            if ACCOUNT_ID.fullmatch(account_id) and RUN_ID.fullmatch(run):
                return RunRef(account_id, int(run))
    return None

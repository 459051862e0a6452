"""Pages after AIP-158: sealed keyset tokens and coerced page sizes.

A page token is the key of the last item, encrypted and authenticated (AES-GCM) with the request it belongs to as
associated data: whoever alters it, changes anything but the page size, or has it from another caller, is told so instead of
reading from elsewhere.
"""

import base64
import binascii
import os
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import Message

from mailsync_grpc.errors import InvalidFieldError, PageTokenInvalidError
from mailsync_grpc.services.callers import current
from mailsync_grpc.vault import Vault

MAX_PAGE_SIZE = 1_000
MAX_PAGE_BYTES = 1 << 20

_NONCE_BYTES = 12
_PAGE_FIELDS = ("page_size", "page_token", "continue_token")


def page_size(asked: int, default: int = 100) -> int:
    """Return the items of a page: 0 means `default`, more than 1,000 is coerced. Raises InvalidFieldError below 0."""
    if asked < 0:
        raise InvalidFieldError({"page_size": "0 for the default, or at least 1"})
    return min(asked or default, MAX_PAGE_SIZE)


def request_hash(request: Message, *without: str) -> bytes:
    """Return 32 bytes that stand for the request and its type, the fields `without` left out where it has them."""
    bare = type(request)()
    bare.CopyFrom(request)
    for field in without:
        if field in request.DESCRIPTOR.fields_by_name:
            bare.ClearField(field)
    return sha256(
        request.DESCRIPTOR.full_name.encode() + b"\0" + bare.SerializeToString(deterministic=True)
    ).digest()


class PageTokens:
    """Makes and opens page tokens."""

    def __init__(self, vault: Vault) -> None:
        self._cipher = AESGCM(vault.subkey("page-token"))

    def seal(self, request: Message, key: bytes) -> str:
        """Return the token by which `request`, repeated with it, goes on after `key`."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, key, _belonging(request))
        return base64.urlsafe_b64encode(nonce + sealed).decode("ascii").rstrip("=")

    def open(self, request: Message, token: str) -> bytes | None:
        """Return the key in `token`, None for the empty token. Raises PageTokenInvalidError."""
        if not token:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            return self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _belonging(request))
        except (InvalidTag, binascii.Error, ValueError):
            raise PageTokenInvalidError(
                "the page token was not made by this server for this request; start again without one"
            ) from None


def _belonging(request: Message) -> bytes:
    return request_hash(request, *_PAGE_FIELDS) + current().name.encode()

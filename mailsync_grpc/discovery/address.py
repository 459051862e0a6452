"""An e-mail address as far as finding its mail server needs it: the local part, and the domain as DNS knows it.

The address belongs to a person, so it shows in no representation and must reach no log.
"""

import re
from dataclasses import dataclass, field

import idna

from mailsync_grpc.errors import InvalidFieldError

_MAX_ADDRESS, _MAX_LOCAL = 254, 64  # octets, RFC 5321 sections 4.5.3.1.1 and 4.5.3.1.3
_UNSENDABLE = re.compile(r"[\s\x00-\x20\x7f-\x9f@\ud800-\udfff]")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})+")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """`text` is the address as it was given, `domain` its domain in A-labels and lower case (RFC 5890)."""

    text: str = field(repr=False)
    local: str = field(repr=False)
    domain: str


def parse_address(text: str) -> EmailAddress:
    """Return the parts of an address. Raises InvalidFieldError."""
    local, _, domain = text.rpartition("@")
    encoded = _a_labels(domain)
    right = local and not _UNSENDABLE.search(local) and _octets(local) <= _MAX_LOCAL
    if not right or not encoded or _octets(text) > _MAX_ADDRESS:
        raise InvalidFieldError({"email_address": "local-part@domain, the domain one that DNS can hold"})
    return EmailAddress(text, local, encoded)


def is_host(name: str) -> bool:
    """Whether a host can be called so: ASCII, lower case, at least two labels."""
    return len(name) <= 253 and _HOST.fullmatch(name) is not None


def _octets(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _a_labels(domain: str) -> str:
    """Return the domain as DNS holds it (RFC 5891, mapped by UTS 46), empty when it is none."""
    if len(domain) > _MAX_ADDRESS:
        return ""
    try:
        encoded = idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError:
        return ""
    return encoded if _DOMAIN.fullmatch(encoded) else ""

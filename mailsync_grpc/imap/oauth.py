r"""OAuth 2 toward mail servers, as bytes and values: SASL messages, the refresh request, the token endpoint's answer.

A login carries a bearer token (RFC 6750) by OAUTHBEARER (RFC 7628) or by XOAUTH2, which Google and Microsoft had before
it. Both mechanisms answer a refused token with a challenge that says why, which the client must acknowledge before the
server completes the command. The access token is had for a refresh token (RFC 6749 section 6).
"""

import json
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlencode

from mailsync_grpc.errors import ImapAuthError, ImapUnreachableError
from mailsync_grpc.imap.header_text import clean

MECHANISMS = {"OAUTHBEARER": b"\x01", "XOAUTH2": b""}
"""By preference, each with the client's acknowledgement of a refusal (RFC 7628 section 3.2.3)."""
DEFAULT_LIFETIME = 3_600.0
"""Seconds, where the endpoint leaves `expires_in` out (RFC 6749 section 5.1 only recommends it)."""
_MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token endpoint wants to see; secrets show in no representation."""

    token_endpoint: str
    client_id: str
    refresh_token: str = field(repr=False)
    client_secret: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ()


class Granted(NamedTuple):
    """An access token, its life in seconds, and the next refresh token where the endpoint rotates them, else empty."""

    access_token: str
    lifetime: float
    refresh_token: str = ""


def first_response(mechanism: str, username: str, host: str, port: int, token: str) -> bytes:
    """Return the client's first message of `mechanism`, one of MECHANISMS."""
    if mechanism == "XOAUTH2":
        return f"user={username}\x01auth=Bearer {token}\x01\x01".encode()
    # The name is a GS2 saslname (RFC 5801 section 4), in which these two are escaped.
    name = username.replace("=", "=3D").replace(",", "=2C")
    return f"n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {token}\x01\x01".encode()


def refresh_form(grant: Grant) -> bytes:
    """Return the body of a refresh request (RFC 6749 section 6), form-encoded."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": grant.refresh_token,
        "client_id": grant.client_id,
        "client_secret": grant.client_secret,
        "scope": " ".join(grant.scopes),
    }
    return urlencode({name: value for name, value in form.items() if value}).encode("ascii")


def granted(status: int, body: bytes) -> Granted:
    """Return what the endpoint's answer grants.

    Raises ImapAuthError when it refuses the grant (4xx), and ImapUnreachableError when it asks for patience, is out of
    order, or its answer makes no sense.
    """
    answer = _fields(body)
    if status in range(400, 500) and status not in {408, 425, 429}:
        error = answer.get("error")
        reason = clean(error).strip()[:_MAX_REASON] if isinstance(error, str) else f"status {status}"
        raise ImapAuthError(f"the token endpoint refused to renew the login: {reason}")
    token, renewed, lifetime = (answer.get(n) for n in ("access_token", "refresh_token", "expires_in"))
    if status != 200 or not isinstance(token, str) or not sendable(token):
        raise ImapUnreachableError(f"the token endpoint answered without a token (status {status})")
    seconds = float(lifetime) if isinstance(lifetime, int | float) and lifetime > 0 else DEFAULT_LIFETIME
    return Granted(token, seconds, renewed if isinstance(renewed, str) else "")


def sendable(token: str) -> bool:
    """Whether the token can stand in a bearer's message (RFC 6750 section 2.1: printable ASCII without blanks)."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def _fields(body: bytes) -> dict[str, object]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}

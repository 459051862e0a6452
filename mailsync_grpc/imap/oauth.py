r"""OAuth 2 toward mail servers, as bytes and values: SASL messages, token requests, the token endpoint's answer.

A login carries a bearer token (RFC 6750) by OAUTHBEARER (RFC 7628) or by XOAUTH2, which Google and Microsoft had before
it. Both mechanisms answer a refused token with a challenge that says why, which the client must acknowledge before the
server completes the command. The access token is had for a refresh token (RFC 6749 section 6) or, the first time, for
the code that a user's consent gave (section 4.1.3), with the verifier of its challenge (RFC 7636).
"""

import json
from collections.abc import Iterable
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
_LONGEST_LIFETIME = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Grant:
    """Who asks a token endpoint, and for what; the secret shows in no representation."""

    token_endpoint: str
    client_id: str
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


def refresh_form(grant: Grant, refresh_token: str) -> dict[str, str]:
    """Return the fields of a refresh request (RFC 6749 section 6)."""
    scope = " ".join(grant.scopes)
    return {"grant_type": "refresh_token", "refresh_token": refresh_token, "scope": scope, **_client(grant)}


def code_form(grant: Grant, code: str, verifier: str, redirect_uri: str) -> dict[str, str]:
    """Return the fields of the request that exchanges a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return {**form, "code_verifier": verifier, **_client(grant)}


def _client(grant: Grant) -> dict[str, str]:
    return {"client_id": grant.client_id, "client_secret": grant.client_secret}


def encoded(form: dict[str, str]) -> bytes:
    """Return a form as a request's body, without what is empty."""
    return urlencode({name: value for name, value in form.items() if value}).encode("ascii")


def granted(status: int, body: bytes, hidden: Iterable[str] = ()) -> Granted:
    """Return what the endpoint's answer grants; what is `hidden` shows in no error, whatever the endpoint says.

    Raises ImapAuthError when it refuses the grant (4xx), and ImapUnreachableError when it asks for patience, is out of
    order, or its answer makes no sense.
    """
    answer = fields_of(body)
    if status in range(400, 500) and status not in {408, 425, 429}:
        error = answer.get("error")
        reason = clean(error).strip()[:_MAX_REASON] if isinstance(error, str) else f"status {status}"
        if any(secret and secret in reason for secret in hidden):
            reason = f"status {status}"
        raise ImapAuthError(f"the token endpoint refused to grant a token: {reason}")
    token, renewed = answer.get("access_token"), answer.get("refresh_token")
    if status != 200 or not isinstance(token, str) or not sendable(token):
        raise ImapUnreachableError(f"the token endpoint answered without a token (status {status})")
    return Granted(token, _lifetime(answer.get("expires_in")), renewed if isinstance(renewed, str) else "")


def _lifetime(expires_in: object) -> float:
    # Some endpoints send the number as a string.
    if (
        isinstance(expires_in, str)
        and expires_in.isdecimal()
        and expires_in.isascii()
        and len(expires_in) <= 10
    ):
        expires_in = int(expires_in)
    if isinstance(expires_in, int | float) and 0 < expires_in < _LONGEST_LIFETIME:
        return float(expires_in)
    return DEFAULT_LIFETIME


def sendable(token: str) -> bool:
    """Whether the token can stand in a bearer's message (RFC 6750 section 2.1: printable ASCII without blanks)."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def fields_of(body: bytes) -> dict[str, object]:
    """Return the object that a JSON body holds, an empty one when it holds none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}

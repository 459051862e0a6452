"""The browser's part of OAuth 2, as values: the address a user is sent to, and what an issuer says of its endpoints.

The code that comes back is worth nothing without the verifier whose hash went out with the user (RFC 7636, S256), and
comes with the state that went out too (RFC 6749 section 10.12).
"""

import base64
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from mailsync_grpc.errors import ImapProtocolError
from mailsync_grpc.imap.oauth import fields_of

_OPENID = "/.well-known/openid-configuration"
_OAUTH = "/.well-known/oauth-authorization-server"


class Endpoints(NamedTuple):
    """Where users are sent, and where codes and refresh tokens are exchanged."""

    authorization: str
    token: str


def challenge(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def authorization_url(endpoint: str, parameters: Mapping[str, str]) -> str:
    """Return the address to send a user to: what the endpoint's query holds stays (RFC 6749 section 3.1)."""
    parts = urlsplit(endpoint)
    asked = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **parameters}
    query = urlencode({name: value for name, value in asked.items() if value})
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def metadata_urls(issuer: str) -> tuple[str, str]:
    """Return where an issuer's metadata is: OpenID appends to its path, RFC 8414 section 3.1 goes before it."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    first = urlunsplit((parts.scheme, parts.netloc, path + _OPENID, "", ""))
    return first, urlunsplit((parts.scheme, parts.netloc, _OAUTH + path, "", ""))


def discovered(issuer: str, body: bytes) -> Endpoints:
    """Return the endpoints of an issuer's metadata (RFC 8414 section 2). Raises ImapProtocolError.

    Metadata that names another issuer must not be used (section 3.3), or one issuer could stand in for another.
    """
    metadata = fields_of(body)
    if metadata.get("issuer") != issuer:
        raise ImapProtocolError("the metadata found at the issuer's address is not that issuer's")
    endpoints = metadata.get("authorization_endpoint"), metadata.get("token_endpoint")
    if not all(isinstance(endpoint, str) and endpoint for endpoint in endpoints):
        raise ImapProtocolError("the issuer's metadata names no authorization endpoint or no token endpoint")
    return Endpoints(str(endpoints[0]), str(endpoints[1]))

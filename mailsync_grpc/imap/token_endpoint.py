"""Asking a token endpoint for an access token: one POST, under the same rules as mail servers.

The endpoint's address is chosen by whoever may create accounts, so it is resolved once, held against the operator's
networks and connected to by the very address that was checked (see `endpoint`). Redirects are not followed.
"""

import http.client
from collections.abc import Callable
from urllib.parse import urlsplit

from mailsync_grpc.errors import ImapUnreachableError, InvalidFieldError
from mailsync_grpc.imap.dialling import dial
from mailsync_grpc.imap.endpoint import Endpoint, Policy, Security
from mailsync_grpc.imap.oauth import Grant, Granted, granted, refresh_form
from mailsync_grpc.imap.tls import described

_MAX_ANSWER = 64 * 1024
_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
Renew = Callable[[Grant], Granted]


def renew(grant: Grant, policy: Policy) -> Granted:
    """Return a new access token. Raises InvalidFieldError, EndpointForbiddenError, ImapAuthError, ImapUnreachableError."""
    endpoint, path = _target(grant.token_endpoint)
    try:
        with dial(endpoint, policy) as sock:
            connection = http.client.HTTPConnection(endpoint.host, endpoint.port)
            connection.sock = sock
            connection.request("POST", path, refresh_form(grant), _HEADERS)
            answer = connection.getresponse()
            return granted(answer.status, answer.read(_MAX_ANSWER))
    except OSError as fault:
        raise described(fault, endpoint) from None
    except http.client.HTTPException:
        raise ImapUnreachableError(f"{endpoint.host}:{endpoint.port} does not speak HTTP") from None


def _target(url: str) -> tuple[Endpoint, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    security = {"https": Security.IMPLICIT_TLS, "http": Security.PLAINTEXT}.get(parts.scheme)
    if security is None or not parts.hostname or parts.username or not url.isascii() or not url.isprintable():
        raise InvalidFieldError({"auth.oauth.token_endpoint": "an https URL without user information"})
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(
        parts.hostname, port or (443 if security is Security.IMPLICIT_TLS else 80), security
    ), path

"""One HTTP request to an address that a caller may have chosen, under the same rules as mail servers.

The name is resolved once, held against the operator's networks and connected to by the very address that was checked
(see `endpoint`). Redirects are not followed, proxies of the environment not used, and the whole exchange has one
deadline: a timer shuts the socket, so that neither a slow drip nor an endless header outlives it.
"""

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import urlsplit

from mailsync_grpc.errors import EndpointForbiddenError, ImapUnreachableError
from mailsync_grpc.imap.dialling import dial
from mailsync_grpc.imap.endpoint import Endpoint, Policy, Security
from mailsync_grpc.imap.tls import described

CONNECT = 30.0
"""Seconds to connect at most, whatever the operator allows for mail servers."""
DEADLINE = 30.0
"""Seconds from the connection to the answer's last octet."""
MAX_ANSWER = 64 * 1024
_PORTS = {Security.IMPLICIT_TLS: 443, Security.PLAINTEXT: 80}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Answer(NamedTuple):
    """An answer's status and the first octets of its body, at most MAX_ANSWER."""

    status: int
    body: bytes


class Target(NamedTuple):
    """Where a URL leads, and the path with its query."""

    endpoint: Endpoint
    path: str


def target(url: str) -> Target | None:
    """Return where an http or https URL leads; None for anything else, user information and control characters."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    security = {"https": Security.IMPLICIT_TLS, "http": Security.PLAINTEXT}.get(parts.scheme)
    fit = url.isascii() and url.isprintable() and " " not in url
    if security is None or not parts.hostname or "@" in parts.netloc or not fit:
        return None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(Endpoint(parts.hostname, port or _PORTS[security], security), path)


def ask(url: str, policy: Policy, form: bytes | None = None, deadline: float = DEADLINE) -> Answer:
    """GET a URL, or POST a form to it. Raises EndpointForbiddenError, ImapUnreachableError, ImapTlsError."""
    where = target(url)
    if where is None:
        raise EndpointForbiddenError("an endpoint is an https URL without user information")
    endpoint, path = where
    try:
        with _connected(endpoint, policy, deadline) as sock:
            connection = http.client.HTTPConnection(endpoint.host, endpoint.port)
            connection.sock = sock
            headers = {"Accept": "application/json", **(_FORM if form is not None else {})}
            connection.request("GET" if form is None else "POST", path, form, headers)
            with connection.getresponse() as answer:
                return Answer(answer.status, answer.read(MAX_ANSWER))
    except OSError as fault:
        raise described(fault, endpoint) from None
    except (http.client.HTTPException, ValueError):
        raise ImapUnreachableError(f"{endpoint.host}:{endpoint.port} does not speak HTTP") from None


@contextmanager
def _connected(endpoint: Endpoint, policy: Policy, deadline: float) -> Iterator[socket.socket]:
    patience = replace(policy, connect_timeout=min(policy.connect_timeout, CONNECT))
    # A TLS socket has no duplicate of its own kind; one of its descriptor shuts the connection whoever holds it.
    with dial(endpoint, patience) as sock, socket.socket(fileno=os.dup(sock.fileno())) as guard:
        timer = threading.Timer(deadline, _shut, (guard,))
        timer.daemon = True
        timer.start()
        try:
            yield sock
        finally:
            timer.cancel()


def _shut(guard: socket.socket) -> None:
    with suppress(OSError):
        guard.shutdown(socket.SHUT_RDWR)

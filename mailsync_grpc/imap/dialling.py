"""The one way to a server that an account names: resolve, check, connect, through a proxy if there is one, TLS.

Mail servers and token endpoints are both reached by `dial`, so the rules of `endpoint` hold at every connect: what is
connected to, or what a proxy is asked to connect to, is an address that was checked, while TLS is verified against the
name. A name may have several addresses, of which some lead nowhere (an IPv6 address without a route); each is tried in
the resolver's order, and all of it shares the policy's connect timeout.
"""

import socket
import time
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address

from mailsync_grpc.errors import ImapUnreachableError
from mailsync_grpc.imap.endpoint import Address, Endpoint, Lookup, Policy, Security, resolve, resolve_proxy
from mailsync_grpc.imap.tls import described, secured
from mailsync_grpc.imap.tunnel import ProxyError, ask
from mailsync_grpc.model.proxy import Proxy

_FAIR_TRY = 3.0
"""Seconds that an address gets at least, while there are as many left, however many wait after it."""
Connect = Callable[[Address, float], socket.socket]


def dial(endpoint: Endpoint, policy: Policy, lookup: Lookup | None = None) -> socket.socket:
    """Return a socket connected to `endpoint`, inside TLS where its security is IMPLICIT_TLS; the caller closes it.

    Blocks for the policy's `connect_timeout` at most, name resolution not counted, and leaves a timeout on the socket.
    Raises EndpointForbiddenError, ImapTlsError and ImapUnreachableError.
    """
    addresses = resolve(endpoint, policy, lookup)
    connect = _way(endpoint, policy, lookup)
    deadline = time.monotonic() + policy.connect_timeout
    try:
        sock = _first_to_answer(addresses, deadline, connect)
        if endpoint.security is not Security.IMPLICIT_TLS:
            return sock
        return secured(sock, endpoint, max(deadline - time.monotonic(), 0.001))
    except OSError as fault:
        raise described(fault, endpoint) from None


def _way(endpoint: Endpoint, policy: Policy, lookup: Lookup | None) -> Connect:
    """Return how an address is connected to: by the account's proxy, else by the operator's, else directly."""
    proxy = endpoint.proxy or policy.proxy
    if proxy is None:
        return partial(_connect, endpoint.port)
    return partial(_through, proxy, resolve_proxy(endpoint, policy, lookup), endpoint.port)


def _through(
    proxy: Proxy, places: tuple[Address, ...], port: int, address: Address, deadline: float
) -> socket.socket:
    try:
        sock = _first_to_answer(places, deadline, partial(_connect, proxy.port))
    except OSError as fault:
        late = isinstance(fault, TimeoutError)
        raise ProxyError(proxy, "did not answer in time" if late else "cannot be reached") from None
    try:
        ask(sock, proxy, address, port, deadline)
    except BaseException:
        sock.close()
        raise
    return sock


def _first_to_answer(addresses: tuple[Address, ...], deadline: float, connect: Connect) -> socket.socket:
    """Return the connection to the first address that can be had; the last one's fault where none can."""
    last: OSError | ImapUnreachableError = TimeoutError()
    for number, address in enumerate(addresses):
        now = time.monotonic()
        share = max((deadline - now) / (len(addresses) - number), _FAIR_TRY)
        try:
            return connect(address, min(deadline, now + share))
        except (OSError, ImapUnreachableError) as fault:
            last = fault
    raise last


def _connect(port: int, address: Address, deadline: float) -> socket.socket:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(remaining)
        sock.connect((str(address), port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        sock.close()
        raise
    return sock

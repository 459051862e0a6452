"""Where a mail server may be: endpoints, and the policy that decides which addresses are connected to.

An account's host is chosen by whoever may create accounts, so a connection is also a probe of the network the service
runs in (server-side request forgery). A name is therefore resolved once per connect, every address that is not
globally routable (IANA special-purpose registries, RFC 6890) is refused unless configuration allows its network, and
the connection goes to the very address that was checked, so a name that resolves differently a moment later gains
nothing. IPv6 forms that carry an IPv4 address (mapped, 6to4, NAT64) are judged by the address they carry. A proxy that
an account names is held to the same rules; the operator's own is not.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from mailsync_grpc.errors import EndpointForbiddenError, ImapUnreachableError, ProxyForbiddenError
from mailsync_grpc.model.account import Security
from mailsync_grpc.model.proxy import Proxy

__all__ = [
    "Address",
    "Endpoint",
    "Lookup",
    "Network",
    "Policy",
    "Security",
    "is_allowed",
    "resolve",
    "resolve_proxy",
]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Lookup = Callable[[str, int], list[str]]

# RFC 6052 section 2.1: translators of this prefix reach the IPv4 address in the last 32 bits. Those of a network's own
# prefix (RFC 8215, 64:ff9b:1::/48) may find it elsewhere in the address, so none of theirs passes for global.
_NAT64 = IPv6Network("64:ff9b::/96")
# What IANA gives out for use on the internet (RFC 4291 section 2.4). All else is local, reserved or deprecated, such as
# the site-local fec0::/10, which Python takes for global.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# Python takes these for global, the first before 3.12.4: IETF protocol assignments (RFC 6890), Teredo (RFC 4380), whose
# relays reach an IPv4 address that is hidden in it, and documentation (RFC 9637).
_NOT_GLOBAL: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),
    IPv6Network("2001::/32"),
    IPv6Network("3fff::/20"),
)
_IPV4_COMPATIBLE = IPv6Network("::/96")
_LOW_32_BITS = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A mail server as its account names it; `ca_pem`, when set, replaces the system's trusted authorities.

    The client certificate is shown with its key, which is in no representation; both are PEM.
    """

    host: str
    port: int
    security: Security = Security.IMPLICIT_TLS
    ca_pem: str = ""
    proxy: Proxy | None = None
    client_certificate_pem: str = ""
    client_key_pem: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows and how much a server may ask of us. Times are seconds, sizes octets.

    A command must be answered within `command_deadline` plus one second for each `min_bytes_per_second` received, so a
    long answer on a slow line is read whole while a slow drip is not. `proxy` is for endpoints without their own.
    """

    allow_networks: tuple[Network, ...] = ()
    allow_plaintext: bool = False
    proxy: Proxy | None = None
    connect_timeout: float = 15.0
    command_deadline: float = 60.0
    min_bytes_per_second: int = 4_096
    max_line: int = 16 * 1024 * 1024  # a SEARCH answer of a million UIDs, ten digits each, is one line
    max_literal: int = 64 * 1024 * 1024
    max_response: int = 512 * 1024 * 1024


def resolve(endpoint: Endpoint, policy: Policy, lookup: Lookup | None = None) -> tuple[Address, ...]:
    """Return the addresses of the endpoint that may be connected to, in the resolver's order, at least one.

    Raises EndpointForbiddenError when clear text is not allowed or no address is, ImapUnreachableError when the name
    does not resolve.
    """
    if endpoint.security == Security.PLAINTEXT and not policy.allow_plaintext:
        raise EndpointForbiddenError(
            "clear text is not allowed; use TLS, or let the operator set imap.allow_plaintext"
        )
    allowed = _allowed(endpoint.host, endpoint.port, policy, lookup)
    if allowed:
        return allowed
    raise EndpointForbiddenError(
        f"{endpoint.host} resolves to no public address; the operator can allow its network in imap.allow_networks"
    )


def resolve_proxy(endpoint: Endpoint, policy: Policy, lookup: Lookup | None = None) -> tuple[Address, ...]:
    """Return the addresses of the endpoint's own proxy that may be connected to, at least one, else the operator's.

    Raises ProxyForbiddenError when no address of the endpoint's own is allowed, ImapUnreachableError when the name does
    not resolve.
    """
    if endpoint.proxy is None:
        assert policy.proxy is not None
        return _found(policy.proxy.host, policy.proxy.port, lookup)
    allowed = _allowed(endpoint.proxy.host, endpoint.proxy.port, policy, lookup)
    if allowed:
        return allowed
    raise ProxyForbiddenError(
        f"the proxy {endpoint.proxy.host} resolves to no public address; the operator can allow its network in"
        " imap.allow_networks"
    )


def is_allowed(address: Address, networks: tuple[Network, ...]) -> bool:
    """Say whether `address`, or the IPv4 address it carries, is global unicast or in one of `networks`."""
    target = _carried(address)
    if any(target in network for network in networks):
        return True
    if any(target in network for network in _NOT_GLOBAL) or not target.is_global:
        return False
    if isinstance(target, IPv6Address):
        # A scope picks one of this machine's interfaces (RFC 4007), which is nothing that the internet routes by.
        return target in _GLOBAL_UNICAST and target.scope_id is None
    return not (target.is_multicast or target.is_reserved or target.is_unspecified)


def _carried(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    embedded = address.ipv4_mapped or address.sixtofour
    if embedded is not None:
        return embedded
    low = int(address) & _LOW_32_BITS
    if address in _NAT64 or (address in _IPV4_COMPATIBLE and low > 1):
        return IPv4Address(low)
    return address


def _allowed(host: str, port: int, policy: Policy, lookup: Lookup | None) -> tuple[Address, ...]:
    found = _found(host, port, lookup)
    return tuple(address for address in found if is_allowed(address, policy.allow_networks))


def _found(host: str, port: int, lookup: Lookup | None) -> tuple[Address, ...]:
    return tuple(ip_address(text) for text in (lookup or _system_lookup)(host, port))


def _system_lookup(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "not a host name"
        raise ImapUnreachableError(f"{host} does not resolve: {reason}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))

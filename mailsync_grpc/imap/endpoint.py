"""Where a mail server may be: endpoints, and the policy that decides which addresses are connected to.

An account's host is chosen by whoever may create accounts, so a connection is also a probe of the network the service
runs in (server-side request forgery). A name is therefore resolved once per connect, every address that is not
globally routable (IANA special-purpose registries, RFC 6890) is refused unless configuration allows its network, and
the connection goes to the very address that was checked, so a name that resolves differently a moment later gains
nothing. IPv6 forms that carry an IPv4 address (mapped, 6to4, Teredo, NAT64) are judged by the address they carry.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from mailsync_grpc.errors import EndpointForbiddenError, ImapUnreachableError
from mailsync_grpc.model.account import Security

__all__ = ["Address", "Endpoint", "Network", "Policy", "Security", "is_allowed", "resolve"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Lookup = Callable[[str, int], list[str]]

# RFC 6052 section 2.1 and RFC 8215: translators of these prefixes reach the IPv4 address in the last 32 bits.
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
# Python before 3.12.4 takes this one for global (RFC 6890, IETF protocol assignments).
_NOT_GLOBAL = (IPv4Network("192.0.0.0/24"),)
_IPV4_COMPATIBLE = IPv6Network("::/96")
_LOW_32_BITS = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A mail server as its account names it; `ca_pem`, when set, replaces the system's trusted authorities."""

    host: str
    port: int
    security: Security = Security.IMPLICIT_TLS
    ca_pem: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator allows and how much a server may ask of us. Times are seconds, sizes octets.

    A command must be answered within `command_deadline` plus one second for each `min_bytes_per_second` received, so a
    long answer on a slow line is read whole while a slow drip is not.
    """

    allow_networks: tuple[Network, ...] = ()
    allow_plaintext: bool = False
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
    found = [ip_address(text) for text in (lookup or _system_lookup)(endpoint.host, endpoint.port)]
    allowed = tuple(address for address in found if is_allowed(address, policy.allow_networks))
    if allowed:
        return allowed
    raise EndpointForbiddenError(
        f"{endpoint.host} resolves to no public address; the operator can allow its network in imap.allow_networks"
    )


def is_allowed(address: Address, networks: tuple[Network, ...]) -> bool:
    """Say whether `address`, or the IPv4 address it carries, is global unicast or in one of `networks`."""
    target = _carried(address)
    if any(target in network for network in networks):
        return True
    if any(target in network for network in _NOT_GLOBAL):
        return False
    return target.is_global and not (target.is_multicast or target.is_reserved or target.is_unspecified)


def _carried(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    teredo = address.teredo[1] if address.teredo else None
    embedded = address.ipv4_mapped or address.sixtofour or teredo
    if embedded is not None:
        return embedded
    low = int(address) & _LOW_32_BITS
    if any(address in network for network in _NAT64) or (address in _IPV4_COMPATIBLE and low > 1):
        return IPv4Address(low)
    return address


def _system_lookup(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "not a host name"
        raise ImapUnreachableError(f"{host} does not resolve: {reason}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))

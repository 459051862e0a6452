"""What was found, as values: settings that may fit an address, and their order.

The table of providers comes first, since it says what providers publish; then what the domain's owner published in
DNS, then in a document; last what merely answered. Several sources often name the same server. They are one candidate
then, at the place of the best source; how to log in is said by the first that knows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum

from mailsync_grpc.discovery.address import EmailAddress
from mailsync_grpc.discovery.providers import PASSWORD_ONLY, Kind, Provider, by_host
from mailsync_grpc.model.account import Security

MOST = 20
"""Candidates of one answer."""


class Source(IntEnum):
    """Where settings were found, best first. Values are those of `mailsync.v1.DiscoverySource`."""

    PROVIDER = 1
    SRV = 2
    AUTOCONFIG = 3
    GUESS = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mail server, and how to log in where the source says so: else `username` and `kinds` are empty.

    `oauth` is the provider's name for OAuth 2, empty when it has none.
    """

    host: str
    port: int
    security: Security
    source: Source
    username: str = field(default="", repr=False)
    kinds: tuple[Kind, ...] = ()
    oauth: str = ""


def of_provider(provider: Provider, address: EmailAddress) -> Candidate:
    """Return what the table knows for an address."""
    return Candidate(
        provider.host,
        993,
        Security.IMPLICIT_TLS,
        Source.PROVIDER,
        address.local if provider.by_local_part else address.text,
        provider.kinds,
        provider.oauth,
    )


def ranked(found: Iterable[Candidate], address: EmailAddress) -> tuple[Candidate, ...]:
    """Return the candidates, best first, one for each server, each with a login name and kinds of credentials."""
    servers: dict[tuple[str, int, Security], list[Candidate]] = {}
    for candidate in sorted(found, key=lambda each: each.source):
        key = (candidate.host, candidate.port, candidate.security)
        servers.setdefault(key, []).append(candidate)
    return tuple(_one(same, address) for same in list(servers.values())[:MOST])


def _one(same: list[Candidate], address: EmailAddress) -> Candidate:
    said = [*same, *_known(same[0], address)]
    return replace(
        same[0],
        username=next((each.username for each in said if each.username), address.text),
        kinds=next((each.kinds for each in said if each.kinds), PASSWORD_ONLY),
        oauth=next((each.oauth for each in said if each.oauth), ""),
    )


def _known(candidate: Candidate, address: EmailAddress) -> Iterator[Candidate]:
    """Yield what the table knows of a provider's server that another source named."""
    provider = by_host(candidate.host)
    if provider is not None:
        yield of_provider(provider, address)

"""DNS as far as finding a mail server needs it: SRV (RFC 2782, 6186), MX and addresses, by the machine's resolver.

Answers come from strangers: a name that is no host's is left out, and an answer that does not come or makes no sense
is no answer.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.name

from mailsync_grpc.discovery.address import is_host
from mailsync_grpc.model.account import Security

MOST = 8
"""Records of one answer that are looked at."""
_SERVICES = (("_imaps._tcp", Security.IMPLICIT_TLS), ("_imap._tcp", Security.STARTTLS))

Resolver = dns.asyncresolver.Resolver
MakeResolver = Callable[[], Resolver]


class Service(NamedTuple):
    """A mail server that an SRV record names."""

    host: str
    port: int
    security: Security


class Records:
    """Asks one resolver, which `make_resolver` returns; every question ends within `seconds`."""

    def __init__(self, make_resolver: MakeResolver, seconds: float) -> None:
        self._seconds = seconds
        try:
            self._resolver: Resolver | None = make_resolver()
        except dns.exception.DNSException:
            # A machine without a resolver finds what needs none.
            self._resolver = None

    async def services(self, domain: str) -> list[Service]:
        """Return the IMAP servers of a domain: TLS from the first octet before STARTTLS (RFC 8314), then by priority."""
        asked = [self._ask(f"{label}.{domain}", "SRV") for label, _ in _SERVICES]
        answers = await asyncio.gather(*asked)
        found = []
        for (_, security), records in zip(_SERVICES, answers, strict=True):
            for record in sorted(records, key=lambda each: (each.priority, -each.weight)):
                host = _host(record.target)
                if host and record.port:  # the root as target: the service is not offered
                    found.append(Service(host, record.port, security))
        return found[:MOST]

    async def exchanges(self, domain: str) -> list[str]:
        """Return the hosts that take a domain's mail, best first."""
        records = sorted(await self._ask(domain, "MX"), key=lambda each: each.preference)
        return [host for host in (_host(record.exchange) for record in records) if host][:MOST]

    async def addresses(self, host: str) -> list[str]:
        """Return the addresses of a host, IPv4 first."""
        answers = await asyncio.gather(self._ask(host, "A"), self._ask(host, "AAAA"))
        return [str(record.address) for records in answers for record in records[:MOST]]

    async def _ask(self, name: str, kind: str) -> list[Any]:
        if self._resolver is None:
            return []
        try:
            absolute = dns.name.from_text(f"{name}.")
            return list(await self._resolver.resolve(absolute, kind, lifetime=self._seconds))
        except (dns.exception.DNSException, OSError):
            return []


def _host(name: dns.name.Name) -> str:
    """Return a record's name in lower case, empty when no host can be called so."""
    text = name.to_text(omit_final_dot=True).lower()
    return text if is_host(text) else ""

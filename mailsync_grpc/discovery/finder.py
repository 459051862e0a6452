"""Finding the mail server of an address: all sources are asked at once, and what came by the deadline is the answer.

An address in a domain of the table of providers is answered from it, and nobody is asked. For any other domain the
questions go to DNS and to hosts of the domain itself; the address as a whole goes nowhere but to the domain's own
autoconfig host. A directory of settings run by a third party is asked only when the operator names one, and is told
the domain alone. A source that fails, lies or is late is left out, so no fault of theirs is anybody else's.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from mailsync_grpc.discovery.address import EmailAddress
from mailsync_grpc.discovery.autoconfig import read_autoconfig
from mailsync_grpc.discovery.candidates import Candidate, Source, of_provider, ranked
from mailsync_grpc.discovery.providers import by_domain, by_exchanges
from mailsync_grpc.discovery.records import MakeResolver, Records, Resolver
from mailsync_grpc.discovery.web import Web
from mailsync_grpc.errors import EndpointForbiddenError
from mailsync_grpc.imap.endpoint import Endpoint, Policy
from mailsync_grpc.imap.tls import tls_context
from mailsync_grpc.model.account import Security

Find = Callable[[EmailAddress], Awaitable[tuple[Candidate, ...]]]
"""Returns the settings that may fit an address, best first; none when nothing was found."""
Trust = Callable[[], ssl.SSLContext]


def _system_trust() -> ssl.SSLContext:
    return tls_context(Endpoint("", 443))


@dataclass(frozen=True, slots=True)
class Ports:
    """Where documents and mail servers are looked for."""

    https: int = 443
    imaps: int = 993


@dataclass(frozen=True, slots=True)
class Finder:
    """Finds within `seconds`; `directory` is the URL of a third party's directory, empty for none."""

    policy: Policy
    seconds: float = 5.0
    directory: str = ""
    make_resolver: MakeResolver = Resolver
    trust: Trust = _system_trust
    ports: Ports = Ports()

    async def __call__(self, address: EmailAddress) -> tuple[Candidate, ...]:
        """Return what was found, best first."""
        known = by_domain(address.domain)
        if known is not None:
            return (of_provider(known, address),)
        # Reading the system's certificates takes a while, and the event loop has others to serve.
        trust = await asyncio.to_thread(self.trust)
        records = Records(self.make_resolver, self.seconds)
        search = _Search(address, records, Web(self.policy, trust, records.addresses), self.ports)
        return ranked(await _in_time(search.questions(self.directory), self.seconds), address)


async def _in_time(questions: list[Awaitable[list[Candidate]]], seconds: float) -> list[Candidate]:
    """Return what the questions answered in time, in their order; the others are given up."""
    asked = [asyncio.ensure_future(_excused(question)) for question in questions]
    try:
        await asyncio.wait(asked, timeout=seconds)
        answered = [question for question in asked if question.done()]
        return [candidate for question in answered for candidate in question.result()]
    finally:
        for question in asked:
            question.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def _excused(question: Awaitable[list[Candidate]]) -> list[Candidate]:
    """Return the answer, none where a host cannot or may not be reached."""
    try:
        return await question
    except (EndpointForbiddenError, OSError):
        return []


@dataclass(frozen=True, slots=True)
class _Search:
    """One address looked for."""

    address: EmailAddress
    records: Records
    web: Web
    ports: Ports

    def questions(self, directory: str) -> list[Awaitable[list[Candidate]]]:
        domain = self.address.domain
        own = (
            f"{self._site(f'autoconfig.{domain}')}/mail/config-v1.1.xml?emailaddress={quote(self.address.text)}",
            f"{self._site(domain)}/.well-known/autoconfig/mail/config-v1.1.xml",
        )
        asked = [self._hosted(), self._services(), *(self._document(url, domain) for url in own)]
        if directory:
            asked.append(
                self._document(f"{directory.rstrip('/')}/{domain}", urlsplit(directory).hostname or "")
            )
        return [*asked, *(self._guess(f"{label}.{domain}") for label in ("imap", "mail"))]

    def _site(self, host: str) -> str:
        return f"https://{host}" if self.ports.https == 443 else f"https://{host}:{self.ports.https}"

    async def _hosted(self) -> list[Candidate]:
        """The provider that takes the domain's mail."""
        provider = by_exchanges(await self.records.exchanges(self.address.domain))
        return [] if provider is None else [of_provider(provider, self.address)]

    async def _services(self) -> list[Candidate]:
        found = await self.records.services(self.address.domain)
        return await self._reachable([Candidate(*service, Source.SRV) for service in found])

    async def _document(self, url: str, within: str) -> list[Candidate]:
        return await self._reachable(list(read_autoconfig(await self.web.get(url, within), self.address)))

    async def _guess(self, host: str) -> list[Candidate]:
        if not await self.web.greets(host, self.ports.imaps):
            return []
        return [Candidate(host, self.ports.imaps, Security.IMPLICIT_TLS, Source.GUESS)]

    async def _reachable(self, named: list[Candidate]) -> list[Candidate]:
        """Return those that an account would be let connect to."""
        may = await asyncio.gather(*(self._may_connect(candidate) for candidate in named))
        return [candidate for candidate, allowed in zip(named, may, strict=True) if allowed]

    async def _may_connect(self, candidate: Candidate) -> bool:
        if candidate.security is Security.PLAINTEXT and not self.web.policy.allow_plaintext:
            return False
        try:
            return bool(await self.web.allowed(candidate.host, candidate.port))
        except EndpointForbiddenError:
            return False

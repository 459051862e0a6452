"""Connecting to hosts that a stranger's domain names, over TLS, and reading one document there.

Whoever asks for an address chooses the hosts, so the rules are those of mail servers: a name is resolved once, held
against the operator's networks, and the connection goes to the very address that was checked (see `imap.endpoint`).
Redirects are followed within the domain only: the request may carry the address, which goes to nobody else.
"""

import asyncio
import http.client
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from mailsync_grpc.imap.endpoint import Address, Endpoint, Policy, resolve

MAX_ANSWER = 320 * 1024
_MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GREETINGS = (b"* OK", b"* PR")  # PREAUTH: odd, but IMAP
_CHUNK = 64 * 1024

Addresses = Callable[[str], Awaitable[list[str]]]


class Place(NamedTuple):
    """Where a URL leads."""

    host: str
    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Web:
    """Connects under `policy`, trusting what `trust` trusts; `addresses` resolves names."""

    policy: Policy
    trust: ssl.SSLContext
    addresses: Addresses

    async def allowed(self, host: str, port: int) -> tuple[Address, ...]:
        """Return the addresses of a host that may be connected to. Raises EndpointForbiddenError when there is none."""
        found = await self.addresses(host)
        return resolve(Endpoint(host, port), self.policy, lambda *_: found)

    async def get(self, url: str, within: str) -> bytes:
        """Return the document at an https URL, empty when there is none; redirects are followed below domain `within`.

        Raises EndpointForbiddenError and OSError.
        """
        for _ in range(1 + _MAX_REDIRECTS):
            place = _place(url)
            if place is None or not (place.host == within or place.host.endswith(f".{within}")):
                break
            status, location, body = _read_answer(await self._ask(place))
            if status not in _REDIRECTS or not location:
                return body if status == 200 else b""
            url = _joined(url, location)
        return b""

    async def greets(self, host: str, port: int) -> bool:
        """Whether an IMAP server answers at a host with a certificate for its name.

        Raises EndpointForbiddenError and OSError.
        """
        async with self._connected(host, port) as (reader, _):
            try:
                return await reader.readexactly(4) in _GREETINGS
            except asyncio.IncompleteReadError:
                return False

    async def _ask(self, place: Place) -> bytes:
        async with self._connected(place.host, place.port) as (reader, writer):
            name = place.host if place.port == 443 else f"{place.host}:{place.port}"
            lines = (
                f"GET {place.path} HTTP/1.1",
                f"Host: {name}",
                "Accept: */*",
                "Connection: close",
                "",
                "",
            )
            writer.write("\r\n".join(lines).encode("ascii"))
            received = bytearray()
            while len(received) <= MAX_ANSWER and (data := await reader.read(_CHUNK)):
                received += data
            return bytes(received) if len(received) <= MAX_ANSWER else b""

    @asynccontextmanager
    async def _connected(
        self, host: str, port: int
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await self._open(host, port)
        try:
            yield reader, writer
        finally:
            # Not a polite close: the peer's answer to it is nothing to wait for.
            writer.transport.abort()

    async def _open(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        addresses = await self.allowed(host, port)
        for address in addresses[:-1]:
            try:
                return await self._open_at(address, host, port)
            except OSError:
                continue
        return await self._open_at(addresses[-1], host, port)

    async def _open_at(
        self, address: Address, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(str(address), port, ssl=self.trust, server_hostname=host)


def _place(url: str) -> Place | None:
    """Return where an https URL leads, None for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        return None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        return None
    if not (url.isascii() and url.isprintable()) or " " in url:
        return None
    return Place(parts.hostname, port, path)


def _joined(url: str, location: str) -> str:
    """Return where a redirect leads, empty when that is no URL."""
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


class _Received:
    """Octets in the place of the socket that http.client reads from."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def makefile(self, *_: object) -> BytesIO:
        return BytesIO(self._octets)


def _read_answer(octets: bytes) -> tuple[int, str, bytes]:
    """Return the status, the Location and the body of an HTTP answer; status 0 for what is none."""
    answer = http.client.HTTPResponse(_Received(octets))  # type: ignore[arg-type]
    try:
        answer.begin()
        return answer.status, answer.getheader("Location") or "", answer.read(MAX_ANSWER)
    except (http.client.HTTPException, ValueError, OSError):
        return 0, "", b""

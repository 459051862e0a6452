"""Reading an autoconfig document (`clientConfig` 1.1): bytes in, candidates out, nothing raised.

The document is made by strangers. A document type declaration ends the reading, since only entities need one and they
are how small documents grow large; so do too many or too deeply nested elements. What is no XML, or XML of another
kind, names no server. Only IMAP servers are taken that can be logged in to with credentials there are.
"""

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from mailsync_grpc.discovery.address import EmailAddress, is_host
from mailsync_grpc.discovery.candidates import Candidate, Source
from mailsync_grpc.discovery.providers import Kind
from mailsync_grpc.model.account import Security

MAX_OCTETS = 256 * 1024
_MAX_DEPTH, _MAX_ELEMENTS, _MAX_TEXT, _MAX_SERVERS = 16, 2_000, 512, 8
_PATH = ("clientConfig", "emailProvider", "incomingServer")
_FIELDS = frozenset({"hostname", "port", "socketType", "username", "authentication"})
_SECURITY = {"SSL": Security.IMPLICIT_TLS, "STARTTLS": Security.STARTTLS, "plain": Security.PLAINTEXT}
_KINDS = {
    "OAuth2": Kind.OAUTH,
    "password-cleartext": Kind.PASSWORD,
    "password-encrypted": Kind.PASSWORD,
    # As documents of before 2010 have it.
    "plain": Kind.PASSWORD,
    "secure": Kind.PASSWORD,
}
_PLACEHOLDER = re.compile(r"%[A-Z]+%")
_Server = dict[str, list[str]]


class _UnwelcomeError(Exception):
    """The document has what none of an honest author has."""


def read_autoconfig(document: bytes, address: EmailAddress) -> tuple[Candidate, ...]:
    """Return the IMAP servers that the document names for the address, in its order; none for what is no such document."""
    if len(document) > MAX_OCTETS:
        return ()
    reading = _Reading()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reading.doctype
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.text
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, _UnwelcomeError, ValueError, LookupError):
        # The last two: an encoding that Python does not know, or that is none of single octets.
        return ()
    found = (_candidate(server, address) for server in reading.servers[:_MAX_SERVERS])
    return tuple(candidate for candidate in found if candidate is not None)


@dataclass(slots=True)
class _Reading:
    """What was read so far: the open elements, and each IMAP server's fields."""

    servers: list[_Server] = field(default_factory=list)
    _open: list[str] = field(default_factory=list)
    _elements: int = 0
    _in_imap: bool = False

    def doctype(self, *_: object) -> None:
        raise _UnwelcomeError

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        self._open.append(name)
        if len(self._open) > _MAX_DEPTH or self._elements > _MAX_ELEMENTS:
            raise _UnwelcomeError
        if tuple(self._open) == _PATH:
            self._in_imap = attributes.get("type") == "imap"
            if self._in_imap:
                self.servers.append({})
        elif self._at_field():
            self.servers[-1].setdefault(name, []).append("")

    def text(self, text: str) -> None:
        if self._at_field():
            values = self.servers[-1][self._open[-1]]
            values[-1] = (values[-1] + text)[:_MAX_TEXT]

    def end(self, _name: str) -> None:
        if tuple(self._open) == _PATH:
            self._in_imap = False
        self._open.pop()

    def _at_field(self) -> bool:
        return self._in_imap and tuple(self._open[:-1]) == _PATH and self._open[-1] in _FIELDS


def _candidate(server: _Server, address: EmailAddress) -> Candidate | None:
    host = _filled(_first(server, "hostname"), address).lower().rstrip(".")
    port = _first(server, "port")
    security = _SECURITY.get(_first(server, "socketType"))
    named = [text.strip() for text in server.get("authentication", [])]
    kinds = tuple(dict.fromkeys(_KINDS[name] for name in named if name in _KINDS))
    if not is_host(host) or security is None or not _is_port(port):
        return None
    if named and not kinds:
        return None
    username = _filled(_first(server, "username"), address)
    return Candidate(host, int(port), security, Source.AUTOCONFIG, username, kinds)


def _first(server: _Server, name: str) -> str:
    return next(iter(server.get(name, ())), "").strip()


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65_535


def _filled(text: str, address: EmailAddress) -> str:
    """Return the text with its placeholders filled in, empty when one is not known or it could not be sent."""
    known = {
        "%EMAILADDRESS%": address.text,
        "%EMAILLOCALPART%": address.local,
        "%EMAILDOMAIN%": address.domain,
    }
    if any(name not in known for name in _PLACEHOLDER.findall(text)):
        return ""
    filled = _PLACEHOLDER.sub(lambda match: known[match[0]], text)
    return filled if filled.isprintable() and len(filled) <= 320 else ""

"""A proxy that connections to mail servers go through, and the URL that names it.

Two kinds: SOCKS5 (RFC 1928, with user name and password by RFC 1929) and HTTP CONNECT (RFC 9110 section 9.3.6). The
URL that is shown and stored leaves the password out; `socks5h`, which would have the proxy resolve names, is none of
the kinds, because addresses are checked here before anything connects to them.
"""

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote, urlsplit

PROXY_FORM: Final = (
    "socks5://host:port or http://host:port, with user:password@ before the host where the proxy asks for it,"
    " at most 255 octets each; names are resolved here, so socks5h is not taken"
)
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_MAX_OCTETS = 255
"""Of a user name or password (RFC 1929 section 2)."""


class ProxyKind(StrEnum):
    """How the proxy is spoken to; values are the schemes of its URL."""

    SOCKS5 = "socks5"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; its password, None where none was given, shows in no representation."""

    kind: ProxyKind
    host: str
    port: int
    username: str = ""
    password: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without the password."""
        return replace(self, password=None).whole_url

    @property
    def whole_url(self) -> str:
        """The URL with the password; not to be shown."""
        password = "" if self.password is None else f":{quote(self.password, safe='')}"
        user = f"{quote(self.username, safe='')}{password}@" if self.username else ""
        return f"{self.kind}://{user}{self.place}"

    def with_password(self, password: str | None) -> "Proxy":
        """Return the same proxy with another password."""
        return replace(self, password=password)


def parse_proxy(url: str) -> Proxy:
    """Return the proxy that `url` names. Raises ValueError with what is allowed, and nothing of the URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
        proxy = Proxy(
            ProxyKind(parts.scheme),
            parts.hostname or "",
            port or 0,
            unquote(parts.username or "", errors="strict"),
            None if parts.password is None else unquote(parts.password, errors="strict"),
        )
    except ValueError:
        raise ValueError(PROXY_FORM) from None
    whole = url.isascii() and url.isprintable() and " " not in url
    bare = parts.path in {"", "/"} and not parts.query and not parts.fragment
    if not (whole and bare and proxy.port and _HOST.fullmatch(proxy.host) and _can_log_in(proxy)):
        raise ValueError(PROXY_FORM)
    return proxy


def _can_log_in(proxy: Proxy) -> bool:
    """Whether the user name and password, if any, can stand in RFC 1929's fields and in RFC 7617's."""
    user, password = proxy.username, proxy.password or ""
    short = max(len(user.encode()), len(password.encode())) <= _MAX_OCTETS
    return short and (user + password).isprintable() and ":" not in user and bool(user or not password)

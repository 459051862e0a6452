"""Asking a proxy to connect to an address: SOCKS5 (RFC 1928, RFC 1929) and HTTP CONNECT (RFC 9110 section 9.3.6).

The proxy is given the address that was checked, never a name, so it cannot be led to another. Nothing beyond its answer
is read: an IMAP server speaks first, and its greeting may follow in the same segment. Every octet is waited for
until one deadline, and nothing a proxy says reaches a message but a number.
"""

import base64
import socket
import struct
import time
from ipaddress import IPv4Address
from typing import NamedTuple

from mailsync_grpc.errors import ImapUnreachableError
from mailsync_grpc.imap.endpoint import Address
from mailsync_grpc.model.proxy import Proxy, ProxyKind

_MAX_HEADER = 16 * 1024
_NO_LOGIN, _PASSWORD = 0, 2
_ADDRESS_OCTETS = {1: 4, 4: 16}
_REFUSALS = {
    1: "it failed", 2: "its rules do not allow it", 3: "the network is unreachable", 4: "the host is unreachable",
    5: "the connection was refused", 6: "it took too many hops", 7: "it does not connect",
    8: "it does not know this kind of address",
}  # fmt: skip
"""RFC 1928 section 6."""


class ProxyError(ImapUnreachableError):
    """The proxy does not serve us."""

    def __init__(self, proxy: Proxy, what: str) -> None:
        super().__init__(f"the proxy {proxy.place} {what}")


class _Line(NamedTuple):
    """A connection to a proxy, and the monotonic time until which it must have answered."""

    sock: socket.socket
    deadline: float

    def say(self, data: bytes) -> None:
        self._wait()
        self.sock.sendall(data)

    def take(self, size: int) -> bytes:
        """Return exactly `size` octets. Raises OSError."""
        taken = b""
        while len(taken) < size:
            self._wait()
            data = self.sock.recv(size - len(taken))
            if not data:
                raise ConnectionResetError("closed")
            taken += data
        return taken

    def _wait(self) -> None:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self.sock.settimeout(remaining)


def ask(sock: socket.socket, proxy: Proxy, address: Address, port: int, deadline: float) -> None:
    """Have the proxy at the other end of `sock` connect to `address`, until monotonic `deadline`. Raises ProxyError."""
    line = _Line(sock, deadline)
    try:
        if proxy.kind is ProxyKind.SOCKS5:
            _greet(line, proxy)
            _request(line, proxy, address, port)
        else:
            _connect(line, proxy, address, port)
    except TimeoutError:
        raise ProxyError(proxy, "did not answer in time") from None
    except OSError:
        raise ProxyError(proxy, "closed the connection") from None


# SOCKS5.


def _greet(line: _Line, proxy: Proxy) -> None:
    methods = [_NO_LOGIN, _PASSWORD] if proxy.username else [_NO_LOGIN]
    line.say(bytes([5, len(methods), *methods]))
    version, method = line.take(2)
    if version != 5:
        raise ProxyError(proxy, "does not speak SOCKS5")
    if method not in methods:
        wanted = "refuses to be used with a user name and password" if proxy.username else "asks for a login"
        raise ProxyError(proxy, f"{wanted}; check imap.proxy_url")
    if method == _PASSWORD:
        _log_in(line, proxy)


def _log_in(line: _Line, proxy: Proxy) -> None:
    username, password = proxy.username.encode(), (proxy.password or "").encode()
    line.say(b"\x01" + bytes([len(username)]) + username + bytes([len(password)]) + password)
    if line.take(2)[1]:
        raise ProxyError(proxy, "refused its user name and password; set them in imap.proxy_url")


def _request(line: _Line, proxy: Proxy, address: Address, port: int) -> None:
    kind = 1 if isinstance(address, IPv4Address) else 4
    line.say(bytes([5, 1, 0, kind]) + address.packed + struct.pack("!H", port))
    version, reply, _, kind = line.take(4)
    if version != 5:
        raise ProxyError(proxy, "does not speak SOCKS5")
    if reply:
        raise ProxyError(proxy, f"did not connect: {_REFUSALS.get(reply, f'reply {reply}')}")
    line.take((_ADDRESS_OCTETS.get(kind) or line.take(1)[0]) + 2)  # what it is bound to


# HTTP.


def _connect(line: _Line, proxy: Proxy, address: Address, port: int) -> None:
    target = f"{address}:{port}" if isinstance(address, IPv4Address) else f"[{address}]:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username:
        login = base64.b64encode(f"{proxy.username}:{proxy.password or ''}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {login}")
    line.say("\r\n".join([*lines, "", ""]).encode())
    status = _status(line, proxy)
    if status == 407:
        raise ProxyError(proxy, "refused its user name and password; set them in imap.proxy_url")
    if status not in range(200, 300):
        raise ProxyError(proxy, f"did not connect: HTTP status {status}")


def _status(line: _Line, proxy: Proxy) -> int:
    """Return the status of an answer, read to the end of its header and not an octet further."""
    header = line.take(5)
    if header != b"HTTP/":
        raise ProxyError(proxy, "does not speak HTTP")
    while not header.endswith(b"\r\n\r\n"):
        if len(header) == _MAX_HEADER:
            raise ProxyError(proxy, "answered without an end")
        header += line.take(1)
    words = header.split(maxsplit=2)
    if len(words) < 2 or len(words[1]) != 3 or not words[1].isdigit():
        raise ProxyError(proxy, "does not speak HTTP")
    return int(words[1])

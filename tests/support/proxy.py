"""Proxies on loopback, SOCKS5 (RFC 1928) and HTTP CONNECT (RFC 9110 section 9.3.6), that keep what they were asked for.

Each answers and forwards in one go, so that what its target says first follows its own answer in one segment.
"""

import base64
import socket
import threading
from contextlib import suppress
from ipaddress import ip_address
from types import TracebackType
from typing import Self

_CHUNK = 64 * 1024


class ProxyServer:
    """Forwards connections inside a ``with`` block; with `login` only for that user name and password.

    `asked` are the addresses and ports it was asked for, `logins` what it was told; whatever the address, it connects to
    `target`, where one is given.
    """

    def __init__(
        self, kind: str, login: tuple[str, str] | None = None, target: tuple[str, int] | None = None
    ) -> None:
        self.kind, self.login, self.target = kind, login, target
        self.asked: list[tuple[str, int]] = []
        self.logins: list[tuple[str, str]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """Its URL, with its login."""
        login = f"{self.login[0]}:{self.login[1]}@" if self.login else ""
        return f"{self.kind}://{login}127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in (self._listener, *self._sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join()

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type] # a method here
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                self._run(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            server = self._socks5(client) if self.kind == "socks5" else self._http(client)
            if server is None:
                return
            with server:
                self._run(_forward, client, server)
                _forward(server, client)

    def _socks5(self, client: socket.socket) -> socket.socket | None:
        _, count = _take(client, 2)
        offered = _take(client, count)
        if self.login is None:
            client.sendall(b"\x05\x00")
        elif 2 not in offered:
            client.sendall(b"\x05\xff")
            return None
        else:
            client.sendall(b"\x05\x02")
            username = _take(client, _take(client, 2)[1]).decode()
            password = _take(client, _take(client, 1)[0]).decode()
            client.sendall(b"\x01\x00" if self._admits(username, password) else b"\x01\x01")
            if self.logins[-1] != self.login:
                return None
        kind = _take(client, 4)[3]
        assert kind in {1, 4}, "a name was asked for"
        host = str(ip_address(_take(client, 4 if kind == 1 else 16)))
        port = int.from_bytes(_take(client, 2), "big")
        return self._connected(
            client, host, port, b"\x05\x00\x00\x01" + bytes(6), b"\x05\x05\x00\x01" + bytes(6)
        )

    def _http(self, client: socket.socket) -> socket.socket | None:
        header = b""
        while not header.endswith(b"\r\n\r\n"):
            header += _take(client, 1)
        lines = header.decode().split("\r\n")
        login = next(
            (line.split()[2] for line in lines if line.startswith("Proxy-Authorization: Basic ")), ""
        )
        if self.login is not None:
            username, _, password = base64.b64decode(login).decode().partition(":")
            if not self._admits(username, password):
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return None
        method, authority, _ = lines[0].split()
        assert method == "CONNECT"
        host, _, port = authority.rpartition(":")
        ip_address(host.strip("[]"))
        done = b"HTTP/1.1 200 Connection established\r\nX-Proxy: test\r\n\r\n"
        return self._connected(client, host.strip("[]"), int(port), done, b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

    def _admits(self, username: str, password: str) -> bool:
        self.logins.append((username, password))
        return self.logins[-1] == self.login

    def _connected(
        self, client: socket.socket, host: str, port: int, done: bytes, failed: bytes
    ) -> socket.socket | None:
        self.asked.append((host, port))
        try:
            server = socket.create_connection(self.target or (host, port), 5)
        except OSError:
            client.sendall(failed)
            return None
        self._sockets.append(server)
        # What the server says within a moment goes out together with our answer.
        server.settimeout(0.2)
        with suppress(TimeoutError):
            done += server.recv(_CHUNK)
        server.settimeout(None)
        client.sendall(done)
        return server


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _take(client: socket.socket, size: int) -> bytes:
    taken = b""
    while len(taken) < size:
        data = client.recv(size - len(taken))
        if not data:
            raise ConnectionResetError
        taken += data
    return taken

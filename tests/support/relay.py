"""A relay between a client and a mail server that keeps what the client sent and counts what it was sent.

It stands on the wire itself, so what it saw is what was asked for, whatever the code that asked believes.
"""

import math
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from tests.support.mail import Mailbox

_CHUNK = 256 * 1024


class Relay:
    """Forwards connections to `port` on `host` inside a ``with`` block.

    `sent` holds each connection's octets from the client, `received` those from the server; with `keep_received` off
    only their number is kept, in `octets_received`. The server is heard at most at `rate` octets a second a connection,
    and `delay` seconds late.
    """

    def __init__(
        self, host: str, port: int, *, keep_received: bool = True, rate: float = math.inf, delay: float = 0.0
    ) -> None:
        self._target = (host, port)
        self._keep = keep_received
        self._rate = rate
        self._delay = delay
        self._listener = socket.create_server((host, 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.sent: list[bytearray] = []
        self.received: list[bytearray] = []
        self.octets_received = 0
        self.port: int = self._listener.getsockname()[1]

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

    def commands(self) -> list[bytes]:
        """The lines that clients sent after their login, without tag and line end."""
        lines = [line for sent in self.sent for line in bytes(sent).split(b"\r\n") if b" " in line]
        bare = [line.partition(b" ")[2] for line in lines]
        return [line for line in bare if not line.startswith((b"AUTHENTICATE", b"LOGIN", b"CAPABILITY"))]

    def _run(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += (client, server)
                self.sent.append(bytearray())
                self.received.append(bytearray())
                self._run(self._forward, client, server, self.sent[-1])
                self._run(self._answer, server, client, self.received[-1])

    def _forward(self, client: socket.socket, server: socket.socket, kept: bytearray) -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                kept += data
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _answer(self, server: socket.socket, client: socket.socket, kept: bytearray) -> None:
        free = 0.0
        late: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
        self._run(self._deliver, late, client)
        with suppress(OSError):
            while data := server.recv(_CHUNK):
                self.octets_received += len(data)
                if self._keep:
                    kept += data
                free = max(free, time.monotonic()) + len(data) / self._rate
                time.sleep(max(0.0, free - time.monotonic()))
                late.put((time.monotonic() + self._delay, data))
        late.put((0.0, b""))

    def _deliver(self, late: SimpleQueue[tuple[float, bytes]], client: socket.socket) -> None:
        with suppress(OSError):
            while (arrival := late.get())[1]:
                time.sleep(max(0.0, arrival[0] - time.monotonic()))
                client.sendall(arrival[1])
            client.shutdown(socket.SHUT_WR)


@dataclass(frozen=True, slots=True)
class RelayedMailbox(Mailbox):
    """A mailbox that the code under test reaches through a relay, and the second client without it."""

    relay: Relay | None = None

    @property
    def port(self) -> int:
        assert self.relay is not None
        return self.relay.port

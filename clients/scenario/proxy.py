"""A bad network on one machine: a TCP proxy on loopback that can drop, freeze, slow down and refuse connections.

Clients speak to the proxy all the while, so the server behind it may come and go. Frozen connections stay open and carry
nothing, as behind a router that has forgotten them: no error ever tells.
"""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from types import TracebackType
from typing import NamedTuple, Self

_HOST = "127.0.0.1"
_CHUNK = 64 << 10
_TICK_SECONDS = 0.05


class _Pace(NamedTuple):
    """How many octets are carried at once, and the seconds of rest after them."""

    octets: int = _CHUNK
    rest: float = 0.0


class Proxy:
    """Forwards connections on `address` to a port of this machine inside its `with` block."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server((_HOST, 0))
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._refusing = False
        self._pace = _Pace()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    @property
    def address(self) -> str:
        return f"{_HOST}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._acceptor.join()
        self.drop()
        self._listener.close()

    def drop(self) -> None:
        """End every connection there is."""
        for link in self._present():
            link.ended.set()

    @contextmanager
    def dropping(self, random: Random, mean_seconds: float) -> Iterator[None]:
        """End one connection at a time inside the `with` block, whichever and whenever it happens to be."""
        over = threading.Event()
        thread = threading.Thread(target=self._drop_any, args=(random, mean_seconds, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _drop_any(self, random: Random, mean_seconds: float, over: threading.Event) -> None:
        while not over.wait(random.expovariate(1 / mean_seconds)):
            if present := self._present():
                random.choice(present).ended.set()

    @contextmanager
    def slow(self, octets_per_second: int) -> Iterator[None]:
        """Let every connection carry no more than that inside the `with` block."""
        self._pace = _Pace(round(octets_per_second * _TICK_SECONDS), _TICK_SECONDS)
        try:
            yield
        finally:
            self._pace = _Pace()

    def freeze(self) -> None:
        """Let every connection there is carry nothing any more; new ones work."""
        for link in self._present():
            link.frozen.set()

    def refuse(self, refusing: bool) -> None:
        """Whether new connections end at once."""
        self._refusing = refusing

    def _present(self) -> list["_Link"]:
        with self._lock:
            return list(self._links)

    def _accept(self) -> None:
        while not self._closing.is_set():
            if select.select([self._listener], [], [], _TICK_SECONDS)[0]:
                self._connect(self._listener.accept()[0])

    def _connect(self, client: socket.socket) -> None:
        try:
            if self._refusing:
                raise ConnectionRefusedError
            server = socket.create_connection((_HOST, self._target_port), timeout=5)
        except OSError:
            client.close()
            return
        link = _Link(client, server, lambda: self._pace)
        with self._lock:
            self._links.add(link)
        threading.Thread(target=self._carry, args=(link,), daemon=True).start()

    def _carry(self, link: "_Link") -> None:
        try:
            link.carry()
        finally:
            with self._lock:
                self._links.discard(link)


class _Link:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket, pace: Callable[[], _Pace]) -> None:
        self._other = {client: server, server: client}
        self._pace = pace
        self.ended = threading.Event()
        self.frozen = threading.Event()

    def carry(self) -> None:
        """Copy both ways until one side ends or the link is told to."""
        with suppress(OSError):
            while not self.ended.is_set() and self._pass_on():
                pass
        for side in self._other:
            side.close()

    def _pass_on(self) -> bool:
        if self.frozen.is_set():
            self.ended.wait(_TICK_SECONDS)
            return True
        for side in select.select(list(self._other), [], [], _TICK_SECONDS)[0]:
            pace = self._pace()
            octets = side.recv(pace.octets)
            if not octets:
                return False
            self._other[side].sendall(octets)
            self.ended.wait(pace.rest)
        return True

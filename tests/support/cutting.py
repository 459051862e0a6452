"""A relay before a server that comes and goes: connections through it can be cut at any moment, between any two octets."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Any, Self

_CHUNK = 64 * 1024


class CuttingRelay:
    """Forwards connections to `target` (`HOST:PORT`) inside an ``async with`` block, when somebody listens there."""

    def __init__(self, target: str, random: Random) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._random = random
        self._open: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Future[None]] = set()
        self._server: asyncio.Server | None = None
        self.address = ""
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*self._serving)

    def cut(self, share: float) -> None:
        """Cut about this share of the connections."""
        for writer in [writer for writer in self._open if self._random.random() < share]:
            writer.transport.abort()
            self.cuts += 1

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with suppress(OSError):
                server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
                try:
                    await _first_end(_pump(reader, server_writer), _pump(server_reader, writer))
                finally:
                    server_writer.transport.abort()
        finally:
            self._open.discard(writer)
            writer.transport.abort()


async def _first_end(*pumps: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()

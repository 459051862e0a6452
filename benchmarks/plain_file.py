"""The reference of a cache hit: a service that streams a plain file over the same call, in chunks of the same size.

It is made of the same parts as ours (the server with its settings and guards, the contract) and does what nobody can do
without who answers this call with a file: read it and write it. It looks up no name, decrypts nothing, decodes nothing
and makes no checksum.
"""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import grpc

from benchmarks.bare_server import bare_server
from benchmarks.measure import Stopwatch
from mailsync_grpc.config import Config
from mailsync_grpc.server import api, logs
from mailsync_grpc.services import registry
from mailsync_grpc.v1.content_service_pb2 import (
    ContentHeader,
    ContentTrailer,
    DownloadContentRequest,
    DownloadContentResponse,
)

_CHUNK = 64 << 10


@dataclass(frozen=True, slots=True)
class PlainFile:
    """The running reference."""

    address: str
    pid: int

    def stopwatch(self) -> Stopwatch:
        """A stopwatch over its process."""
        return Stopwatch(self.pid)


@contextmanager
def plain_file(path: Path) -> Iterator[PlainFile]:
    """The reference service of the file for the block, on a port of its own."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    child = spawn.Process(target=_main, args=(path, there))
    child.start()
    there.close()
    try:
        address = here.recv()
        assert child.pid is not None
        yield PlainFile(address, child.pid)
    finally:
        here.close()
        child.join()


def _main(path: Path, pipe: Pipe) -> None:
    config = Config(data_dir=path.parent, listen="127.0.0.1:0", log_level="error")
    logs.configure(config)
    asyncio.run(_serve(config, path, pipe))


async def _serve(config: Config, path: Path, pipe: Pipe) -> None:
    async def download_content(request: DownloadContentRequest, context: registry.Context) -> None:
        await context.write(DownloadContentResponse(header=ContentHeader()))
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(request.chunk_size or _CHUNK):
                await context.write(DownloadContentResponse(chunk=chunk))
        await context.write(DownloadContentResponse(trailer=ContentTrailer()))

    server = bare_server(config)
    call = grpc.unary_stream_rpc_method_handler(
        download_content, DownloadContentRequest.FromString, registry.serialize
    )
    name = registry.SERVICES["ContentService"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"DownloadContent": call}),))
    pipe.send(api.bind(server, config))
    await server.start()
    await asyncio.to_thread(_wait, pipe)
    await server.stop(0)


def _wait(pipe: Pipe) -> None:
    """Return when the other end is closed."""
    try:
        pipe.recv()
    except EOFError:
        return

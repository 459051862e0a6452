"""The reference of the watch: a service that writes each event by itself to every stream, as one would begin.

It is made of the same parts as ours (the server with its settings and guards, the contract) and writes the same
events, serialized beforehand; all it does is to write. It keeps no log, makes no tokens and filters nothing, which
flatters it.
"""

import asyncio
import multiprocessing
from collections.abc import Iterator, Sequence
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
from mailsync_grpc.v1 import event_pb2
from mailsync_grpc.v1.event_service_pb2 import WatchEventsRequest, WatchEventsResponse


@dataclass(frozen=True, slots=True)
class SingleWrites:
    """The running reference."""

    address: str
    pid: int
    _pipe: Pipe

    def write(self, events: Sequence[event_pb2.Event]) -> None:
        """Begin to write these events to every stream, one a response."""
        responses = [
            WatchEventsResponse(events=[event], through_revision=event.revision).SerializeToString()
            for event in events
        ]
        self._pipe.send(responses)

    def stopwatch(self) -> Stopwatch:
        """A stopwatch over its process."""
        return Stopwatch(self.pid)


@contextmanager
def single_writes(directory: Path) -> Iterator[SingleWrites]:
    """The reference service for the block, on a port of its own."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    child = spawn.Process(target=_main, args=(directory, there))
    child.start()
    there.close()
    try:
        address = here.recv()
        assert child.pid is not None
        yield SingleWrites(address, child.pid, here)
    finally:
        here.close()
        child.join()


def _main(directory: Path, pipe: Pipe) -> None:
    config = Config(data_dir=directory, listen="127.0.0.1:0", log_level="error")
    logs.configure(config)
    asyncio.run(_serve(config, pipe))


async def _serve(config: Config, pipe: Pipe) -> None:
    server, service = bare_server(config), _SingleWriter()
    watch = grpc.unary_stream_rpc_method_handler(
        service.watch_events, WatchEventsRequest.FromString, registry.serialize
    )
    name = registry.SERVICES["EventService"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"WatchEvents": watch}),))
    address = api.bind(server, config)
    await server.start()
    pipe.send(address)
    while (responses := await asyncio.to_thread(_next, pipe)) is not None:
        service.burst(responses)
    await server.stop(0)


def _next(pipe: Pipe) -> list[bytes] | None:
    try:
        found: list[bytes] = pipe.recv()
    except EOFError:
        return None
    return found


class _SingleWriter:
    """Serves WatchEvents: what `burst` is given goes to every open stream, response by response."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._changed = asyncio.Event()

    def burst(self, responses: list[bytes]) -> None:
        self._written += responses
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch_events(self, _request: WatchEventsRequest, context: registry.Context) -> None:
        position = len(self._written)
        await context.write(WatchEventsResponse().SerializeToString())
        while True:
            changed = self._changed
            while position < len(self._written):
                await context.write(self._written[position])
                position += 1
            await changed.wait()

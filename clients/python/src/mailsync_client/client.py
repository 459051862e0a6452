"""A connection to mailsync: where it is, how to be let in, one typed stub for each service, and the watch.

An address on this machine is spoken to in clear text, as the service serves it by default; any other over TLS, with the
system's trust or the CA given. A token therefore never leaves the machine unprotected.
"""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from mailsync_client.bearer import BearerToken
from mailsync_client.v1.account_service_pb2_grpc import AccountServiceStub
from mailsync_client.v1.content_service_pb2_grpc import ContentServiceStub
from mailsync_client.v1.envelope_service_pb2_grpc import EnvelopeServiceStub
from mailsync_client.v1.event_service_pb2 import (
    EventFilter,
    StartNow,
    WatchEventsRequest,
    WatchEventsResponse,
)
from mailsync_client.v1.event_service_pb2_grpc import EventServiceStub
from mailsync_client.v1.folder_service_pb2_grpc import FolderServiceStub
from mailsync_client.v1.system_service_pb2_grpc import SystemServiceStub
from mailsync_client.watch import HEARTBEAT_SECONDS, Break, Coverage, Start, Stream, request_from, watch

_log = logging.getLogger("mailsync_client")
_OPTIONS = [
    # A response ends at 1 MiB, but one envelope of unusual size may stand alone above gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", 64 << 20),
    # Without this a new channel would share the connection of an old one, and a dead one for as long as TCP believes in it.
    ("grpc.use_local_subchannel_pool", 1),
    # A call on a dead connection fails after 15 s instead of at its deadline, and the next one gets a new connection.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
]


def log_break(pause: Break) -> None:
    """Say in the log of `mailsync_client` that a watch was interrupted."""
    _log.warning("watch interrupted (%s), trying again in %.1f s", pause.cause, pause.pause)


class Client:
    """An open connection and its stubs: `accounts`, `folders`, `envelopes`, `content`, `events`, `system`.

    Made by `connect`; closed at the end of its `with` block. Safe to use from several threads.
    """

    def __init__(self, new_channel: Callable[[], grpc.Channel]) -> None:
        self._new_channel = new_channel
        self._channel = new_channel()
        self.accounts = AccountServiceStub(self._channel)
        self.folders = FolderServiceStub(self._channel)
        self.envelopes = EnvelopeServiceStub(self._channel)
        self.content = ContentServiceStub(self._channel)
        self.events = EventServiceStub(self._channel)
        self.system = SystemServiceStub(self._channel)

    @classmethod
    def connect(
        cls, address: str, *, token: str | None = None, ca: str | PathLike[str] | None = None
    ) -> Self:
        """A client of the service at `address` (`host:port` or `unix:/path`); it connects with the first call.

        `token`: bearer token of the service. `ca`: PEM file to trust instead of the system's, which also asks for TLS on
        this machine. OSError when that file cannot be read.
        """
        trust = Path(ca).read_bytes() if ca is not None else None
        clear = trust is None and is_local(address)

        def new_channel() -> grpc.Channel:
            if clear:
                channel = grpc.insecure_channel(address, _OPTIONS)
            else:
                channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(trust), _OPTIONS)
            return grpc.intercept_channel(channel, BearerToken(token)) if token else channel

        return cls(new_channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and end calls under way; watches have connections of their own."""
        self._channel.close()

    def watch(
        self,
        *,
        start: Start | None = None,
        filter: EventFilter | None = None,  # noqa: A002  the field's name in the contract
        heartbeat: float = HEARTBEAT_SECONDS,
        label: str = "",
        reset_on_compacted: bool = False,
        coverage: Coverage | None = None,
        on_break: Callable[[Break], object] = log_break,
    ) -> Generator[WatchEventsResponse, None, None]:
        """What changes from `start` on, without end; see `mailsync_client.watch`.

        `start`: a resume token, a time, StartOldest, StartSnapshot (the current state first), or None for now. Keep each
        response's `resume_token` together with what the response did. A token is valid for the filter it was made
        under, or, when it came with a list, for that account; one of a snapshot goes on with the snapshot. `heartbeat`
        in seconds, 1 to 300. `label`: what the server calls this stream, [a-z0-9-]{0,63}. `reset_on_compacted`: when
        the position cannot be served, have a `reset` and a snapshot instead of ResyncRequired.
        """
        request = request_from(StartNow() if start is None else start)
        request.filter.CopyFrom(filter or EventFilter())
        request.label = label
        request.reset_on_compacted = reset_on_compacted
        return watch(self._stream, request, heartbeat=heartbeat, coverage=coverage, on_break=on_break)

    @contextmanager
    def _stream(self, request: WatchEventsRequest) -> Iterator[Stream]:
        # A channel for each connection: after silence the old one may be dead without knowing it.
        with self._new_channel() as channel:
            yield EventServiceStub(channel).WatchEvents(request)


def is_local(address: str) -> bool:
    """Whether only this machine can be meant: a Unix socket, localhost or a loopback address."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

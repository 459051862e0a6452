"""Connecting: what is local, the token on every call, and the stubs, against a small service of our own."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from mailsync_client import Client
from mailsync_client.client import is_local
from mailsync_client.v1.event_service_pb2 import (
    GetEventLogRequest,
    GetEventLogResponse,
    Heartbeat,
    WatchEventsRequest,
    WatchEventsResponse,
)
from mailsync_client.v1.event_service_pb2_grpc import EventServiceServicer, add_EventServiceServicer_to_server

_LONGEST_DEADLINE = 3600.0


class Events(EventServiceServicer):
    """Answers every call and notes the token and the deadline it came with."""

    def __init__(self) -> None:
        self.seen: list[tuple[str | bytes | None, bool]] = []
        self.starts: list[str | None] = []

    def WatchEvents(  # noqa: N802  the contract's name
        self, request: WatchEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[WatchEventsResponse]:
        self._note(context)
        self.starts.append(request.WhichOneof("start"))
        yield WatchEventsResponse(resume_token=request.resume_token, heartbeat=Heartbeat())

    def GetEventLog(  # noqa: N802  the contract's name
        self, request: GetEventLogRequest, context: grpc.ServicerContext
    ) -> GetEventLogResponse:
        self._note(context)
        return GetEventLogResponse(head_revision=request.after_revision)

    def _note(self, context: grpc.ServicerContext) -> None:
        token = dict(context.invocation_metadata()).get("authorization")
        # gRPC's synchronous server says "for ever" by a very large number.
        self.seen.append((token, context.time_remaining() < _LONGEST_DEADLINE))


@pytest.fixture
def service() -> Iterator[tuple[str, Events]]:
    events = Events()
    server = grpc.server(ThreadPoolExecutor(4))
    add_EventServiceServicer_to_server(events, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", events
    server.stop(None).wait()


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:50051", True),
        ("[::1]:50051", True),
        ("localhost:50051", True),
        ("unix:/run/mailsync.sock", True),
        ("mail.example:443", False),
        ("192.0.2.1:443", False),
    ],
)
def test_only_this_machine_is_spoken_to_in_clear_text(address: str, local: bool) -> None:
    assert is_local(address) is local


def test_every_call_carries_the_token_and_a_watch_no_deadline(service: tuple[str, Events]) -> None:
    address, events = service
    with Client.connect(address, token="secret") as client:
        assert client.events.GetEventLog(GetEventLogRequest(after_revision=5), timeout=10).head_revision == 5
        assert next(client.watch(start="here")).resume_token == "here"
    assert events.seen == [("Bearer secret", True), ("Bearer secret", False)]


def test_without_a_token_none_is_sent(service: tuple[str, Events]) -> None:
    address, events = service
    with Client.connect(address) as client:
        client.events.GetEventLog(GetEventLogRequest(), timeout=10)
    assert events.seen == [(None, True)]


def test_a_watch_begins_now_when_it_is_not_told_where_but_not_by_a_lost_token(
    service: tuple[str, Events],
) -> None:
    address, events = service
    with Client.connect(address) as client:
        next(client.watch())
        next(client.watch(start=""))
    assert events.starts == ["now", "resume_token"]


def test_the_server_package_and_this_client_live_in_one_process() -> None:
    server_side = pytest.importorskip("mailsync_grpc.v1.event_service_pb2")
    assert server_side.WatchEventsRequest.DESCRIPTOR is WatchEventsRequest.DESCRIPTOR

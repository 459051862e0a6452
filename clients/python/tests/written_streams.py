"""Streams that are written down beforehand, and a server that hands them out."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from mailsync_client.v1.event_service_pb2 import Heartbeat, WatchEventsRequest, WatchEventsResponse
from mailsync_client.watch import Break, Start, Stream, request_from, watch


class Detail(NamedTuple):
    key: str
    value: bytes


class Failed(grpc.RpcError):
    """A call that failed, with google.rpc details as the service sends them."""

    def __init__(self, code: grpc.StatusCode, reason: str = "", retry_after: int = 0) -> None:
        super().__init__()
        self._code = code
        info = error_details_pb2.ErrorInfo(domain="mailsync", reason=reason)
        status = status_pb2.Status(code=code.value[0], message=self.details())
        status.details.append(_packed(info))
        if retry_after:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.seconds = retry_after
            status.details.append(_packed(retry))
        self._status = status.SerializeToString()

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "as written"

    def trailing_metadata(self) -> Any:
        return (Detail("grpc-status-details-bin", self._status),)


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


class Written:
    """A stream whose responses, and the error that ends it, are known beforehand."""

    def __init__(self, *script: WatchEventsResponse | Failed) -> None:
        self._script = script

    def __iter__(self) -> Iterator[WatchEventsResponse]:
        for step in self._script:
            if isinstance(step, Failed):
                raise step
            yield step

    def cancel(self) -> None:
        """A written stream holds nothing."""


class Silent:
    """A connection that is dead without knowing it: a read ends only when the call is cancelled."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()

    def __iter__(self) -> Iterator[WatchEventsResponse]:
        self._cancelled.wait()
        yield from Written(Failed(grpc.StatusCode.CANCELLED))

    def cancel(self) -> None:
        self._cancelled.set()


class Server:
    """Hands out streams in order and notes what was asked for, and every pause."""

    def __init__(self, *streams: Stream) -> None:
        self._streams = iter(streams)
        self.requests: list[WatchEventsRequest] = []
        self.breaks: list[Break] = []
        self.slept: list[float] = []

    @contextmanager
    def open(self, request: WatchEventsRequest) -> Iterator[Stream]:
        asked = WatchEventsRequest()
        asked.CopyFrom(request)
        self.requests.append(asked)
        yield next(self._streams)

    @property
    def tokens(self) -> list[str]:
        return [request.resume_token for request in self.requests]

    def watch(self, heartbeat: float = 15.0, start: Start = "first") -> Iterator[WatchEventsResponse]:
        return watch(
            self.open,
            request_from(start),
            heartbeat=heartbeat,
            on_break=self.breaks.append,
            sleep=self.slept.append,
            random=Random(1),
        )


def covering(start: int, end: int, partition: int = 0) -> WatchEventsResponse:
    return WatchEventsResponse(
        from_revision=start,
        through_revision=end,
        partition=partition,
        resume_token=f"at {end}",
        heartbeat=Heartbeat(),
    )

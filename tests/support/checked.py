"""Stubs of EventService whose streams and pages are checked as they are read, whoever reads them.

A test cannot forget to check: `serving` and `Stubs` hand out no others. What breaks a rule raises where it is read, and
again when the server or the stubs are closed, in case somebody caught it.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from functools import lru_cache
from typing import Any
from weakref import WeakValueDictionary

import grpc
from google.rpc import error_details_pb2, status_pb2

from mailsync_grpc.v1 import event_service_pb2 as pb
from mailsync_grpc.v1 import event_service_pb2_grpc
from tests.support.stream_checker import StreamChecker
from tests.support.stream_history import History
from tests.support.stream_pages import check_page

served: WeakValueDictionary[str, History] = WeakValueDictionary()
"""Histories of the services that run as processes, by address."""


@lru_cache(maxsize=16)
def history_of(_epoch: bytes) -> History:
    """The history of the store of this epoch, the same for every server over it."""
    return History()


def events_stub(channel: Any, history: History) -> Any:
    """EventService's stub over an asynchronous channel."""
    stub: Any = event_service_pb2_grpc.EventServiceStub(channel)
    watch, page = stub.WatchEvents, stub.GetEventLog

    def watched(request: pb.WatchEventsRequest, **options: Any) -> "Call":
        return Call(watch(request, **options), StreamChecker(history, request, _reader(options)))

    async def paged(request: pb.GetEventLogRequest, **options: Any) -> pb.GetEventLogResponse:
        asked = pb.GetEventLogRequest.FromString(request.SerializeToString())
        response: pb.GetEventLogResponse = await page(request, **options)
        check_page(history, asked, response, _reader(options))
        return response

    stub.WatchEvents, stub.GetEventLog = watched, paged
    return stub


def blocking_events_stub(channel: grpc.Channel, history: History) -> Any:
    """The same over a blocking channel."""
    stub: Any = event_service_pb2_grpc.EventServiceStub(channel)
    watch, page = stub.WatchEvents, stub.GetEventLog

    def watched(request: pb.WatchEventsRequest, **options: Any) -> "BlockingCall":
        return BlockingCall(watch(request, **options), StreamChecker(history, request, _reader(options)))

    def paged(request: pb.GetEventLogRequest, **options: Any) -> pb.GetEventLogResponse:
        response: pb.GetEventLogResponse = page(request, **options)
        check_page(history, request, response, _reader(options))
        return response

    stub.WatchEvents, stub.GetEventLog = watched, paged
    return stub


class Call:
    """A stream of grpc.aio: read or iterated over, and for the rest itself."""

    def __init__(self, call: Any, checker: StreamChecker) -> None:
        self._call, self._checker = call, checker

    async def read(self) -> Any:
        """Return the next response, checked, or EOF."""
        try:
            response = await self._call.read()
        except grpc.RpcError as error:
            _note_end(error, self._checker)
            raise
        if response is not grpc.aio.EOF:
            self._checker.take(response)
        return response

    async def __aiter__(self) -> AsyncIterator[pb.WatchEventsResponse]:
        while (response := await self.read()) is not grpc.aio.EOF:
            yield response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


class BlockingCall:
    """A blocking stream: iterated over, and for the rest itself."""

    def __init__(self, call: Any, checker: StreamChecker) -> None:
        self._call, self._checker = call, checker

    def __iter__(self) -> Iterator[pb.WatchEventsResponse]:
        return self

    def __next__(self) -> pb.WatchEventsResponse:
        try:
            response: pb.WatchEventsResponse = next(self._call)
        except grpc.RpcError as error:
            _note_end(error, self._checker)
            raise
        self._checker.take(response)
        return response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def _note_end(error: Any, checker: StreamChecker) -> None:
    if error.code() is grpc.StatusCode.OUT_OF_RANGE:
        checker.failed(*error_info(error))


def error_info(error: Any) -> tuple[str, Mapping[str, str]]:
    """Reason and metadata of an error's ErrorInfo; nothing when it has none."""
    found = error_details_pb2.ErrorInfo()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for packed in status_pb2.Status.FromString(value).details:
                if packed.Is(found.DESCRIPTOR):
                    packed.Unpack(found)
    return found.reason, dict(found.metadata)


def _reader(options: Mapping[str, Any]) -> str:
    return str(dict(options.get("metadata") or ()).get("authorization", ""))

"""Pages of 1,000 envelopes: read over gRPC from a running service, against building the same page of protobuf objects.

Ours is the whole call: request, page token, store, join, and the answer at a client that does not parse it. The
reference is only the step that joining stored bytes avoids: making a response of message objects from values in memory
and serializing it, without a store, a server or a wire. Compared is the CPU of the service, since two programs share
the machine while ours runs and one alone while the reference does.
"""

from collections.abc import Callable
from statistics import median
from typing import Any

from google.protobuf.message import Message

from benchmarks import goals
from benchmarks.measure import Usage, ratio, timed
from benchmarks.ours import Ours, ours
from benchmarks.result import Row, unmeasured
from benchmarks.session import Session
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1.envelope_service_pb2 import ListEnvelopesRequest, ListEnvelopesResponse

_PAGE = 1_000
_PAGES = 200
_METHOD = "/mailsync.v1.EnvelopeService/ListEnvelopes"

Values = dict[str, Any]
"""A message's fields as plain values, which its class makes a message of again."""


def rows(session: Session) -> list[Row]:
    """Measure pages of the full view, newest first, through several pages of the folder."""
    session.tell("pages of envelopes")
    with ours(session.place.small) as service:
        requests = _requests(service, service.sync(session.place.mailbox))
        call: Callable[[ListEnvelopesRequest], bytes] = service.stubs.channel.unary_unary(
            _METHOD, request_serializer=ListEnvelopesRequest.SerializeToString
        )
        page = ListEnvelopesResponse.FromString(call(requests[-1]))
        values = [_values(envelope) for envelope in page.envelopes]
        listed, built = session.rounds(
            lambda: _list(service, call, requests),
            lambda: timed(lambda: [_build(values) for _ in requests]),
        )
    pages = len(requests)
    each = [[usage.cpu / pages * 1e3 for usage in column] for column in (listed, built)]
    note = f"{len(values):,} envelopes a page, {page.ByteSize() / len(values):.0f} octets each, over gRPC on loopback"
    return [
        Row(goals.LIST_PAGES, ratio(each[1], each[0]), median(each[0]), median(each[1]), "ms a page", note),
        unmeasured(goals.LIST_BACKFILL, "needs percentiles over a minute beside a second large folder"),
    ]


def _requests(service: Ours, inbox: str) -> list[ListEnvelopesRequest]:
    """Walk through the folder once and return the request of each full page, over and over."""
    request = ListEnvelopesRequest(parent=inbox, page_size=_PAGE)
    requests = [request]
    while len(requests) < _PAGES and (
        token := service.stubs.envelopes.ListEnvelopes(request).next_page_token
    ):
        request = ListEnvelopesRequest(parent=inbox, page_size=_PAGE, page_token=token)
        requests.append(request)
    return requests[:-1] or requests


def _list(
    service: Ours, call: Callable[[ListEnvelopesRequest], bytes], requests: list[ListEnvelopesRequest]
) -> Usage:
    watch = service.stopwatch()
    with watch.running():
        for request in requests:
            call(request)
    return watch.usage


def _build(values: list[Values]) -> bytes:
    response = ListEnvelopesResponse(envelopes=[envelope_pb2.Envelope(**fields) for fields in values])
    return response.SerializeToString()


def _values(message: Message) -> Values:
    return {field.name: _value(value) for field, value in message.ListFields()}


def _value(value: Any) -> Any:
    if isinstance(value, Message):
        return _values(value)
    return value if isinstance(value, str | bytes | int) else [_value(item) for item in value]

"""Pages of 1,000 envelopes: read over gRPC from a running service, against building the same page of protobuf objects.

Ours is the whole call: request, page token, store, join, and the answer at a client that does not parse it. The
reference is only the step that joining stored bytes avoids: making message objects from values that are in memory and
serializing them (`built_page`), without a store, a server or a wire. Compared is the CPU of the service, since two
programs share the machine while ours runs and one alone while the reference does.
"""

import os
from collections.abc import Callable
from statistics import median

from benchmarks import goals
from benchmarks.built_page import built_page
from benchmarks.measure import Usage, ratio, timed
from benchmarks.ours import Ours, ours
from benchmarks.result import Row, unmeasured
from benchmarks.session import Session
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connection import connect
from mailsync_grpc.imap.endpoint import Endpoint
from mailsync_grpc.model.account import AccountKey, Security
from mailsync_grpc.model.changes import NewEnvelope
from mailsync_grpc.model.folder import FolderKey, MirrorNo
from mailsync_grpc.model.ids import ID_BYTES, AccountNo, FolderNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1.envelope_service_pb2 import ListEnvelopesRequest
from tests.support.mail import Mailbox
from tests.support.mirror import POLICY

_PAGE = 1_000
_PAGES = 200
_BUILT_PAGES = 20
_METHOD = "/mailsync.v1.EnvelopeService/ListEnvelopes"
_FOLDER = FolderKey(
    AccountKey(AccountNo(1), "bench0"), FolderNo(1), bytes(ID_BYTES), MirrorNo(1), 1_700_000_000
)

ListPage = Callable[[ListEnvelopesRequest], bytes]


def rows(session: Session) -> list[Row]:
    """Measure pages of the full view, newest first, through several pages of the folder."""
    session.tell("pages of envelopes")
    values = _newest(session.place.mailbox, session.place.messages)
    with ours(session.place.small) as service:
        requests = _requests(service, service.sync(session.place.mailbox))
        list_page: ListPage = service.stubs.channel.unary_unary(
            _METHOD, request_serializer=ListEnvelopesRequest.SerializeToString
        )
        listed, built = session.rounds(
            lambda: _list(service, list_page, requests),
            lambda: timed(lambda: [built_page(_FOLDER, values) for _ in range(_BUILT_PAGES)]),
        )
        octets = len(list_page(requests[0])) / _PAGE
    ours_ms = [usage.cpu / len(requests) * 1e3 for usage in listed]
    built_ms = [usage.cpu / _BUILT_PAGES * 1e3 for usage in built]
    note = f"{octets:.0f} octets an envelope, over gRPC on loopback, CPU of the service"
    return [
        Row(goals.LIST_PAGES, ratio(built_ms, ours_ms), median(ours_ms), median(built_ms), "ms a page", note),
        unmeasured(goals.LIST_BACKFILL, "needs percentiles over a minute beside a second large folder"),
    ]


def _newest(mailbox: Mailbox, messages: int) -> list[NewEnvelope]:
    endpoint = Endpoint(mailbox.host, mailbox.port, Security.PLAINTEXT)
    with connect(endpoint, POLICY, Password(mailbox.user, mailbox.password)) as connection:
        connection.examine(b"INBOX")
        found = connection.fetch_metadata(UidSet.span(messages - _PAGE + 1, messages))
    return [NewEnvelope(each.uid, os.urandom(ID_BYTES), each.flags, each.envelope) for each in found]


def _requests(service: Ours, inbox: str) -> list[ListEnvelopesRequest]:
    """Walk through the folder once and return the request of each full page, over and over."""
    request = ListEnvelopesRequest(parent=inbox, page_size=_PAGE, view=envelope_pb2.ENVELOPE_VIEW_FULL)
    requests: list[ListEnvelopesRequest] = []
    while token := service.stubs.envelopes.ListEnvelopes(request).next_page_token:
        requests.append(request)
        request = ListEnvelopesRequest(parent=inbox, page_size=_PAGE, view=request.view, page_token=token)
    # The CPU of a process is told in steps of 10 ms, so the pages are read again until they take long enough.
    return requests * (_PAGES // len(requests) + 1)


def _list(service: Ours, list_page: ListPage, requests: list[ListEnvelopesRequest]) -> Usage:
    watch = service.stopwatch()
    with watch.running():
        for request in requests:
            list_page(request)
    return watch.usage

"""Lists an account, then watches it, into a `Mirror`: the runner of what the mirror decides.

The token of the first page is older than everything listed after it, so that no change between the pages is missed; what
was listed newer than an event is left alone by it. When the position is lost, everything is listed anew.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from random import Random
from typing import TypeVar

import grpc

from mailsync_client.client import Client, log_break
from mailsync_client.failures import failure_of
from mailsync_client.mirror import EVENT_TYPES, Mirror, Ranges, Read, ReadEnvelope, ReadFolder
from mailsync_client.v1.envelope_pb2 import ENVELOPE_VIEW_FULL, Envelope, UidRange
from mailsync_client.v1.envelope_service_pb2 import EnvelopeFilter, GetEnvelopeRequest, ListEnvelopesRequest
from mailsync_client.v1.event_service_pb2 import EventFilter, WatchEventsResponse
from mailsync_client.v1.folder_service_pb2 import ListFoldersRequest
from mailsync_client.watch import HEARTBEAT_SECONDS, Break, Coverage, ResyncRequired, pause_before

CALL_SECONDS = 30.0
_PAGE_SIZE = 1000
_MAX_RANGES = 1000
# The message or its folder is gone, or renumbered, since the event: an event still to come says so.
_GONE = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}

Request = TypeVar("Request")
Response = TypeVar("Response")


def follow(
    client: Client,
    mirror: Mirror,
    *,
    heartbeat: float = HEARTBEAT_SECONDS,
    on_break: Callable[[Break], object] = log_break,
) -> Generator[WatchEventsResponse, None, None]:
    """Keep `mirror` in step, without end; yields each response once it is applied, when the mirror may be stored.

    A mirror without token is listed first, and again whenever its position is lost. Raises grpc.RpcError when the
    service refuses, for instance because there is no such account.
    """
    reader = _Reader(client, on_break)
    events = EventFilter(accounts=[mirror.account], types=EVENT_TYPES)
    while True:
        if not mirror.token:
            reader.list_all(mirror)
        responses = client.watch(
            resume_token=mirror.token,
            filter=events,
            heartbeat=heartbeat,
            coverage=Coverage(dict(mirror.through)),
            on_break=on_break,
        )
        try:
            with closing(responses):
                for response in responses:
                    reader.absorb(mirror, response)
                    yield response
        except ResyncRequired as lost:
            on_break(Break(str(lost), 0.0))
            mirror.reset()


class _Reader:
    """Reads what a mirror asks for, trying again as long as the failure is a passing one."""

    def __init__(self, client: Client, on_break: Callable[[Break], object]) -> None:
        self._client = client
        self._on_break = on_break
        self._random = Random()

    def list_all(self, mirror: Mirror) -> None:
        """Put every envelope of every selected folder."""
        request = ListFoldersRequest(parent=mirror.account, selected_only=True)
        folders = []
        while True:
            page = self._call(self._client.folders.ListFolders, request)
            if not request.page_token:
                mirror.reset(page.resume_token)
            folders += [folder.name for folder in page.folders]
            request.page_token = page.next_page_token
            if not page.next_page_token:
                break
        for folder in folders:
            self.read(mirror, ReadFolder(folder))

    def absorb(self, mirror: Mirror, response: WatchEventsResponse) -> None:
        """Apply a response, reads included. What must be read is read at once, so it is never older than its event."""
        for event in response.events:
            for read in mirror.apply(event):
                self.read(mirror, read)
        mirror.advance(response)

    def read(self, mirror: Mirror, read: Read) -> None:
        """Do one read and put its answer."""
        try:
            pages = self._one(read) if isinstance(read, ReadEnvelope) else self._pages(read)
            for envelopes, read_revision in pages:
                mirror.put(envelopes, read_revision)
        except grpc.RpcError as error:
            if failure_of(error).code not in _GONE:
                raise

    def _one(self, read: ReadEnvelope) -> Iterator[tuple[list[Envelope], int]]:
        request = GetEnvelopeRequest(name=read.name, view=ENVELOPE_VIEW_FULL)
        answer = self._call(self._client.envelopes.GetEnvelope, request)
        yield [answer.envelope], answer.read_revision

    def _pages(self, read: ReadFolder) -> Iterator[tuple[list[Envelope], int]]:
        uids = [UidRange(first=first, last=last) for first, last in _bounded(read.uids)]
        request = ListEnvelopesRequest(
            parent=read.folder,
            filter=EnvelopeFilter(uids=uids),
            view=ENVELOPE_VIEW_FULL,
            page_size=_PAGE_SIZE,
        )
        while True:
            page = self._call(self._client.envelopes.ListEnvelopes, request)
            yield list(page.envelopes), page.read_revision
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _call(self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        attempt = 0
        while True:
            try:
                return method(request, timeout=CALL_SECONDS)
            except grpc.RpcError as error:
                failure = failure_of(error)
                if not failure.passing:
                    raise
                pause = pause_before(attempt, self._random, failure.retry_after)
                attempt += 1
                self._on_break(Break(f"{failure.code.name}: {failure.message}", pause))
                time.sleep(pause)


def _bounded(uids: Ranges) -> Ranges:
    """These ranges, or one over all of them where they are too many for a request: reading more does no harm."""
    return uids if len(uids) <= _MAX_RANGES else ((min(uids)[0], max(last for _, last in uids)),)

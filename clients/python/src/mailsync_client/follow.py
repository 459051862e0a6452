"""Reads an account, then watches it, into a `Mirror`: the runner of what the mirror decides.

The token of a list's first page is older than everything listed after it, so that no change between the pages is missed;
what was listed newer than an event is left alone by it. The mirror is given the token when the list is complete: one that
is cut short must not be gone on from. A snapshot is such a list that comes in the watch itself; each of its tokens goes on
with it. When the position is lost, everything is read anew.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from random import Random
from typing import TypeVar

import grpc

from mailsync_client.client import Client, log_break
from mailsync_client.failures import Failure, failure_of
from mailsync_client.mirror import EVENT_TYPES, Mirror, Ranges, Read, ReadAccount, ReadEnvelope, ReadFolder
from mailsync_client.v1.envelope_pb2 import ENVELOPE_VIEW_FULL, Envelope, UidRange
from mailsync_client.v1.envelope_service_pb2 import EnvelopeFilter, GetEnvelopeRequest, ListEnvelopesRequest
from mailsync_client.v1.errors_pb2 import ErrorReason
from mailsync_client.v1.event_service_pb2 import EventFilter, StartSnapshot, WatchEventsResponse
from mailsync_client.v1.folder_service_pb2 import ListFoldersRequest, ListFoldersResponse
from mailsync_client.watch import (
    HEARTBEAT_SECONDS,
    Break,
    Coverage,
    ResyncRequired,
    asked_pause,
    pause_before,
)

CALL_SECONDS = 30.0
_PAGE_SIZE = 1000
_MAX_RANGES = 1000

Request = TypeVar("Request")
Response = TypeVar("Response")


def follow(
    client: Client,
    mirror: Mirror,
    *,
    snapshot: bool = False,
    heartbeat: float = HEARTBEAT_SECONDS,
    label: str = "",
    on_break: Callable[[Break], object] = log_break,
) -> Generator[WatchEventsResponse, None, None]:
    """Keep `mirror` in step, without end; yields each response once it is applied, when the mirror may be stored.

    A mirror without token is listed first, and again whenever its position is lost; with `snapshot` the watch itself
    brings the state instead. `on_break` is told of each interruption, resyncs included. Raises grpc.RpcError when the
    service refuses, for instance because there is no such account.
    """
    reader = _Reader(client, on_break)
    attempt, random = 0, Random()
    while True:
        try:
            if not mirror.token and snapshot:
                mirror.reset(partial=True)
            elif not mirror.token:
                reader.list_all(mirror)
            responses = client.watch(
                start=mirror.token or StartSnapshot(),
                filter=EventFilter(accounts=[mirror.account], types=EVENT_TYPES),
                heartbeat=heartbeat,
                label=label,
                reset_on_compacted=snapshot,
                coverage=Coverage(dict(mirror.through)),
                on_break=on_break,
            )
            with closing(responses):
                for response in responses:
                    reader.absorb(mirror, response)
                    attempt = 0 if mirror.caught_up else attempt
                    yield response
        except ResyncRequired as lost:
            # A store made anew is told to all its clients at the same moment.
            pause = pause_before(attempt, random)
            attempt += 1
            mirror.reset()
            on_break(Break(str(lost), pause))
            time.sleep(pause)


class _Reader:
    """Reads what a mirror asks for, trying again as long as the failure is a passing one."""

    def __init__(self, client: Client, on_break: Callable[[Break], object]) -> None:
        self._client = client
        self._on_break = on_break
        self._random = Random()

    def list_all(self, mirror: Mirror) -> None:
        """Put every envelope of every selected folder, then the token of the first page."""
        mirror.reset()
        pages = list(self._folder_pages(mirror.account))
        self._read_folders(mirror, pages)
        mirror.token = pages[0].resume_token

    def absorb(self, mirror: Mirror, response: WatchEventsResponse) -> None:
        """Apply a response, reads included. What must be read is read at once, so it is never older than its event."""
        if response.HasField("reset"):
            reason = ErrorReason.Name(response.reset.reason).removeprefix("ERROR_REASON_")
            self._on_break(Break(f"{reason}: a snapshot follows", 0.0))
        self._read_all(mirror, mirror.heed(response))
        for event in response.events:
            self._read_all(mirror, mirror.apply(event))
        mirror.advance(response)

    def _read_all(self, mirror: Mirror, reads: list[Read]) -> None:
        for read in reads:
            try:
                self._read(mirror, read)
            except grpc.RpcError as error:
                if not _gone(failure_of(error)):
                    raise

    def _read(self, mirror: Mirror, read: Read) -> None:
        """Do one read and put its answer."""
        if isinstance(read, ReadAccount):
            self._read_folders(mirror, self._folder_pages(read.name))
            return
        pages = self._one(read) if isinstance(read, ReadEnvelope) else self._pages(read)
        for envelopes, read_revision in pages:
            mirror.put(envelopes, read_revision)

    def _read_folders(self, mirror: Mirror, pages: Iterable[ListFoldersResponse]) -> None:
        self._read_all(mirror, [ReadFolder(folder.name) for page in pages for folder in page.folders])

    def _folder_pages(self, account: str) -> Iterator[ListFoldersResponse]:
        request = ListFoldersRequest(parent=account, selected_only=True)
        while True:
            page = self._call(self._client.folders.ListFolders, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

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
                pause = pause_before(attempt, self._random, asked_pause(error, failure))
                attempt += 1
                self._on_break(Break(f"{failure.code.name}: {failure.message}", pause))
                time.sleep(pause)


def _gone(failure: Failure) -> bool:
    """Whether what was to be read is gone or renumbered since the event: an event still to come says so."""
    return failure.code is grpc.StatusCode.NOT_FOUND or failure.reason == "UID_VALIDITY_CHANGED"


def _bounded(uids: Ranges) -> Ranges:
    """These ranges, or one over all of them where they are too many for a request: reading more does no harm."""
    return uids if len(uids) <= _MAX_RANGES else ((min(uids)[0], max(last for _, last in uids)),)

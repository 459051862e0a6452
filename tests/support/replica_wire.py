"""How a replica reads and follows: list-then-watch or snapshot-then-watch, over any number of broken streams.

Listing and watching go on at the same time where the contract lets them, since that is where a client goes wrong: the stream
is opened at the first page, and what it sends is applied between the pages.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, Protocol

import grpc
from google.protobuf.duration_pb2 import Duration

from mailsync_grpc.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    envelope_service_pb2,
    envelope_service_pb2_grpc,
    folder_service_pb2,
    folder_service_pb2_grpc,
)
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.checked import events_stub
from tests.support.replica import Read, ReadEnvelope, Record, Replica
from tests.support.stream_filter import Wanted
from tests.support.stream_history import History

HEARTBEAT = Duration(seconds=1)
_PAGE = 50
_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
}
"""What a client tries again after: with a connection cut anywhere, gRPC says now this and now that."""
_GONE = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}
"""What is said of a folder that went or was renumbered meanwhile; an event that says so follows."""


class Wire(Protocol):
    """The stubs a replica needs; `Api` has them."""

    accounts: Any
    folders: Any
    envelopes: Any
    events: Any


class Stubs:
    """The same over a channel of one's own."""

    def __init__(self, channel: Any, history: History) -> None:
        self.accounts: Any = account_service_pb2_grpc.AccountServiceStub(channel)
        self.folders: Any = folder_service_pb2_grpc.FolderServiceStub(channel)
        self.envelopes: Any = envelope_service_pb2_grpc.EnvelopeServiceStub(channel)
        self.events: Any = events_stub(channel, history)


class Page(NamedTuple):
    """A page of any list; `token` is empty unless it is the first."""

    records: Iterable[Record]
    read_revision: int
    token: str


async def pages(wire: Wire, wanted: Wanted) -> AsyncGenerator[Page, None]:
    """List all there is under a filter: accounts, their folders, their envelopes."""
    request = account_service_pb2.ListAccountsRequest(labels=dict(wanted.labels))
    async for page in _paged(wire.accounts.ListAccounts, request):
        yield Page(page.accounts, page.read_revision, page.resume_token)
        for account in page.accounts:
            async for inner in account_pages(wire, wanted, account.name):
                yield inner


async def account_pages(wire: Wire, wanted: Wanted, account: str) -> AsyncIterator[Page]:
    """List an account's folders and their envelopes."""
    async for page in _paged(wire.folders.ListFolders, folder_service_pb2.ListFoldersRequest(parent=account)):
        yield Page(page.folders, page.read_revision, "")
        for folder in page.folders:
            if folder.selected and not wanted.refuses_item(folder.name):
                async for inner in envelope_pages(wire, wanted, folder.name):
                    yield inner


async def envelope_pages(
    wire: Wire, wanted: Wanted, folder: str, uids: Iterable[Any] = ()
) -> AsyncIterator[Page]:
    """List a folder's envelopes, all or some."""
    request = envelope_service_pb2.ListEnvelopesRequest(
        parent=folder, page_size=_PAGE, filter=envelope_service_pb2.EnvelopeFilter(uids=uids)
    )
    request.view = wanted.view  # type: ignore[assignment] # a number of the enum
    async for page in _paged(wire.envelopes.ListEnvelopes, request):
        yield Page(page.envelopes, page.read_revision, "")


async def _paged(method: Any, request: Any) -> AsyncIterator[Any]:
    while True:
        response = await _answer(method, request)
        if response is None:
            return
        yield response
        request.page_token = response.next_page_token
        if not request.page_token:
            return


async def _answer(method: Any, request: Any) -> Any:
    """The answer to a call, tried until somebody answers; None when what it names is gone."""
    while True:
        try:
            return await method(request, timeout=30)
        except grpc.aio.AioRpcError as error:
            if error.code() in _GONE:
                return None
            if error.code() not in {*_PASSING, grpc.StatusCode.DEADLINE_EXCEEDED}:
                raise
            await asyncio.sleep(0.1)


async def fresh(wire: Wire, wanted: Wanted) -> Replica:
    """A replica made by listing alone, while nothing changes."""
    replica = Replica(wanted)
    async for page in pages(wire, wanted):
        replica.put(page.records, page.read_revision)
    return replica


@dataclass(slots=True)
class Follower:
    """Keeps a replica in step until it is stopped, from whichever way it begins: with lists, or with a snapshot."""

    wire: Wire
    filter: pb.EventFilter = field(default_factory=pb.EventFilter)
    snapshot: bool = False
    random: Random = field(default_factory=Random)
    on_response: Callable[[pb.WatchEventsResponse], None] = lambda _: None
    replica: Replica = field(init=False)
    resyncs: int = 0
    breaks: int = 0
    _stopped: bool = False
    _listed: bool = False
    _call: Any = None
    _cut: bool = False
    _away: float = 0.0

    def __post_init__(self) -> None:
        self.replica = Replica(Wanted.of(self.filter))

    def stop(self) -> None:
        """Follow no longer."""
        self._stopped = True
        self.cut()

    def cut(self, away: float = 0.0) -> None:
        """Break the stream off, if there is one; it is resumed after so many seconds."""
        self._away = away
        if self._call is not None:
            self._cut = True
            self._call.cancel()

    def reached(self, revision: int) -> bool:
        """Whether everything up to a revision is known."""
        return self._listed and self.replica.through >= revision

    async def run(self) -> None:
        """Follow until stopped. Raises what no client gets over, and what the stream checker found."""
        while not self._stopped:
            try:
                await self._follow()
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.OUT_OF_RANGE:
                    self._begin_anew()
                elif error.code() not in _PASSING:
                    raise
            except asyncio.CancelledError:
                if not self._cut:
                    raise
            self.breaks += 1
            self._cut, self._call = False, None
            if not self._listed and not self.snapshot:
                self._begin_anew()
            away, self._away = self._away, 0.0
            await asyncio.sleep(away + self.random.uniform(0, 0.2))

    def _begin_anew(self) -> None:
        self.resyncs += 1
        self._listed = False
        self.replica.forget()

    async def _follow(self) -> None:
        if self.replica.token or self.snapshot:
            await self._take_all(self._open())
            return
        async with aclosing(pages(self.wire, self.replica.wanted)) as listing:
            first = await anext(listing)
            self.replica.token = first.token
            self.replica.put(first.records, first.read_revision)
            await self._list_and_watch(listing, first.read_revision)

    async def _list_and_watch(self, listing: AsyncIterator[Page], first_read: int) -> None:
        call = self._open()
        pending = asyncio.ensure_future(call.read())
        try:
            async for page in listing:
                self.replica.put(page.records, page.read_revision)
                while pending.done():
                    response = await pending
                    if response is grpc.aio.EOF:
                        return
                    assert response.from_revision <= max(first_read, self.replica.through)
                    await self._take(response)
                    pending = asyncio.ensure_future(call.read())
            self._listed = True
            await self._take_first(await pending)
        finally:
            pending.cancel()
        await self._take_all(call)

    async def _take_first(self, response: Any) -> None:
        if response is not grpc.aio.EOF:
            await self._take(response)

    def _open(self) -> Any:
        request = pb.WatchEventsRequest(
            filter=self.filter, heartbeat_interval=HEARTBEAT, reset_on_compacted=self.snapshot
        )
        if self.replica.token:
            request.resume_token = self.replica.token
        else:
            request.snapshot.SetInParent()
        self._call = self.wire.events.WatchEvents(request)
        return self._call

    async def _take_all(self, call: Any) -> None:
        try:
            async for response in call:
                await self._take(response)
        finally:
            call.cancel()

    async def _take(self, response: pb.WatchEventsResponse) -> None:
        if response.HasField("reset"):
            self._begin_anew()
        if response.HasField("snapshot_chunk"):
            chunk = response.snapshot_chunk
            records: Sequence[Record] = (*chunk.accounts, *chunk.folders, *chunk.envelopes)
            self.replica.put(records, chunk.read_revision)
        self._listed = self._listed or response.HasField("snapshot_end")
        if response.HasField("account_hidden"):
            self.replica.drop(response.account_hidden.account)
        if response.HasField("account_visible"):
            await self._see(response.account_visible.account)
        for event in response.events:
            for read in self.replica.apply(event):
                await self._read(read)
        self.replica.advance(response.resume_token, response.through_revision)
        self.on_response(response)

    async def _see(self, account: str) -> None:
        asked = account_service_pb2.GetAccountRequest(name=account)
        found = await _answer(self.wire.accounts.GetAccount, asked)
        if found is not None:
            self.replica.put([found.account], found.read_revision)
            async for page in account_pages(self.wire, self.replica.wanted, account):
                self.replica.put(page.records, page.read_revision)

    async def _read(self, read: Read) -> None:
        if isinstance(read, ReadEnvelope):
            request = envelope_service_pb2.GetEnvelopeRequest(name=read.name)
            request.view = self.replica.wanted.view  # type: ignore[assignment] # a number of the enum
            found = await _answer(self.wire.envelopes.GetEnvelope, request)
            if found is not None:
                self.replica.put([found.envelope], found.read_revision)
            return
        async for page in envelope_pages(self.wire, self.replica.wanted, read.folder, read.uids):
            self.replica.put(page.records, page.read_revision)

"""What a caller may see of a watch: its own accounts, as they are now, and nothing once its token is gone."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from mailsync_grpc.model.access import AccessToken, Reach, Scope
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import AccountChanged, AccountRemoved
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.store.base import Batch, TokenEdit
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import EnvelopePage
from mailsync_grpc.v1 import account_service_pb2 as account_pb
from mailsync_grpc.v1 import envelope_service_pb2 as envelope_pb
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.api import Api, reason, serving
from tests.support.callers import Metadata, admit, bearing, token_of
from tests.support.store import Mailbox, ManualClock, message_of
from tests.support.watching import OLDEST, PATIENCE, Watcher, head, until

READER = Scope.READ_METADATA
OURS, TENANT, ADMIN = bearing(1), bearing(2), bearing(3)
BEAT = Duration(seconds=1)


@dataclass(frozen=True, slots=True)
class Two:
    """Two accounts; token 1 is for the first, token 2 for those of a label, token 3 for all."""

    api: Api
    ours: Mailbox
    theirs: Mailbox
    clock: ManualClock

    @asynccontextmanager
    async def watching(self, caller: Metadata, **request: Any) -> AsyncIterator[Watcher]:
        """A stream of the caller's while the block runs."""
        call = self.api.events.WatchEvents(
            pb.WatchEventsRequest(heartbeat_interval=BEAT, **request), metadata=caller
        )
        watcher = Watcher(call)
        try:
            await watcher.read()
            yield watcher
        finally:
            call.cancel()


def expiring(clock: ManualClock) -> AccessToken:
    """Token 4, for ten minutes."""
    return token_of(4, READER, expire_time=int(clock.now + 600) * 1_000)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    clock = ManualClock()
    store = MemoryStore(clock)
    ours, theirs = Mailbox.make(store, "ours"), Mailbox.make(store, "theirs")
    for box in (ours, theirs):
        box.add(message_of(1))
    admit(
        store,
        token_of(1, READER, reach=Reach((ours.account.key,))),
        token_of(2, READER, reach=Reach(labels={"tenant": "a"})),
        token_of(3),
        expiring(clock),
    )
    async with serving(store, tmp_path, clock=clock) as api:
        yield Two(api, ours, theirs, clock)


def label(box: Mailbox, **labels: str) -> None:
    box.account = replace(box.account, version=box.account.version + 1, labels=labels)
    box.store.apply(Batch(box.account.key, (AccountChanged(box.account),)))


async def told(watcher: Watcher, control: str) -> str:
    """Read until a control message of this kind; return its account."""
    while not watcher.responses[-1].HasField(control):  # type: ignore[arg-type] # a name of the oneof
        await watcher.read()
    return str(getattr(watcher.responses[-1], control).account)


async def test_a_stream_shows_the_callers_accounts_and_covers_the_rest(two: Two) -> None:
    async with two.watching(OURS, oldest=OLDEST) as watcher:
        two.theirs.add(message_of(2))
        two.ours.add(message_of(2))
        events = await watcher.until(head(two.api))
    assert {event.account for event in events} == {"accounts/ours"}
    assert watcher.responses[0].from_revision == 0


async def test_a_snapshot_an_export_and_the_log_show_no_more(two: Two) -> None:
    async with two.watching(OURS, snapshot=pb.StartSnapshot()) as watcher:
        while not watcher.responses[-1].HasField("snapshot_end"):
            await watcher.read()
    end = watcher.responses[-1].snapshot_end
    assert (end.accounts, end.folders, end.envelopes) == (1, 1, 1)
    page = await two.api.events.GetEventLog(pb.GetEventLogRequest(), metadata=OURS)
    assert {event.account for event in page.events} == {"accounts/ours"}
    request = envelope_pb.ExportEnvelopesRequest(parent="accounts/theirs")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await two.api.envelopes.ExportEnvelopes(request, metadata=OURS).read()
    assert reason(caught.value) == "ACCOUNT_NOT_FOUND"


async def test_a_token_of_one_who_saw_more_shows_no_more_than_the_caller_may_see(two: Two) -> None:
    async with two.watching(ADMIN, oldest=OLDEST) as watcher:
        token = watcher.responses[0].resume_token
    async with two.watching(OURS, resume_token=token) as mine:
        events = await mine.until(head(two.api))
    assert {event.account for event in events} == {"accounts/ours"}


async def test_what_a_caller_may_see_is_told_when_it_changes(two: Two) -> None:
    label(two.ours, tenant="a")
    await settled(two, 1)
    async with two.watching(TENANT) as watcher:
        label(two.theirs, tenant="a")
        assert await told(watcher, "account_visible") == "accounts/theirs"
        two.theirs.add(message_of(2))
        await watcher.until(head(two.api))
        label(two.ours)
        assert await told(watcher, "account_hidden") == "accounts/ours"
        two.ours.add(message_of(2))
        await watcher.until(head(two.api))
        token = watcher.token
    seen = {event.account for event in watcher.events if event.HasField("envelope_added")}
    assert seen == {"accounts/theirs"}
    label(two.theirs)
    async with two.watching(TENANT, resume_token=token) as late:
        assert await told(late, "account_hidden") == "accounts/theirs"


async def test_a_list_of_accounts_tells_the_watch_what_was_listed(two: Two) -> None:
    label(two.ours, tenant="a")
    await settled(two, 1)
    listed = await two.api.accounts.ListAccounts(account_pb.ListAccountsRequest(), metadata=TENANT)
    label(two.theirs, tenant="a")
    await settled(two, 2)
    async with two.watching(TENANT, resume_token=listed.resume_token) as watcher:
        assert await told(watcher, "account_visible") == "accounts/theirs"


class Held(MemoryStore):
    """While `held` is set, waits with a page of envelopes; calls `found` when an account was looked for by number."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.found: Callable[[], object] = lambda: None

    def page(self, *args: Any, **kwargs: Any) -> EnvelopePage:
        self.goes_on.wait(PATIENCE)
        return super().page(*args, **kwargs)

    def account_by_no(self, account: AccountNo) -> Account | None:
        self.found()
        return super().account_by_no(account)


async def test_the_deletion_of_an_account_is_told_however_far_behind_the_stream_is(tmp_path: Path) -> None:
    store = Held()
    kept, gone = Mailbox.make(store, "kept"), Mailbox.make(store, "gone")
    for box in (kept, gone):
        label(box, tenant="a")
    admit(store, token_of(2, READER, reach=Reach(labels={"tenant": "a"})))
    async with serving(store, tmp_path) as api:
        tenant = api.core.callers.identify("secret-2")
        store.goes_on.clear()
        request = pb.WatchEventsRequest(snapshot=pb.StartSnapshot(), heartbeat_interval=BEAT)
        call = api.events.WatchEvents(request, metadata=TENANT)
        reading = asyncio.create_task(call.read())
        await until(lambda: streams(api))
        store.apply(Batch(gone.account.key, (AccountRemoved(gone.account.key),)))
        label(kept, tenant="a", more="labels")
        await until(lambda: tenant.visible == frozenset({kept.account.no}))
        store.goes_on.set()
        await reading
        watcher = Watcher(call)
        events = await watcher.until(head(api))
        call.cancel()
    assert "account_removed" in [event.WhichOneof("payload") for event in events]


async def test_a_stop_that_comes_while_accounts_are_told_is_not_slept_through(tmp_path: Path) -> None:
    store = Held()
    box = Mailbox.make(store, "box")
    admit(store, token_of(2, READER, reach=Reach(labels={"tenant": "a"})))
    async with serving(store, tmp_path) as api:
        request = pb.WatchEventsRequest(heartbeat_interval=Duration(seconds=300))
        watcher = Watcher(api.events.WatchEvents(request, metadata=TENANT))
        await watcher.read()
        loop = asyncio.get_running_loop()
        store.found = lambda: loop.call_soon_threadsafe(api.feed.drain)
        label(box, tenant="a")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watcher.status()
    assert reason(caught.value) == "SERVER_DRAINING"


def streams(api: Api) -> Any:
    (events,) = api.services.servicers["EventService"]
    return events.streams  # type: ignore[attr-defined] # an EventService


async def settled(two: Two, accounts: int) -> None:
    """Wait until the server knows how many accounts the tenant may see."""
    request = account_pb.ListAccountsRequest()
    async with asyncio.timeout(PATIENCE):
        while True:
            listed = await two.api.accounts.ListAccounts(request, metadata=TENANT)
            visible = two.api.core.callers.identify("secret-2").visible
            if len(listed.accounts) == accounts == len(visible or ()):
                return
            await asyncio.sleep(0.05)


async def test_a_log_is_not_read_on_by_a_token_of_other_rights(two: Two) -> None:
    label(two.ours, tenant="a")
    await settled(two, 1)
    page = await two.api.events.GetEventLog(pb.GetEventLogRequest(page_size=1), metadata=TENANT)
    label(two.theirs, tenant="a")
    await settled(two, 2)
    for request in (
        pb.GetEventLogRequest(resume_token=page.resume_token),
        pb.GetEventLogRequest(page_size=1, page_token=page.next_page_token),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await two.api.events.GetEventLog(request, metadata=TENANT)
        assert reason(caught.value) == "FILTER_MISMATCH"


async def test_a_revoked_tokens_streams_end(two: Two) -> None:
    async with two.watching(OURS) as mine, two.watching(ADMIN) as others:
        two.api.store.access.edit(TokenEdit(drop=(token_of(1).id,)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mine.status()
        assert (caught.value.code(), reason(caught.value)) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "TOKEN_INVALID",
        )
        two.ours.add(message_of(2))
        await others.until(head(two.api))


async def test_a_silent_stream_ends_when_its_token_is_revoked_by_a_call(two: Two) -> None:
    request = pb.WatchEventsRequest(heartbeat_interval=Duration(seconds=300))
    watcher = Watcher(two.api.events.WatchEvents(request, metadata=OURS))
    await watcher.read()
    two.api.store.access.edit(TokenEdit(drop=(token_of(1).id,)))
    await two.api.core.run(two.api.core.callers.look)  # as RevokeToken does
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watcher.status()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_expired_tokens_streams_end(two: Two) -> None:
    async with two.watching(bearing(4)) as mine:
        two.clock.now += 601
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await mine.status()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_stream_lasts_no_longer_than_its_token(tmp_path: Path) -> None:
    store = MemoryStore()
    soon = token_of(5, READER, expire_time=int((store._clock() + 1.5) * 1_000))
    admit(store, soon)
    async with serving(store, tmp_path) as api:
        request = pb.WatchEventsRequest(heartbeat_interval=Duration(seconds=300))
        watcher = Watcher(api.events.WatchEvents(request, metadata=bearing(5)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watcher.status()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED

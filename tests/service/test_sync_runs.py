"""Sync runs: asked for once, followed by their counts, cancelled at once or by their worker."""

from dataclasses import replace

import grpc
import pytest

from mailsync_grpc.model.changes import FolderChanged, FolderChangeKind, SyncRunChanged
from mailsync_grpc.model.run import RunState, SyncRun
from mailsync_grpc.store.base import Batch
from mailsync_grpc.v1 import account_service_pb2 as pb
from mailsync_grpc.v1 import sync_run_pb2
from tests.support.api import Api, reason
from tests.support.store import Mailbox


@pytest.fixture
def box(api: Api) -> Mailbox:
    return Mailbox.make(api.store)


async def start(api: Api, *folders: str, full: bool = False) -> sync_run_pb2.SyncRun:
    request = pb.StartSyncRequest(name="accounts/acme", folders=folders, full=full)
    response: pb.StartSyncResponse = await api.accounts.StartSync(request)
    return response.sync_run


def advance(api: Api, box: Mailbox, **changes: object) -> SyncRun:
    """Do what a worker does to the newest run."""
    run = api.store.runs(box.account.no)[0]
    after = replace(run, version=run.version + 1, **changes)  # type: ignore[arg-type] # field by field
    api.store.apply(Batch(box.account.key, (SyncRunChanged(after),)))
    return after


async def test_a_pending_run_serves_every_request_that_it_covers(api: Api, box: Mailbox) -> None:
    everything = await start(api, full=True)
    assert everything.state == sync_run_pb2.SYNC_RUN_STATE_PENDING
    assert await start(api) == everything
    assert (await start(api, box.folder.name)).name == everything.name
    advance(api, box, state=RunState.RUNNING, start_time=1)
    assert (await start(api, full=True)).name != everything.name


async def test_a_run_of_one_folder_does_not_cover_all(api: Api, box: Mailbox) -> None:
    one = await start(api, box.folder.name)
    assert list(one.folders) == [box.folder.name]
    assert (await start(api)).name != one.name


async def test_a_running_run_tells_its_rate_and_what_is_left(api: Api, box: Mailbox) -> None:
    run = await start(api)
    began = api.core.now_ms() - 10_000
    advance(api, box, state=RunState.RUNNING, start_time=began, messages_done=1_000, messages_total=5_000)
    read = (await api.accounts.GetSyncRun(pb.GetSyncRunRequest(name=run.name))).sync_run
    assert 90 < read.progress.messages_per_second <= 100
    assert 40 <= read.progress.remaining.seconds <= 45
    advance(api, box, state=RunState.SUCCEEDED, end_time=began + 20_000, messages_done=5_000)
    read = (await api.accounts.GetSyncRun(pb.GetSyncRunRequest(name=run.name))).sync_run
    assert read.progress.messages_per_second == 250
    assert not read.progress.HasField("remaining")


@pytest.mark.usefixtures("box")
async def test_a_pending_run_is_cancelled_at_once(api: Api) -> None:
    run = await start(api)
    cancelled = (await api.accounts.CancelSyncRun(pb.CancelSyncRunRequest(name=run.name))).sync_run
    assert cancelled.state == sync_run_pb2.SYNC_RUN_STATE_CANCELLED
    assert cancelled.end_time.seconds > 0
    head = api.store.stats().log_head
    assert (await api.accounts.CancelSyncRun(pb.CancelSyncRunRequest(name=run.name))).sync_run == cancelled
    assert api.store.stats().log_head == head


async def test_a_running_run_is_asked_to_stop(api: Api, box: Mailbox) -> None:
    run = await start(api)
    advance(api, box, state=RunState.RUNNING, start_time=1)
    asked = (await api.accounts.CancelSyncRun(pb.CancelSyncRunRequest(name=run.name))).sync_run
    assert asked.state == sync_run_pb2.SYNC_RUN_STATE_RUNNING
    assert api.store.runs(box.account.no)[0].cancel_requested


async def test_runs_are_listed_newest_first_by_pages(api: Api, box: Mailbox) -> None:
    for _ in range(5):
        await start(api)
        advance(api, box, state=RunState.SUCCEEDED)
    request = pb.ListSyncRunsRequest(parent="accounts/acme", page_size=2)
    names: list[str] = []
    while True:
        page = await api.accounts.ListSyncRuns(request)
        names += [run.name for run in page.sync_runs]
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert names == [run.name for run in api.store.runs(box.account.no)]
    assert len(names) == 5


@pytest.mark.usefixtures("box")
@pytest.mark.parametrize("name", ["accounts/acme/syncRuns/999", "accounts/none/syncRuns/1"])
async def test_an_unknown_run_is_not_found(api: Api, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.GetSyncRun(pb.GetSyncRunRequest(name=name))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_folder_that_is_not_mirrored_cannot_be_synced(api: Api, box: Mailbox) -> None:
    other = Mailbox.make(api.store, name="Zoo")
    hidden = replace(other.folder, version=2, by_default=False)
    api.store.apply(Batch(box.account.key, (FolderChanged(hidden, FolderChangeKind.ATTRIBUTES),)))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await start(api, hidden.name)
    assert reason(caught.value) == "FOLDER_NOT_SELECTABLE"

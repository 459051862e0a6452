"""FolderService: the tree as people know it, counts, and selection that starts or ends mirroring."""

from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from mailsync_grpc.model.changes import AccountChanged, FolderChanged, FolderChangeKind
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch
from mailsync_grpc.v1 import account_service_pb2, folder_pb2, sync_run_pb2
from mailsync_grpc.v1 import folder_service_pb2 as pb
from tests.support.api import Api, reason
from tests.support.store import Mailbox, account_of, folder_of, message_of

NAMES = ("Sent", "archive/2024", "INBOX/b", "Zoo", "INBOX", "archive", "INBOX/A", "archive/2023")
TREE = ["INBOX", "INBOX/A", "INBOX/b", "archive", "archive/2023", "archive/2024", "Sent", "Zoo"]


def tree(api: Api) -> dict[str, Folder]:
    """An account with the folders of NAMES, only INBOX selected by default."""
    account = account_of(api.store)
    api.store.apply(Batch(account.key, (AccountChanged(account),)))
    made = {
        name: replace(folder_of(api.store, account.key, name), by_default=name == "INBOX") for name in NAMES
    }
    changes = tuple(FolderChanged(folder, FolderChangeKind.CREATED) for folder in made.values())
    api.store.apply(Batch(account.key, changes))
    return made


async def listed(api: Api, **request: Any) -> list[folder_pb2.Folder]:
    asked = pb.ListFoldersRequest(parent="accounts/acme", **request)
    found: list[folder_pb2.Folder] = []
    while True:
        page = await api.folders.ListFolders(asked)
        found += page.folders
        asked.page_token = page.next_page_token
        if not asked.page_token:
            return found


@pytest.mark.parametrize("size", [0, 1, 3])
async def test_folders_come_in_tree_order(api: Api, size: int) -> None:
    tree(api)
    found = await listed(api, page_size=size)
    assert [folder.path for folder in found] == TREE
    assert [folder.depth for folder in found] == [path.count("/") for path in TREE]
    assert [folder.display_name for folder in found][:3] == ["INBOX", "A", "b"]


async def test_only_selected_folders_are_listed_when_asked(api: Api) -> None:
    tree(api)
    assert [folder.path for folder in await listed(api, selected_only=True)] == ["INBOX"]


async def test_counts_say_what_is_stored_unseen_and_pending(api: Api) -> None:
    box = Mailbox.make(api.store)
    progress = FolderProgress(
        cursor=400, pending=UidSet.span(301, 400), expected_exists=400, stored=300, as_of=1_700_000_000_000
    )
    seen = [message_of(uid, "\\Seen") for uid in range(1, 201)]
    box.backfill(*seen, *(message_of(uid, "\\Flagged") for uid in range(201, 301)), progress=progress)
    box.flag(1, Flags.of(["\\Seen"]), NO_FLAGS)
    read = (await api.folders.GetFolder(pb.GetFolderRequest(name=box.folder.name))).folder
    assert (read.counts.messages, read.counts.stored) == (400, 300)
    assert (read.counts.unseen, read.counts.pending) == (101, 100)
    assert read.as_of.seconds == 1_700_000_000
    assert read.state == folder_pb2.FOLDER_STATE_BACKFILLING


async def test_selecting_folders_starts_one_run_for_those_that_are_new(api: Api) -> None:
    folders = tree(api)
    chosen = [folders["Zoo"].name, folders["INBOX"].name]
    response = await api.folders.SelectFolders(pb.SelectFoldersRequest(parent="accounts/acme", select=chosen))
    assert [folder.path for folder in response.folders] == ["INBOX", "Zoo"]
    assert all(folder.selected for folder in response.folders)
    runs = await api.accounts.ListSyncRuns(account_service_pb2.ListSyncRunsRequest(parent="accounts/acme"))
    (run,) = runs.sync_runs
    assert run.name == response.sync_run
    assert run.state == sync_run_pb2.SYNC_RUN_STATE_PENDING
    assert list(run.folders) == [folders["Zoo"].name]


async def test_deselecting_a_folder_puts_its_mirror_out_of_reach(api: Api) -> None:
    box = Mailbox.make(api.store)
    box.backfill(message_of(1), progress=FolderProgress(cursor=1, stored=1, synced=True, as_of=1))
    request = pb.UpdateFolderRequest(
        folder=folder_pb2.Folder(name=box.folder.name, selected=False),
        update_mask=FieldMask(paths=["selected"]),
    )
    updated = (await api.folders.UpdateFolder(request)).folder
    assert not updated.selected
    found = api.store.folder(box.account.no, box.folder.id)
    assert found is not None
    folder, progress = found
    assert (progress.stored, progress.cursor, progress.synced) == (0, 0, False)
    assert api.store.page(folder, None, 10, 1 << 20).rows == []
    assert folder.mirror != box.folder.mirror


async def test_resetting_returns_to_the_default_selection(api: Api) -> None:
    folders = tree(api)
    await api.folders.SelectFolders(
        pb.SelectFoldersRequest(
            parent="accounts/acme", select=[folders["Zoo"].name], deselect=[folders["INBOX"].name]
        )
    )
    assert [folder.path for folder in await listed(api, selected_only=True)] == ["Zoo"]
    await api.folders.SelectFolders(
        pb.SelectFoldersRequest(parent="accounts/acme", reset_to_default=True, select=[folders["Sent"].name])
    )
    assert [folder.path for folder in await listed(api, selected_only=True)] == ["INBOX", "Sent"]


async def test_selecting_what_cannot_be_opened_changes_nothing(api: Api) -> None:
    folders = tree(api)
    container = replace(folders["archive"], version=2, selectable=False)
    api.store.apply(Batch(container.account, (FolderChanged(container, FolderChangeKind.ATTRIBUTES),)))
    before = api.store.stats().log_head
    request = pb.SelectFoldersRequest(
        parent="accounts/acme", select=[folders["Zoo"].name, folders["archive"].name]
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.folders.SelectFolders(request)
    assert reason(caught.value) == "FOLDER_NOT_SELECTABLE"
    assert api.store.stats().log_head == before


async def test_an_old_etag_is_refused(api: Api) -> None:
    folders = tree(api)
    read = (await api.folders.GetFolder(pb.GetFolderRequest(name=folders["Zoo"].name))).folder
    read.selected = True
    request = pb.UpdateFolderRequest(folder=read, update_mask=FieldMask(paths=["selected"]))
    await api.folders.UpdateFolder(request)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.folders.UpdateFolder(request)
    assert reason(caught.value) == "ETAG_MISMATCH"


@pytest.mark.parametrize("paths", [[], ["path"], ["selected", "path"]])
async def test_only_the_selection_can_be_edited(api: Api, paths: list[str]) -> None:
    folders = tree(api)
    request = pb.UpdateFolderRequest(
        folder=folder_pb2.Folder(name=folders["Zoo"].name), update_mask=FieldMask(paths=paths)
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.folders.UpdateFolder(request)
    assert reason(caught.value) == "INVALID_FIELD"

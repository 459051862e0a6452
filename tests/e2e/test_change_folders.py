r"""Folders created, renamed, deleted and subscribed to on the mail server for a caller, with extensions and without."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from mailsync_grpc.v1 import event_pb2, folder_pb2
from mailsync_grpc.v1 import folder_service_pb2 as pb
from tests.support.agreement import assert_agreed
from tests.support.api import reason, violations
from tests.support.changing import SELDOM, Desk, desk
from tests.support.mail import Mailbox, letters
from tests.support.mirror import Mirror

EXTENDED = pytest.param("mailbox", id="extended")
TORTURE = {
    "quotes": 'say "hi"',
    "backslash": r"back\slash",
    "ampersand": "R&D",
    "umlauts": "Entwürfe",
    "not_latin": "受信箱 🗄",
    "dots": "..",
    "tilde": "~root",
    "wildcards": "100% *all*",
    "command": 'x" "y',
    "braces": "{5}",
    "blank": " two  blanks ",
    "long": "n" * 150,
}


@pytest.fixture(params=[EXTENDED, pytest.param("mailbox_plain", id="plain")])
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk over a mailbox with some folders, Projects and those below it among them, two of them mirrored."""
    mailbox = request.getfixturevalue(request.param)
    mailbox.deliver(letters(3))
    mailbox.create_folders("Projects", "Projects/Old", "Projects/Old/Ancient", "Project")
    mailbox.deliver(letters(5), "Projects/Old")
    mailbox.deliver(letters(2), "Sent")
    mirror = Mirror(mailbox, SELDOM)
    mirror.sync_also("Projects/Old")
    async with desk(mirror, tmp_path) as opened:
        yield opened


def listed(office: Desk) -> set[str]:
    """The names the server lists, as on the wire."""
    assert isinstance(office.mailbox, Mailbox)
    with office.mailbox.connect() as client:
        return {
            line.decode().split(' "/" ')[1].strip('"') for line in client.list()[1] if isinstance(line, bytes)
        }


def paths(office: Desk) -> set[str]:
    return {folder.display_name for folder, _ in office.mirror.store.folders(office.mirror.account.no)}


def told(office: Desk, after: int) -> list[tuple[str, str, str]]:
    """What folder events tell after a revision: kind of change, path, request_id."""
    found = []
    for event in office.events(after):
        if event.WhichOneof("payload") == "folder_changed":
            kind = event_pb2.FolderChange.Name(event.folder_changed.change).removeprefix("FOLDER_CHANGE_")
            found.append((kind, event.folder_changed.folder.path, event.request_id))
        elif event.WhichOneof("payload") == "folder_removed":
            found.append(("REMOVED", "", event.request_id))
    return found


async def create(office: Desk, path: str, **fields: object) -> pb.CreateFolderResponse:
    request = pb.CreateFolderRequest(parent="accounts/test", path=path, **fields)  # type: ignore[arg-type] # by name
    response: pb.CreateFolderResponse = await office.api.folders.CreateFolder(request)
    return response


async def rename(office: Desk, path: str, new: str, **fields: str) -> pb.RenameFolderResponse:
    request = pb.RenameFolderRequest(name=office.folder(path), new_path=new, **fields)
    response: pb.RenameFolderResponse = await office.api.folders.RenameFolder(request)
    return response


async def test_a_folder_is_created_below_others_and_mirrored_when_that_was_asked_for(office: Desk) -> None:
    before, request_id = office.mirror.head, str(uuid.uuid4())
    response = await create(office, "Projects/New/Über", selected=True, request_id=request_id)
    assert response.folder.path == "Projects/New/Über"
    assert response.folder.selected
    assert response.visible_revision == office.mirror.head
    assert "Projects/New/&ANw-ber" in listed(office)
    assert ("CREATED", "Projects/New/Über", request_id) in told(office, before)
    assert ("SELECTED", "Projects/New/Über", request_id) in told(office, before)
    office.mailbox.deliver(letters(2), "Projects/New/Über")
    plain = await create(office, "Elsewhere")
    assert not plain.folder.selected


async def test_a_name_that_is_taken_is_refused(office: Desk) -> None:
    for path in ("Projects/Old", "inbox"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await create(office, path)
        assert reason(refused.value) == "FOLDER_EXISTS"
        assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS
    with pytest.raises(grpc.aio.AioRpcError) as taken:
        await rename(office, "Projects/Old", "Project")
    assert reason(taken.value) == "FOLDER_EXISTS"


async def test_a_renamed_folder_keeps_its_name_as_a_resource_and_so_do_those_below_it(office: Desk) -> None:
    names = {
        path: office.folder(path) for path in ("Projects", "Projects/Old", "Projects/Old/Ancient", "Project")
    }
    ids, before, request_id = office.mirror.ids("Projects/Old"), office.mirror.head, str(uuid.uuid4())
    response = await rename(office, "Projects", "Archiv & Co", request_id=request_id)
    assert (response.folder.name, response.folder.path) == (names["Projects"], "Archiv & Co")
    assert "Archiv &- Co/Old" in listed(office)
    assert office.folder("Archiv & Co/Old") == names["Projects/Old"]
    assert office.folder("Archiv & Co/Old/Ancient") == names["Projects/Old/Ancient"]
    assert office.folder("Project") == names["Project"]
    assert office.mirror.ids("Archiv & Co/Old") == ids
    assert {kind for kind, *_ in told(office, before)} <= {"RENAMED", "ATTRIBUTES"}
    assert {cause for *_, cause in told(office, before)} == {request_id}
    assert [
        event for event in office.events(before) if event.WhichOneof("payload") == "envelopes_removed"
    ] == []
    assert_agreed(office.mirror, "INBOX", "Archiv & Co/Old")


async def test_what_was_mirrored_for_its_name_stays_mirrored_under_another(office: Desk) -> None:
    assert office.mirror.folder("Sent")[0].selected
    response = await rename(office, "Sent", "Outgoing")
    assert response.folder.selected
    assert_agreed(office.mirror, "INBOX", "Outgoing")


async def test_a_deleted_folder_is_gone_when_the_call_returns(office: Desk) -> None:
    before, request_id = office.mirror.head, str(uuid.uuid4())
    request = pb.DeleteFolderRequest(name=office.folder("Project"), request_id=request_id)
    response = await office.api.folders.DeleteFolder(request)
    assert response.visible_revision == office.mirror.head
    assert "Project" not in listed(office)
    assert "Project" not in paths(office)
    assert ("REMOVED", "", request_id) in told(office, before)
    assert await office.api.folders.DeleteFolder(request) == response
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await office.api.folders.DeleteFolder(pb.DeleteFolderRequest(name=request.name))
    assert reason(gone.value) == "FOLDER_NOT_FOUND"


async def test_a_mirrored_folder_is_deleted_with_its_messages(office: Desk) -> None:
    request = pb.DeleteFolderRequest(name=office.folder("Projects/Old/Ancient"))
    await office.api.folders.DeleteFolder(request)
    await office.api.folders.DeleteFolder(pb.DeleteFolderRequest(name=office.folder("Projects/Old")))
    assert "Projects/Old" not in paths(office)
    assert_agreed(office.mirror, "INBOX", "Sent")


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_a_folder_whose_name_is_another_mailboxs_by_now_is_not_deleted(office: Desk) -> None:
    request = pb.DeleteFolderRequest(name=office.folder("Projects/Old"))
    office.mailbox.delete_folder("Projects/Old/Ancient")
    office.mailbox.delete_folder("Projects/Old")
    office.mailbox.create_folders("Projects/Old")
    office.mailbox.deliver(letters(1), "Projects/Old")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.api.folders.DeleteFolder(request)
    assert reason(refused.value) == "UID_VALIDITY_CHANGED"
    assert len(office.mailbox.flags_by_uid("Projects/Old")) == 1


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_subscriptions_begin_and_end_and_are_shown_where_the_server_tells_them(office: Desk) -> None:
    name = office.folder("Project")
    response = await office.api.folders.Subscribe(pb.SubscribeRequest(name=name))
    assert response.folder.subscribed
    assert response.visible_revision == office.mirror.head
    response = await office.api.folders.Unsubscribe(pb.UnsubscribeRequest(name=name))
    assert not response.folder.subscribed


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_a_special_use_is_refused_where_the_server_takes_none(office: Desk) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create(office, "Attic", special_use=folder_pb2.SPECIAL_USE_ARCHIVE)
    assert reason(refused.value) == "IMAP_REFUSED"
    assert "Attic" not in listed(office)


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
@pytest.mark.parametrize("name", TORTURE.values(), ids=TORTURE)
async def test_folder_name_torture_in_changes(office: Desk, name: str) -> None:
    """A name is made, renamed and deleted as it is, or refused by the server; it never does anything else."""
    before = listed(office)
    try:
        made = await create(office, f"Projects/{name}")
    except grpc.aio.AioRpcError as error:
        refused = reason(error)
    else:
        refused = ""
        assert made.folder.path == f"Projects/{name}"
        moved = await rename(office, f"Projects/{name}", f"Projects/Old/{name}")
        assert (moved.folder.name, moved.folder.path) == (made.folder.name, f"Projects/Old/{name}")
        await office.api.folders.DeleteFolder(pb.DeleteFolderRequest(name=made.folder.name))
    assert refused in {"", "IMAP_REFUSED"}
    assert listed(office) == before


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
@pytest.mark.parametrize("path", ["", "a\r\nx DELETE INBOX", "/a", "a/", "a//b", "n" * 1_001, "a\0b"])
async def test_a_path_that_cannot_be_is_refused(office: Desk, path: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create(office, path)
    assert list(violations(refused.value)) == ["path"]


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_inbox_and_edited_folders_and_paths_below_oneself_are_refused(office: Desk) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as inbox:
        await rename(office, "INBOX", "Other")
    assert list(violations(inbox.value)) == ["name"]
    with pytest.raises(grpc.aio.AioRpcError) as below:
        await rename(office, "Projects", "Projects/Old/Projects")
    assert list(violations(below.value)) == ["new_path"]
    with pytest.raises(grpc.aio.AioRpcError) as edited:
        await rename(office, "Projects", "Other", etag="old")
    assert reason(edited.value) == "ETAG_MISMATCH"


async def test_inbox_is_one_folder_however_it_is_written(office: Desk) -> None:
    """RFC 3501 section 5.1; a folder below it is shown where the server lists it."""
    with pytest.raises(grpc.aio.AioRpcError) as taken:
        await create(office, "inbox")
    assert reason(taken.value) == "FOLDER_EXISTS"
    with pytest.raises(grpc.aio.AioRpcError) as renamed:
        await rename(office, "Projects", "Inbox")
    assert reason(renamed.value) == "FOLDER_EXISTS"
    made = await create(office, "inbox/Sub", request_id=str(uuid.uuid4()))
    assert made.folder.path == "INBOX/Sub"

r"""Messages copied, moved and deleted on the mail server for a caller, on servers with extensions and without."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from mailsync_grpc.model.window import SyncMode
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from mailsync_grpc.v1 import errors_pb2, event_pb2
from tests.support.agreement import assert_agreed
from tests.support.api import reason, violations
from tests.support.changing import SELDOM, Desk, desk, uids
from tests.support.mail import letters
from tests.support.mirror import Mirror

MESSAGES = 40
EXTENDED = pytest.param("mailbox", id="extended")
PLAIN = pytest.param("mailbox_plain", id="plain")
WITHOUT_MOVE = pytest.param("mailbox_without_move", id="without_move")


@pytest.fixture(params=[EXTENDED, WITHOUT_MOVE, PLAIN])
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk over an INBOX of 40 messages."""
    mailbox = request.getfixturevalue(request.param)
    mailbox.deliver(letters(MESSAGES))
    mailbox.create_folders("Box")
    mirror = Mirror(mailbox, SELDOM)
    mirror.sync_also("Box")
    async with desk(mirror, tmp_path) as opened:
        yield opened


able = pytest.mark.parametrize("office", [EXTENDED, WITHOUT_MOVE], indirect=True)
plain = pytest.mark.parametrize("office", [PLAIN], indirect=True)


def told(office: Desk, after: int, kind: str) -> list[event_pb2.Event]:
    return [event for event in office.events(after) if event.WhichOneof("payload") == kind]


async def test_copies_are_on_the_server_and_in_the_mirror_with_their_uids(office: Desk) -> None:
    office.mailbox.deliver(letters(1), "Sent")
    before, request_id = office.mirror.head, str(uuid.uuid4())
    response = await office.copy("1,3:5,40,99", "Sent", request_id=request_id)
    assert [(one.source_uid, one.destination_uid) for one in response.succeeded] == [
        (1, 2), (3, 3), (4, 4), (5, 5), (40, 6)
    ]  # fmt: skip
    assert [(one.uid, one.reason) for one in response.failures] == [
        (99, errors_pb2.ERROR_REASON_ENVELOPE_NOT_FOUND)
    ]
    assert response.destination_uid_validity == office.mirror.folder("Sent")[0].uid_validity
    assert response.visible_revision == office.mirror.head
    assert len(office.mailbox.flags_by_uid()) == MESSAGES
    assert_agreed(office.mirror)
    arrived = told(office, before, "envelope_added")
    # The first was there before by another's hand.
    assert {event.envelope_added.envelope.uid: event.request_id for event in arrived} == {
        1: "", **dict.fromkeys(range(2, 7), request_id)
    }  # fmt: skip


@able
async def test_moved_messages_keep_their_ids_and_are_told_as_moved_when_the_call_returns(
    office: Desk,
) -> None:
    before, request_id, ids = office.mirror.head, str(uuid.uuid4()), office.mirror.ids()
    response = await office.move("1,3:5,40", "Sent", request_id=request_id)
    assert [(one.source_uid, one.destination_uid) for one in response.succeeded] == [
        (1, 1), (3, 2), (4, 3), (5, 4), (40, 5)
    ]  # fmt: skip
    assert sorted(office.mailbox.flags_by_uid()) == sorted(set(range(1, 41)) - {1, 3, 4, 5, 40})
    assert_agreed(office.mirror)
    moves = told(office, before, "envelope_moved")
    assert {event.request_id for event in moves} == {request_id}
    assert office.mirror.ids("Sent") == {
        one.destination_uid: ids[one.source_uid] for one in response.succeeded
    }
    assert 0 < max(event.revision for event in moves) <= response.visible_revision
    assert told(office, before, "envelope_added") == told(office, before, "envelopes_removed") == []


@able
async def test_a_move_to_a_folder_that_is_not_mirrored_is_told_as_a_removal(office: Desk) -> None:
    before, request_id = office.mirror.head, str(uuid.uuid4())
    response = await office.move("1,2", "Archive", request_id=request_id)
    assert len(response.succeeded) == 2
    assert sorted(office.mailbox.flags_by_uid("Archive")) == [1, 2]
    (removal,) = told(office, before, "envelopes_removed")
    assert (uids(removal.envelopes_removed.uids), removal.request_id) == ([1, 2], request_id)
    assert removal.revision <= response.visible_revision


@able
async def test_minimal_mode_is_changed_and_shown_alike(office: Desk) -> None:
    office.mirror.set_mode(SyncMode.MINIMAL)
    await office.flag("1", add={"seen": True})
    response = await office.move("1,2", "Sent")
    assert len(response.succeeded) == 2
    assert response.visible_revision > 0
    assert office.mirror.same_as_server()
    assert office.mirror.same_as_server("Sent")


@able
@pytest.mark.parametrize("change", ["move", "delete"])
async def test_what_others_have_marked_deleted_is_never_expunged(office: Desk, change: str) -> None:
    office.mailbox.store("2,6,39", r"+FLAGS.SILENT (\Deleted)")
    if change == "move":
        await office.move("1,3", "Sent")
    else:
        await office.delete("1,3")
    held = office.mailbox.flags_by_uid()
    assert sorted(held) == sorted(set(range(1, 41)) - {1, 3})
    assert [uid for uid, flags in held.items() if "\\Deleted" in flags] == [2, 6, 39]


@able
async def test_deleted_for_good_is_gone_and_told_with_the_request_id(office: Desk) -> None:
    office.mailbox.expunge("9")
    before, request_id = office.mirror.head, str(uuid.uuid4())
    response = await office.delete("1,3:5,40", request_id=request_id)
    assert uids(response.succeeded) == [1, 3, 4, 5, 40]
    assert_agreed(office.mirror)
    removals = told(office, before, "envelopes_removed")
    gone = {tuple(uids(event.envelopes_removed.uids)): event.request_id for event in removals}
    # Another's removal, seen by the same look, is no echo of the call.
    assert gone == {(1, 3, 4, 5, 40): request_id, (9,): ""}
    assert response.visible_revision == office.mirror.head


@able
async def test_most_of_a_folder_may_be_deleted_without_the_brake(office: Desk) -> None:
    office.mailbox.deliver(letters(200))
    response = await office.delete("1:230")
    assert len(uids(response.succeeded)) == 230
    assert response.visible_revision > 0
    assert_agreed(office.mirror)
    assert office.mirror.folder()[1].stored == 10


@able
async def test_deleting_into_the_trash_moves_there(office: Desk) -> None:
    response = await office.delete("1,2", pb.DELETE_MODE_TRASH)
    assert uids(response.succeeded) == [1, 2]
    assert len(office.mailbox.flags_by_uid("Trash")) == 2
    assert response.visible_revision > 0
    assert_agreed(office.mirror)


@plain
@pytest.mark.parametrize("change", ["move", "delete"])
async def test_without_uidplus_removal_is_refused_before_anything_is_done(office: Desk, change: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await (office.move("1", "Sent") if change == "move" else office.delete("1"))
    assert reason(refused.value) == "IMAP_REFUSED"
    assert len(office.mailbox.flags_by_uid()) == MESSAGES
    assert not any(office.mailbox.flags_by_uid().values())
    assert office.mailbox.flags_by_uid("Sent") == {}


@able
async def test_changes_of_one_message_asked_for_at_once_are_made_one_after_the_other(office: Desk) -> None:
    """In whatever order: it goes to one place only, and who comes too late is told that it is gone."""
    moved, trashed, deleted, copied, flagged = await asyncio.gather(
        office.move([1], "Sent"),
        office.delete([1], pb.DELETE_MODE_TRASH),
        office.delete([1]),
        office.copy([1], "Box"),
        office.flag([1], add={"flagged": True}),
    )
    taken = [len(moved.succeeded), len(uids(trashed.succeeded)), len(uids(deleted.succeeded))]
    assert sum(taken) == 1
    assert len(office.mailbox.flags_by_uid("Sent")) == taken[0]
    assert len(office.mailbox.flags_by_uid("Trash")) == taken[1]
    assert len(office.mailbox.flags_by_uid("Box")) == len(copied.succeeded)
    assert 1 not in office.mailbox.flags_by_uid()
    for response in (moved, trashed, deleted, copied, flagged):
        assert len(response.succeeded) + len(response.failures) == 1
        assert {one.reason for one in response.failures} <= {errors_pb2.ERROR_REASON_ENVELOPE_NOT_FOUND}
    assert_agreed(office.mirror)


async def test_a_target_that_is_gone_refuses_the_change(office: Desk) -> None:
    """The folder's record is from before; whoever finds out first, the API or the worker, says so."""
    request = pb.CopyEnvelopesRequest(selection=office.selection("1"), destination=office.folder("Box"))
    office.mailbox.delete_folder("Box")
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await office.api.envelopes.CopyEnvelopes(request)
    assert reason(gone.value) in {"IMAP_REFUSED", "FOLDER_NOT_FOUND", "FOLDER_NOT_SELECTABLE"}
    assert len(office.mailbox.flags_by_uid()) == MESSAGES


async def test_a_message_cannot_go_where_it_is_nor_to_another_account(office: Desk) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.copy("1", "INBOX")
    assert list(violations(refused.value)) == ["destination"]


@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_a_selection_has_10_000_messages_at_most(office: Desk) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.delete("1:10001")
    assert list(violations(refused.value)) == ["selection.uids"]
    response = await office.delete("1:10000")
    assert len(uids(response.succeeded)) == MESSAGES


@pytest.mark.timeout(600)
@pytest.mark.parametrize("office", [EXTENDED], indirect=True)
async def test_the_largest_selection_may_be_scattered(office: Desk) -> None:
    """Half of the UIDs stand alone, which makes the most ranges that 10,000 messages can be."""
    office.mailbox.deliver(letters(20_000))
    await office.flag("1", add={"seen": True})
    chosen = range(2, 20_002, 2)
    flagged = await office.flag(chosen, add={"keywords": ["work"]})
    assert len(uids(flagged.succeeded)) == 10_000
    response = await office.move(chosen, "Sent")
    assert len(response.succeeded) == 10_000
    assert not response.failures
    assert office.mailbox.flags_by_uid().keys() == set(range(1, 20_041)) - set(chosen)
    assert response.visible_revision > 0
    assert_agreed(office.mirror)

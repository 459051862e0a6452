r"""Flags changed on the mail server for a caller: from the call to the events, on servers with extensions and without."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from mailsync_grpc.model.ids import encode_id
from mailsync_grpc.v1 import account_service_pb2, envelope_pb2, errors_pb2, event_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.api import reason, violations
from tests.support.changing import SELDOM, Desk, desk, uids
from tests.support.mail import Mailbox, letters
from tests.support.mirror import Mirror

SEEN = envelope_pb2.Flags(seen=True)
MESSAGES = 40


@pytest.fixture(params=[pytest.param("mailbox", id="extended"), pytest.param("mailbox_plain", id="plain")])
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk over an INBOX of 40 messages."""
    mailbox = request.getfixturevalue(request.param)
    mailbox.deliver(letters(MESSAGES))
    async with desk(Mirror(mailbox, SELDOM), tmp_path) as opened:
        yield opened


@pytest.fixture
async def extended(mailbox: Mailbox, tmp_path: Path) -> AsyncIterator[Desk]:
    """The same on the server with all extensions."""
    mailbox.deliver(letters(MESSAGES))
    async with desk(Mirror(mailbox, SELDOM), tmp_path) as opened:
        yield opened


def changed(desk: Desk, after: int) -> dict[int, event_pb2.Event]:
    return {
        event.flags_changed.uid: event
        for event in desk.events(after)
        if event.WhichOneof("payload") == "flags_changed"
    }


async def test_flags_are_changed_on_the_server_and_visible_in_the_mirror_when_the_call_returns(
    office: Desk,
) -> None:
    before, request_id = office.mirror.head, str(uuid.uuid4())
    add, remove = envelope_pb2.Flags(seen=True, keywords=["work"]), envelope_pb2.Flags(flagged=True)
    # The oldest message is beyond the window of flags that a look without mod-sequences reads.
    response = await office.flag("1,3:5,40", add=add, remove=remove, request_id=request_id)
    assert uids(response.succeeded) == [1, 3, 4, 5, 40]
    assert list(response.failures) == []
    held = office.mailbox.flags_by_uid()
    assert {uid for uid, flags in held.items() if {"\\Seen", "work"} <= flags} == {1, 3, 4, 5, 40}
    assert office.mirror.flags() == held
    events = changed(office, before)
    assert sorted(events) == [1, 3, 4, 5, 40]
    assert {event.request_id for event in events.values()} == {request_id}
    assert max(event.revision for event in events.values()) <= response.visible_revision


async def test_what_others_changed_meanwhile_does_not_carry_the_calls_request_id(office: Desk) -> None:
    office.mailbox.store("39", r"+FLAGS.SILENT (\Answered)")
    before, request_id = office.mirror.head, str(uuid.uuid4())
    await office.flag([40], add=SEEN, request_id=request_id)
    assert {uid: event.request_id for uid, event in changed(office, before).items()} == {
        39: "",
        40: request_id,
    }


async def test_of_messages_that_are_not_there_those_named_singly_are_failures(office: Desk) -> None:
    office.mailbox.expunge("7")
    response = await office.flag("6,7,38:60,99", add=SEEN)
    assert uids(response.succeeded) == [6, 38, 39, 40]
    assert [(failure.uid, failure.reason) for failure in response.failures] == [
        (7, errors_pb2.ERROR_REASON_ENVELOPE_NOT_FOUND),
        (99, errors_pb2.ERROR_REASON_ENVELOPE_NOT_FOUND),
    ]


async def test_messages_are_named_by_either_form_and_failures_say_which(office: Desk) -> None:
    folder, _ = office.mirror.folder()
    row = office.mirror.store.envelope(folder, 2)
    assert row is not None
    by_id = f"accounts/test/envelopes/{encode_id(row.envelope_id)}"
    gone, unknown = f"{folder.name}/envelopes/{folder.uid_validity}.77", "accounts/test/envelopes/" + "a" * 16
    names = [by_id, f"{folder.name}/envelopes/{folder.uid_validity}.5", gone, unknown]
    request = pb.ModifyFlagsRequest(selection=pb.EnvelopeSelection(folder=folder.name, names=names), add=SEEN)
    response = await office.api.envelopes.ModifyFlags(request)
    assert uids(response.succeeded) == [2, 5]
    assert [(failure.uid, failure.name) for failure in response.failures] == [(77, gone), (0, unknown)]


async def test_another_uid_validity_is_refused_before_any_change(office: Desk) -> None:
    selection = office.selection([1])
    selection.uid_validity += 1
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.api.envelopes.ModifyFlags(pb.ModifyFlagsRequest(selection=selection, add=SEEN))
    assert reason(refused.value) == "UID_VALIDITY_CHANGED"
    assert not any(office.mailbox.flags_by_uid().values())


async def test_a_folder_made_anew_since_its_last_look_is_refused_before_any_change(office: Desk) -> None:
    selection, target = office.selection([1], "Sent"), "Sent"
    office.mailbox.delete_folder(target)
    office.mailbox.create_folders(target)
    office.mailbox.deliver(letters(3), target)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.api.envelopes.ModifyFlags(pb.ModifyFlagsRequest(selection=selection, add=SEEN))
    assert reason(refused.value) == "UID_VALIDITY_CHANGED"
    assert not any(office.mailbox.flags_by_uid(target).values())


async def test_a_repeat_returns_the_recorded_answer_and_changes_nothing(office: Desk) -> None:
    request_id = str(uuid.uuid4())
    first = await office.flag([1], add=SEEN, request_id=request_id)
    office.mailbox.store("1", r"-FLAGS.SILENT (\Seen)")
    assert await office.flag([1], add=SEEN, request_id=request_id) == first
    assert office.mailbox.flags_by_uid()[1] == frozenset()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.flag([2], add=SEEN, request_id=request_id)
    assert reason(refused.value) == "REQUEST_ID_REUSED"


async def test_a_caller_that_leaves_does_not_stop_the_change(office: Desk) -> None:
    request_id = str(uuid.uuid4())
    call = asyncio.create_task(office.flag([1], add=SEEN, request_id=request_id))
    await asyncio.sleep(0.02)
    call.cancel()
    response = await answered(office, request_id)
    assert uids(response.succeeded) == [1]
    assert office.mailbox.flags_by_uid()[1] == {"\\Seen"}


async def answered(office: Desk, request_id: str) -> pb.ModifyFlagsResponse:
    """The answer of an earlier call, repeated while that one is at work."""
    while True:
        try:
            return await office.flag([1], add=SEEN, request_id=request_id)
        except grpc.aio.AioRpcError as error:
            if reason(error) != "REQUEST_IN_PROGRESS":
                raise
            await asyncio.sleep(0.05)


async def test_many_calls_at_once_are_all_carried_out(office: Desk) -> None:
    responses = await asyncio.gather(
        *(office.flag([uid], add=envelope_pb2.Flags(keywords=[f"k{uid}"])) for uid in range(1, 21))
    )
    assert [uids(response.succeeded) for response in responses] == [[uid] for uid in range(1, 21)]
    assert {uid for uid, flags in office.mailbox.flags_by_uid().items() if f"k{uid}" in flags} == set(
        range(1, 21)
    )
    assert office.mirror.same_as_server()


async def test_messages_changed_since_a_mod_sequence_are_left_alone(extended: Desk) -> None:
    modseq = extended.mirror.folder()[1].modseq
    extended.mailbox.store("2", "+FLAGS.SILENT (theirs)")
    response = await extended.flag(
        [1, 2, 3], add=SEEN, remove=envelope_pb2.Flags(flagged=True), unchanged_since=modseq
    )
    assert uids(response.succeeded) == [1, 3]
    assert [(failure.uid, failure.reason) for failure in response.failures] == [
        (2, errors_pb2.ERROR_REASON_MODSEQ_CONFLICT)
    ]
    assert extended.mailbox.flags_by_uid()[2] == {"theirs"}


@pytest.mark.parametrize("office", ["mailbox_plain"], indirect=True)
async def test_without_mod_sequences_a_conditional_change_is_refused_before_any_change(office: Desk) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.flag([1], add=SEEN, unchanged_since=1)
    assert reason(refused.value) == "IMAP_REFUSED"
    assert not any(office.mailbox.flags_by_uid().values())


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "add"),
        ({"add": envelope_pb2.Flags(keywords=["two words"])}, "add.keywords"),
        ({"add": envelope_pb2.Flags(keywords=["a)\r\nx EXPUNGE"])}, "add.keywords"),
        ({"remove": envelope_pb2.Flags(keywords=["\\Recent"])}, "remove.keywords"),
        ({"add": envelope_pb2.Flags(keywords=["x" * 5_000])}, "add.keywords"),
        ({"add": envelope_pb2.Flags(keywords=[f"k{n}" for n in range(101)])}, "add.keywords"),
        ({"add": SEEN, "remove": SEEN}, "remove"),
        ({"add": SEEN, "request_id": "no uuid"}, "request_id"),
    ],
    ids=["nothing", "blank", "injection", "recent", "long", "many", "both", "request_id"],
)
async def test_a_request_that_cannot_be_carried_out_is_refused(
    extended: Desk, fields: dict[str, object], field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await extended.flag([1], **fields)
    assert field in violations(refused.value)


async def test_a_paused_account_refuses_changes(extended: Desk) -> None:
    await extended.api.accounts.PauseAccount(account_service_pb2.PauseAccountRequest(name="accounts/test"))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await extended.flag([1], add=SEEN)
    assert reason(refused.value) == "ACCOUNT_PAUSED"

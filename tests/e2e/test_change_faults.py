r"""What a change comes to when the mail server's answer is lost, refused or spoiled on its way; behind a real Dovecot.

The server has done what it was asked for by then, so whoever sends it again does it twice.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from mailsync_grpc.errors import StoreFullError
from mailsync_grpc.model.intent import IntentState
from mailsync_grpc.store.base import Applied, Batch
from mailsync_grpc.v1 import envelope_pb2, errors_pb2
from tests.support.agreement import assert_agreed
from tests.support.api import reason
from tests.support.changing import Desk, uids
from tests.support.hostile import LOGIN
from tests.support.hostile_faults import (
    Fault,
    closing,
    cut,
    leaving,
    meanwhile,
    refusing,
    rewriting,
    saying,
    silent_of,
)
from tests.support.proxied import MESSAGES, held, proxied_desk, proxy

SEEN = envelope_pb2.Flags(seen=True)
TOLD = rb"COPYUID (\d+) [0-9:,]+ [0-9:,]+"
LOST: dict[str, Fault] = {
    "closed": closing(0),
    "cut": cut(0.5),
    "bye": leaving(b"[UNAVAILABLE] going down", 0),
}


@pytest.fixture(params=["mailbox"])
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk over an INBOX of 12 messages behind a proxy."""
    async with proxied_desk(request.getfixturevalue(request.param), tmp_path) as opened:
        yield opened


without_move = pytest.mark.parametrize("office", ["mailbox_without_move"], indirect=True)


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
async def test_a_copy_whose_answer_is_lost_is_found_and_not_made_again(office: Desk, fault: Fault) -> None:
    proxy(office).once(b"UID COPY", fault)
    response = await office.copy([1, 2, 3], "Sent")
    assert [(one.source_uid, one.destination_uid) for one in response.succeeded] == [(1, 1), (2, 2), (3, 3)]
    assert held(office, "Sent") == [1, 2, 3]
    assert len(proxy(office).sent(b"UID COPY")) == 1
    assert response.visible_revision > 0


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
async def test_a_move_whose_answer_is_lost_is_found_and_not_made_again(office: Desk, fault: Fault) -> None:
    ids = office.mirror.ids()
    proxy(office).once(b"UID MOVE", fault)
    response = await office.move([1, 2, 3], "Sent")
    assert [(one.source_uid, one.destination_uid) for one in response.succeeded] == [(1, 1), (2, 2), (3, 3)]
    assert held(office) == list(range(4, MESSAGES + 1))
    assert office.mirror.ids("Sent") == {uid: ids[uid] for uid in (1, 2, 3)}


@without_move
@pytest.mark.parametrize("command", [b"UID COPY", b"UID STORE", b"UID EXPUNGE"])
async def test_each_step_of_a_move_without_move_may_be_lost(office: Desk, command: bytes) -> None:
    proxy(office).once(command, closing(0))
    response = await office.move([1, 2, 3], "Sent")
    assert [one.source_uid for one in response.succeeded] == [1, 2, 3]
    assert held(office) == list(range(4, MESSAGES + 1))
    assert held(office, "Sent") == [1, 2, 3]
    assert_agreed(office.mirror)


@pytest.mark.parametrize("command", [b"UID STORE", b"UID EXPUNGE"])
async def test_a_deletion_whose_answer_is_lost_is_repeated(office: Desk, command: bytes) -> None:
    proxy(office).once(command, closing(0))
    response = await office.delete([1, 2])
    assert uids(response.succeeded) == [1, 2]
    assert held(office) == list(range(3, MESSAGES + 1))


async def test_what_a_move_that_was_lost_leaves_undecided_is_said_to_be_unknown(office: Desk) -> None:
    """The moved messages are taken from the target before anybody can look for them there."""

    def take_away() -> None:
        office.mailbox.expunge("1:*", "Sent")

    proxy(office).once(b"UID MOVE", meanwhile(take_away))
    proxy(office).once(b"UID MOVE", closing(0))
    response = await office.move([1, 2], "Sent")
    assert not response.succeeded
    assert [(one.uid, one.reason) for one in response.failures] == [
        (1, errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN),
        (2, errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN),
    ]


async def test_a_refused_command_is_a_failure_of_its_messages_with_the_servers_words(office: Desk) -> None:
    proxy(office).once(b"UID STORE", refusing(b"[OVERQUOTA] too much"))
    response = await office.flag([1, 2], add=SEEN)
    # The server had done it, and the mailbox says so; the command was refused all the same.
    assert [(one.uid, one.reason) for one in response.failures] == [
        (1, errors_pb2.ERROR_REASON_IMAP_REFUSED),
        (2, errors_pb2.ERROR_REASON_IMAP_REFUSED),
    ]
    assert "too much" in response.failures[0].message
    assert_agreed(office.mirror)


@pytest.mark.parametrize(
    "fault",
    [
        rewriting(TOLD, rb"COPYUID \1 1:4294967295 1:4294967295"),
        rewriting(TOLD, rb"COPYUID \1 1,x 1:3"),
        rewriting(TOLD, rb"COPYUID \1 1:2 1:3"),
        rewriting(TOLD, rb"COPYUID 4294967296 1:3 1:3"),
        silent_of(b"COPYUID"),
        saying(b"* 3 EXPUNGE", b"* 1 FETCH (FLAGS (\\Deleted))", b"", b"\xff\x00"),
    ],
    ids=["huge", "no_numbers", "uneven", "no_validity", "silent", "foreign"],
)
async def test_where_messages_went_is_found_by_evidence_when_the_server_tells_nonsense(
    office: Desk, fault: Fault
) -> None:
    proxy(office).once(b"UID MOVE", fault)
    response = await office.move([1, 2, 3], "Sent")
    assert [(one.source_uid, one.destination_uid) for one in response.succeeded] == [(1, 1), (2, 2), (3, 3)]
    assert_agreed(office.mirror)


async def test_a_server_that_cannot_be_reached_is_told_at_once_and_a_repeat_tries_again(office: Desk) -> None:
    request_id = "8b9f6a9e-7d6c-4f35-9e0a-0a9a4d5a2f11"
    proxy(office).once(LOGIN, closing(0))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.flag([1], add=SEEN, request_id=request_id)
    assert reason(refused.value) == "IMAP_UNREACHABLE"
    assert not any(office.mailbox.flags_by_uid().values())
    response = await office.flag([1], add=SEEN, request_id=request_id)
    assert uids(response.succeeded) == [1]


async def test_a_server_that_puts_up_with_no_second_connection_has_the_syncs_own_closed_first(
    office: Desk,
) -> None:
    """Other programs of the user count for it too, so that it may be any connection that is one too many."""
    proxy(office).once(LOGIN, refusing(b"[LIMIT] too many connections"))
    response = await office.flag([1], add=SEEN)
    assert uids(response.succeeded) == [1]
    assert response.visible_revision > 0


async def test_a_fault_of_ours_is_told_to_who_waits_for_a_change_that_was_not_begun(office: Desk) -> None:
    """The account is tried again in a minute; a call that waited for that might meet the same fault for ever."""
    faulty = office.mirror.sync.env.store
    proxy(office).once(LOGIN, meanwhile(lambda: setattr(faulty, "folder_by_no", lambda *_: 1 / 0)))
    async with asyncio.timeout(20):
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await office.flag([1], add=SEEN)
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert not any(office.mailbox.flags_by_uid().values())


async def test_a_change_that_a_full_store_cannot_begin_is_refused_and_not_waited_for(
    office: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = office.mirror.store.apply

    def full(batch: Batch) -> Applied:
        if any(intent.state is IntentState.BEGUN for intent in batch.intents):
            raise StoreFullError("the store is at its limit")
        return apply(batch)

    monkeypatch.setattr(office.mirror.store, "apply", full)
    async with asyncio.timeout(20):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await office.flag([1], add=SEEN)
    assert reason(refused.value) == "STORE_FULL"
    assert not any(office.mailbox.flags_by_uid().values())


async def test_a_sync_that_fails_after_the_change_is_success_without_a_revision(office: Desk) -> None:
    proxy(office).once(b"EXAMINE", closing(0))
    response = await office.flag([1], add=SEEN)
    assert uids(response.succeeded) == [1]
    assert response.visible_revision == 0
    assert office.mailbox.flags_by_uid()[1] == {"\\Seen"}


async def test_a_connection_of_the_sync_that_died_meanwhile_costs_no_revision(office: Desk) -> None:
    proxy(office).once(b"NOOP", closing(0))
    first = await office.flag([1], add=SEEN)
    second = await office.flag([2], add=SEEN)
    assert 0 < first.visible_revision < second.visible_revision
    assert office.mirror.same_as_server()


async def test_no_command_that_changes_anything_is_sent_without_a_call(office: Desk) -> None:
    """And with one, only what it takes: nothing that expunges without saying what."""
    changing = rb"^(?!CAPABILITY|NOOP|LOGOUT|NAMESPACE|AUTHENTICATE|LOGIN|ID|ENABLE|UNSELECT|UID SEARCH|LIST|EXAMINE|STATUS|UID FETCH)"
    assert proxy(office).sent(changing) == []
    await office.flag([1], add=SEEN)
    await office.move([2], "Sent")
    await office.delete([3])
    sent = proxy(office).sent(changing)
    assert [command.split()[0] if command.startswith(b"SELECT") else b" ".join(command.split()[:2]) for command in sent] == [
        b"SELECT", b"UID STORE", b"SELECT", b"UID MOVE", b"SELECT", b"UID STORE", b"UID EXPUNGE"
    ]  # fmt: skip
    assert [command for command in sent if b"BODY[" in command] == []


async def test_flags_that_were_set_before_the_server_hung_up_are_seen_and_not_sent_again(
    office: Desk,
) -> None:
    proxy(office).always(b"UID STORE", closing(0))
    async with asyncio.timeout(60):
        response = await office.flag([1, 2], add=SEEN)
    assert (uids(response.succeeded), list(response.failures)) == ([1, 2], [])


async def test_a_change_at_which_the_server_hangs_up_each_time_is_given_up_and_stops_no_other(
    office: Desk,
) -> None:
    """As a server does to a message that it chokes on: what it makes of one command must not end all sync."""
    proxy(office).always(b"UID COPY", meanwhile(lambda: office.mailbox.expunge("1:*", "Sent")))
    proxy(office).always(b"UID COPY", closing(0))
    async with asyncio.timeout(60):
        response = await office.copy([1, 2], "Sent")
    assert [(one.uid, one.reason) for one in response.failures] == [
        (1, errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN),
        (2, errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN),
    ]
    assert uids((await office.flag([3], add=SEEN)).succeeded) == [3]

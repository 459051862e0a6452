"""Filters over time: names outlive what bears them, labels come and go, and the stream says so."""

from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from mailsync_grpc.model.changes import (
    AccountChanged,
    AccountRemoved,
    EnvelopeMoved,
    FolderRemoved,
)
from mailsync_grpc.model.evidence import MoveEvidence
from mailsync_grpc.store.base import Batch
from mailsync_grpc.v1 import event_service_pb2 as pb
from mailsync_grpc.v1.account_service_pb2 import ListAccountsRequest
from tests.support.api import Api, reason
from tests.support.store import Mailbox, message_of
from tests.support.watching import OLDEST, Watcher, head, refused, watching

BEAT = Duration(seconds=1)
GOLD = pb.EventFilter(account_labels={"plan": "gold"})


def label(box: Mailbox, **labels: str) -> None:
    """Give the account other labels."""
    box.account = replace(box.account, version=box.account.version + 1, labels=labels)
    box.store.apply(Batch(box.account.key, (AccountChanged(box.account),)))


def remove(box: Mailbox) -> None:
    """Delete the account and all that is left of it."""
    box.store.apply(Batch(box.account.key, (AccountRemoved(box.account.key),)))
    while box.store.purge(1_000):
        pass


def kinds(watcher: Watcher) -> list[str]:
    """What was told of, events and members, in order."""
    told: list[str] = []
    for response in watcher.responses:
        if response.HasField("account_visible"):
            told.append(f"account_visible {response.account_visible.account}")
        if response.HasField("account_hidden"):
            told.append(f"account_hidden {response.account_hidden.account}")
        told += [str(event.WhichOneof("payload")) for event in response.events]
    return told


async def told(watcher: Watcher, what: str) -> None:
    """Read until the stream has told of `what`."""
    while what not in kinds(watcher):
        await watcher.read()


@pytest.mark.parametrize("by", ["account", "folder"])
async def test_a_stream_of_a_deleted_account_is_told_so_after_a_break(api: Api, by: str) -> None:
    box, other = Mailbox.make(api.store, "a"), Mailbox.make(api.store, "b")
    wanted = pb.EventFilter(accounts=["accounts/a"])
    if by == "folder":
        wanted = pb.EventFilter(folders=[box.folder.name])
    async with watching(api, filter=wanted) as watcher:
        pass
    remove(box)
    other.add(message_of(1))
    async with watching(api, resume_token=watcher.token, filter=wanted, heartbeat_interval=BEAT) as late:
        (event,) = await late.until(head(api))
    assert (event.WhichOneof("payload"), event.account) == ("account_removed", "accounts/a")


async def test_a_stream_of_a_deleted_folder_is_told_so_after_a_break(api: Api) -> None:
    inbox, sent = Mailbox.make(api.store, "a"), Mailbox.make(api.store, "a", "Sent")
    wanted = pb.EventFilter(folders=[sent.folder.name])
    async with watching(api, filter=wanted) as watcher:
        pass
    sent.add(message_of(1))
    inbox.add(message_of(2))
    api.store.apply(Batch(sent.account.key, (FolderRemoved(sent.folder),)))
    async with watching(api, resume_token=watcher.token, filter=wanted, heartbeat_interval=BEAT) as late:
        events = await late.until(head(api))
    assert [event.WhichOneof("payload") for event in events] == ["envelope_added", "folder_removed"]


async def test_a_name_stands_for_the_account_that_is_made_anew(api: Api) -> None:
    box = Mailbox.make(api.store, "a")
    wanted = pb.EventFilter(accounts=["accounts/a"])
    async with watching(api, filter=wanted) as live:
        token = live.token
        remove(box)
        again = Mailbox.make(api.store, "a")
        again.add(message_of(1))
        await live.until(head(api))
    async with watching(api, resume_token=token, filter=wanted) as late:
        await late.until(head(api))
    expected = ["account_removed", "account_changed", "folder_changed", "envelope_added"]
    assert kinds(live) == kinds(late) == expected


async def test_a_name_that_nothing_bears_is_refused_at_the_beginning_only(api: Api) -> None:
    Mailbox.make(api.store, "a")
    for start in ({}, {"oldest": OLDEST}, {"snapshot": pb.StartSnapshot()}):
        error = await refused(api, filter=pb.EventFilter(accounts=["accounts/none"]), **start)
        assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")
    missing = "accounts/a/folders/aaaaaaaaaaaaaaaa"
    error = await refused(api, filter=pb.EventFilter(folders=[missing]))
    assert reason(error) == "FOLDER_NOT_FOUND"


async def test_a_move_from_a_named_folder_is_known_by_its_name(api: Api) -> None:
    """The first event that a stream meets may have the named folder's number only as the one that was left."""
    inbox, sent = Mailbox.make(api.store, "a"), Mailbox.make(api.store, "a", "Sent")
    inbox.add(message_of(7))
    async with watching(api, filter=pb.EventFilter(folders=[inbox.folder.name])) as watcher:
        move = EnvelopeMoved(
            inbox.folder.key,
            7,
            sent.folder.key,
            message_of(7)._replace(uid=3),
            MoveEvidence.MESSAGE_ID_SIZE_DATE,
        )
        api.store.apply(Batch(inbox.account.key, (move,)))
        (event,) = await watcher.until(head(api))
    assert event.envelope_moved.from_folder == inbox.folder.name


async def test_labels_choose_accounts_and_changes_of_them_are_told(api: Api) -> None:
    gold, lead = Mailbox.make(api.store, "gold"), Mailbox.make(api.store, "lead")
    label(gold, plan="gold", region="eu")
    async with watching(api, filter=GOLD, heartbeat_interval=BEAT) as watcher:
        lead.add(message_of(1))
        gold.add(message_of(1))
        await told(watcher, "envelope_added")
        label(lead, plan="gold")
        await told(watcher, "account_visible accounts/lead")
        lead.add(message_of(2))
        await watcher.until(head(api))
        label(gold, region="eu")
        await told(watcher, "account_hidden accounts/gold")
        gold.add(message_of(2))
        await watcher.until(head(api))
    assert [event.account for event in watcher.events if event.WhichOneof("payload") == "envelope_added"] == [
        "accounts/gold",
        "accounts/lead",
    ]


async def test_labels_that_changed_during_a_break_are_told_first(api: Api) -> None:
    boxes = {name: Mailbox.make(api.store, name) for name in "abc"}
    label(boxes["a"], plan="gold")
    label(boxes["b"], plan="gold")
    async with watching(api, filter=GOLD) as watcher:
        pass
    label(boxes["a"], plan="lead")
    label(boxes["c"], plan="gold")
    remove(boxes["b"])
    call = api.events.WatchEvents(
        pb.WatchEventsRequest(resume_token=watcher.token, filter=GOLD, heartbeat_interval=BEAT)
    )
    late = Watcher(call)
    await late.until(head(api))
    call.cancel()
    assert kinds(late)[:2] == ["account_hidden accounts/a", "account_visible accounts/c"]
    assert "account_removed" in kinds(late)
    # The token after each says what was told, so a break in between repeats nothing and leaves nothing out.
    after_first = next(each for each in late.responses if each.HasField("account_hidden")).resume_token
    call = api.events.WatchEvents(
        pb.WatchEventsRequest(resume_token=after_first, filter=GOLD, heartbeat_interval=BEAT)
    )
    again = Watcher(call)
    await told(again, "account_visible accounts/c")
    call.cancel()
    assert "account_hidden accounts/a" not in kinds(again)


async def test_a_token_of_labelled_accounts_is_not_one_of_all(api: Api) -> None:
    box = Mailbox.make(api.store, "a")
    label(box, plan="gold")
    listed = await api.accounts.ListAccounts(ListAccountsRequest(labels={"plan": "gold"}))
    async with watching(api, resume_token=listed.resume_token, filter=GOLD):
        pass
    error = await refused(api, resume_token=listed.resume_token)
    assert reason(error) == "FILTER_MISMATCH"
    reset: dict[str, Any] = {"resume_token": listed.resume_token, "reset_on_compacted": True}
    async with watching(api, **reset) as watcher:
        assert watcher.responses[0].HasField("reset")


async def test_labels_are_followed_in_a_snapshot_too(api: Api) -> None:
    gold, lead = Mailbox.make(api.store, "a"), Mailbox.make(api.store, "b")
    label(gold, plan="gold")
    for box in (gold, lead):
        box.add(message_of(1))
    async with watching(api, snapshot=pb.StartSnapshot(), filter=GOLD) as watcher:
        while not watcher.responses[-1].HasField("snapshot_end"):
            await watcher.read()
        end = watcher.responses[-1].snapshot_end
    assert (end.accounts, end.folders, end.envelopes) == (1, 1, 1)


async def test_labels_of_accounts_that_the_filter_does_not_name_are_not_told(api: Api) -> None:
    named, other = Mailbox.make(api.store, "a"), Mailbox.make(api.store, "b")
    wanted = pb.EventFilter(accounts=["accounts/a"], account_labels={"plan": "gold"})
    async with watching(api, filter=wanted, heartbeat_interval=BEAT) as watcher:
        label(other, plan="gold")
        label(named, plan="gold")
        await told(watcher, "account_visible accounts/a")
        label(other)
        label(named)
        await told(watcher, "account_hidden accounts/a")
    assert not any(each.endswith("accounts/b") for each in kinds(watcher))


async def test_an_event_names_the_request_that_caused_it(api: Api) -> None:
    """Who changes something and watches too tells its own echo by the id that it gave."""
    box = Mailbox.make(api.store, "a")
    request_id = "0b5e0f0e-7a0e-4d0c-9d4c-0123456789ab"
    async with watching(api) as watcher:
        api.store.apply(
            Batch(box.account.key, (AccountChanged(replace(box.account, version=2)),), request_id=request_id)
        )
        box.add(message_of(1))
        await watcher.until(head(api))
    assert [event.request_id for event in watcher.events] == [request_id, ""]

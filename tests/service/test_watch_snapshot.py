"""A watch that begins with the present state: whole, bounded in its pieces, resumable within, and joined to what follows."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from mailsync_grpc.model.changes import AccountRemoved, EnvelopesRemoved
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as list_pb
from mailsync_grpc.v1 import event_service_pb2 as pb
from mailsync_grpc.v1.folder_service_pb2 import ListFoldersRequest
from tests.support.api import Api, detail, reason, serving
from tests.support.store import Mailbox, message_of
from tests.support.watching import Watcher, head, quick, refused, watching

SNAPSHOT = pb.StartSnapshot()


async def until_end(watcher: Watcher) -> list[pb.SnapshotChunk]:
    """Read to the end of the snapshot; return its pieces."""
    while not watcher.responses or not watcher.responses[-1].HasField("snapshot_end"):
        await watcher.read()
    return [each.snapshot_chunk for each in watcher.responses if each.HasField("snapshot_chunk")]


def envelopes_of(pieces: list[pb.SnapshotChunk]) -> list[envelope_pb2.Envelope]:
    return [envelope for piece in pieces for envelope in piece.envelopes]


async def test_a_snapshot_is_what_the_lists_show(api: Api) -> None:
    boxes = [Mailbox.make(api.store, account, name) for account in "ba" for name in ("INBOX", "Sent")]
    for box in boxes:
        box.add(*(message_of(uid, "\\Seen") for uid in range(1, 30)))
    async with watching(api, snapshot=SNAPSHOT) as watcher:
        pieces = await until_end(watcher)
    accounts = [account.name for piece in pieces for account in piece.accounts]
    assert accounts == ["accounts/a", "accounts/b"]
    for account in accounts:
        listed = await api.folders.ListFolders(ListFoldersRequest(parent=account))
        shown = [each for piece in pieces for each in piece.folders if each.name.startswith(account)]
        assert sorted(listed.folders, key=lambda each: each.name) == sorted(shown, key=lambda each: each.name)
        for folder in listed.folders:
            page = await api.envelopes.ListEnvelopes(
                list_pb.ListEnvelopesRequest(
                    parent=folder.name,
                    view=envelope_pb2.ENVELOPE_VIEW_FULL,
                    order=list_pb.ENVELOPE_ORDER_UID_ASC,
                )
            )
            in_folder = [each for each in envelopes_of(pieces) if each.name.startswith(folder.name)]
            assert in_folder == list(page.envelopes)
    end = watcher.responses[-1].snapshot_end
    assert (end.accounts, end.folders, end.envelopes) == (2, 4, 4 * 29)


async def test_a_piece_holds_at_most_a_thousand_items_or_about_a_mebibyte(api: Api) -> None:
    box = Mailbox.make(api.store)
    box.backfill(*(message_of(uid) for uid in range(1, 2_501)))
    box.backfill(*(message_of(uid, text="x" * 20_000) for uid in range(2_501, 2_600)))
    async with watching(api, snapshot=SNAPSHOT) as watcher:
        pieces = await until_end(watcher)
    assert [each.uid for each in envelopes_of(pieces)] == list(range(1, 2_600))
    assert all(len(piece.envelopes) <= 1_000 for piece in pieces)
    assert all(piece.ByteSize() < (1 << 20) + 50_000 for piece in pieces)
    assert len(pieces) > 4


async def test_a_snapshot_goes_on_after_any_of_its_pieces(api: Api) -> None:
    for account in ("a", "b", "c"):
        box = Mailbox.make(api.store, account)
        box.backfill(*(message_of(uid) for uid in range(1, 1_202)))
        Mailbox.make(api.store, account, "Empty")
    async with watching(api, snapshot=SNAPSHOT) as whole:
        await until_end(whole)
    for kept, response in enumerate(whole.responses[:-1], 1):
        async with watching(api, resume_token=response.resume_token) as resumed:
            await until_end(resumed)
        assert [plain(each) for each in resumed.responses] == [plain(each) for each in whole.responses[kept:]]


def plain(response: pb.WatchEventsResponse) -> pb.WatchEventsResponse:
    copy = pb.WatchEventsResponse()
    copy.CopyFrom(response)
    copy.ClearField("resume_token")
    return copy


async def test_a_snapshot_is_followed_by_what_changed_since_before_its_first_piece(api: Api) -> None:
    box = Mailbox.make(api.store)
    box.backfill(*(message_of(uid) for uid in range(1, 3_001)))
    start = head(api)
    async with watching(api, snapshot=SNAPSHOT) as watcher:
        box.flag(5, NO_FLAGS, Flags.of(["\\Flagged"]))
        box.add(message_of(4_000))
        await until_end(watcher)
        await watcher.until(head(api))
    assert [event.revision for event in watcher.events] == [start + 1, start + 2]
    for response in watcher.responses:
        if response.HasField("snapshot_chunk"):
            assert response.from_revision == response.through_revision == start
            assert response.snapshot_chunk.read_revision >= start


async def test_what_the_filter_hides_is_not_in_the_snapshot(api: Api) -> None:
    inbox, other = Mailbox.make(api.store, "a"), Mailbox.make(api.store, "b")
    sent = Mailbox.make(api.store, "a", "Sent")
    for box in (inbox, sent, other):
        box.add(message_of(1))

    async def shown(**wanted: Any) -> tuple[set[str], set[str], set[str]]:
        async with watching(api, snapshot=SNAPSHOT, filter=pb.EventFilter(**wanted)) as watcher:
            pieces = await until_end(watcher)
        return (
            {each.name for piece in pieces for each in piece.accounts},
            {each.name for piece in pieces for each in piece.folders},
            {each.name.partition("/envelopes/")[0] for each in envelopes_of(pieces)},
        )

    assert await shown(accounts=["accounts/b"]) == ({"accounts/b"}, {other.folder.name}, {other.folder.name})
    assert await shown(folders=[sent.folder.name]) == ({"accounts/a"}, {sent.folder.name}, {sent.folder.name})
    parts = [await shown(share=pb.Share(index=index, count=2)) for index in range(2)]
    assert parts[0][0] | parts[1][0] == {"accounts/a", "accounts/b"}
    assert not parts[0][2] & parts[1][2]


@pytest.mark.parametrize(
    ("view", "there", "missing"),
    [
        (envelope_pb2.ENVELOPE_VIEW_FLAGS, ["uid", "flags"], ["subject", "references"]),
        (envelope_pb2.ENVELOPE_VIEW_BASIC, ["uid", "flags", "subject"], ["references", "attachments"]),
        (envelope_pb2.ENVELOPE_VIEW_FULL, ["subject", "references", "attachments"], []),
    ],
    ids=["flags", "basic", "full"],
)
async def test_the_view_holds_for_snapshot_and_events(
    api: Api, view: Any, there: list[str], missing: list[str]
) -> None:
    box = Mailbox.make(api.store)
    box.add(message_of(1, "\\Seen"))
    async with watching(api, snapshot=SNAPSHOT, filter=pb.EventFilter(view=view)) as watcher:
        (piece,) = await until_end(watcher)
        box.add(message_of(2, "\\Seen"))
        (event,) = await watcher.until(head(api))
    for envelope in (piece.envelopes[0], event.envelope_added.envelope):
        present = {field.name for field, _ in envelope.ListFields()}
        assert present.issuperset(there)
        assert present.isdisjoint(missing)
    async with watching(api, resume_token=watcher.token):
        pass  # a view is no part of what a token is bound to


async def test_one_snapshot_too_many_is_told_to_wait(tmp_path: Path) -> None:
    async with serving(MemoryStore(), tmp_path, watch=quick(max_snapshots=1)) as api:
        box = Mailbox.make(api.store)
        box.backfill(*(message_of(uid, text="x" * 5_000) for uid in range(1, 3_000)))
        stalled = api.events.WatchEvents(pb.WatchEventsRequest(snapshot=SNAPSHOT))
        await stalled.read()
        error = await refused(api, snapshot=SNAPSHOT)
        assert (error.code(), reason(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SNAPSHOT_LIMIT")
        assert detail(error, error_details_pb2.RetryInfo).retry_delay.seconds > 0
        stalled.cancel()
        async with watching(api):
            pass  # a stream without a snapshot is none
        for _ in range(2):
            async with watching(api, snapshot=SNAPSHOT) as watcher:
                await until_end(watcher)


async def test_an_account_deleted_within_the_snapshot_is_removed_by_its_event(api: Api) -> None:
    doomed = Mailbox.make(api.store, "a")
    doomed.backfill(*(message_of(uid) for uid in range(1, 2_500)))
    kept = Mailbox.make(api.store, "b")
    kept.add(message_of(1))
    call = api.events.WatchEvents(pb.WatchEventsRequest(snapshot=SNAPSHOT))
    watcher = Watcher(call)
    await watcher.read()
    api.store.apply(Batch(doomed.account.key, (AccountRemoved(doomed.account.key),)))
    token = watcher.token
    call.cancel()
    async with watching(api, resume_token=token) as resumed:
        pieces = await until_end(resumed)
        events = await resumed.until(head(api))
    assert [each.name for piece in pieces for each in piece.accounts] == ["accounts/b"]
    assert [event.WhichOneof("payload") for event in events] == ["account_removed"]
    end = next(each for each in resumed.responses if each.HasField("snapshot_end")).snapshot_end
    assert (end.accounts, end.folders, end.envelopes) == (2, 2, 1_000 + 1 - 2)


async def test_a_snapshot_token_cannot_be_read_from_as_a_position_of_the_log(api: Api) -> None:
    box = Mailbox.make(api.store)
    box.add(message_of(1))
    async with watching(api, snapshot=SNAPSHOT) as watcher:
        pass
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.events.GetEventLog(pb.GetEventLogRequest(resume_token=watcher.token))
    assert reason(caught.value) == "RESUME_TOKEN_INVALID"


async def test_a_snapshot_of_an_empty_store_is_its_end_alone(api: Api) -> None:
    async with watching(api, snapshot=SNAPSHOT) as watcher:
        assert watcher.responses[0].snapshot_end == pb.SnapshotEnd()
        Mailbox.make(api.store)
        assert len(await watcher.until(head(api))) == 2


async def test_a_stream_that_ends_by_age_in_its_snapshot_loses_nothing(tmp_path: Path) -> None:
    async with serving(MemoryStore(), tmp_path, watch=quick(max_age=0.05)) as api:
        box = Mailbox.make(api.store)
        box.backfill(*(message_of(uid) for uid in range(1, 6_001)))
        start: dict[str, Any] = {"snapshot": SNAPSHOT}
        responses: list[pb.WatchEventsResponse] = []
        while not any(each.HasField("snapshot_end") for each in responses):
            watcher = Watcher(api.events.WatchEvents(pb.WatchEventsRequest(**start)))
            assert await watcher.status() is grpc.StatusCode.OK
            responses += watcher.responses
            start = {"resume_token": watcher.token}
        assert all(before.through_revision == after.from_revision for before, after in pairwise(responses))
        found = [each.uid for response in responses for each in response.snapshot_chunk.envelopes]
        assert found == list(range(1, 6_001))


async def test_what_goes_behind_the_scan_is_told_by_its_event(api: Api) -> None:
    box = Mailbox.make(api.store)
    box.backfill(*(message_of(uid) for uid in range(1, 2_002)))
    call = api.events.WatchEvents(pb.WatchEventsRequest(snapshot=SNAPSHOT))
    first = Watcher(call)
    await first.read()
    call.cancel()
    gone = UidSet.of([1, 2_000])
    api.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, gone),)))
    async with watching(api, resume_token=first.token) as watcher:
        pieces = await until_end(watcher)
        (event,) = await watcher.until(head(api))
    assert 2_000 not in {each.uid for each in envelopes_of(pieces)}
    assert [each.first for each in event.envelopes_removed.uids] == [1, 2_000]

"""The watch: ordered, dense, contiguous under any filter; what a caller gets wrong is named."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2

from mailsync_grpc.model.changes import AccountRemoved, EnvelopeMoved, EnvelopesRemoved
from mailsync_grpc.model.evidence import MoveEvidence
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import event_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.api import Api, detail, reason, serving
from tests.support.store import Mailbox, message_of
from tests.support.watching import OLDEST, head, quick, refused, watching


async def test_watch_ordered_dense(api: Api) -> None:
    box = Mailbox.make(api.store)
    async with watching(api, oldest=OLDEST) as live:
        for uid in range(1, 1_201):
            box.add(message_of(uid))
        events = await live.until(head(api))
    assert [event.revision for event in events] == list(range(1, head(api) + 1))
    async with watching(api, oldest=OLDEST) as late:
        assert await late.until(head(api)) == events
    assert all(len(response.events) <= 512 for response in late.responses)


async def test_an_added_envelope_comes_whole(api: Api) -> None:
    box = Mailbox.make(api.store)
    async with watching(api) as watcher:
        box.add(message_of(7, "\\Seen"))
        (event,) = await watcher.until(head(api))
    envelope = event.envelope_added.envelope
    assert (envelope.uid, envelope.subject, envelope.flags.seen) == (7, "Message 7 ", True)
    assert envelope.name == f"{event.folder}/envelopes/77.7"
    assert envelope.attachments[0].file_name == "a.pdf"
    assert event.account == "accounts/acme"


FILTERS = {
    "nothing passes": {"types": [event_pb2.EVENT_TYPE_BOUNCE]},
    "one type": {"types": [event_pb2.EVENT_TYPE_FLAGS_CHANGED]},
    "one account": {"accounts": ["accounts/b"]},
    "one share": {"share": pb.Share(index=1, count=2)},
    "no backfill": {"exclude_backfill": True},
}


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS.keys())
async def test_watch_ranges_contiguous_under_filter(api: Api, wanted: dict[str, Any]) -> None:
    boxes = [Mailbox.make(api.store, name) for name in ("a", "b", "c")]
    request = {"filter": pb.EventFilter(**wanted), "heartbeat_interval": Duration(seconds=1)}
    async with watching(api, oldest=OLDEST, **request) as watcher:
        for uid in range(1, 40):
            for box in boxes:
                box.add(message_of(uid))
                box.flag(uid, NO_FLAGS, Flags.of(["\\Seen"]))
        boxes[0].backfill(message_of(1_000))
        await watcher.until(head(api))  # the reader itself checks that ranges join
    assert watcher.responses[0].from_revision == 0
    assert watcher.responses[-1].through_revision == head(api)


async def test_a_filter_passes_exactly_what_it_names(api: Api) -> None:
    inbox, other = Mailbox.make(api.store, "a"), Mailbox.make(api.store, "b")
    sent = Mailbox.make(api.store, "a", "Sent")
    for box in (inbox, sent, other):
        box.add(message_of(1))
        box.backfill(message_of(2))
    added = event_pb2.EVENT_TYPE_ENVELOPE_ADDED

    async def seen(**wanted: Any) -> list[tuple[str, str]]:
        async with watching(
            api, oldest=OLDEST, filter=pb.EventFilter(**wanted), heartbeat_interval=Duration(seconds=1)
        ) as watcher:
            events = await watcher.until(head(api))
        return [(event.folder, str(event.WhichOneof("payload"))) for event in events]

    assert {folder for folder, _ in await seen(folders=[sent.folder.name])} == {"", sent.folder.name}
    assert await seen(accounts=["accounts/b"], types=[added]) == [(other.folder.name, "envelope_added")]
    kinds = [kind for _, kind in await seen(exclude_backfill=True, folders=[inbox.folder.name])]
    assert kinds == ["account_changed", "folder_changed", "envelope_added"]


@pytest.mark.parametrize(("wanted", "times"), [("INBOX", 1), ("Sent", 1), ("Archive", 0)])
async def test_a_move_passes_a_filter_on_either_of_its_folders(api: Api, wanted: str, times: int) -> None:
    boxes = {name: Mailbox.make(api.store, name=name) for name in ("INBOX", "Sent", "Archive")}
    inbox, sent, message = boxes["INBOX"], boxes["Sent"], message_of(7)
    inbox.add(message)
    evidence = MoveEvidence.MESSAGE_ID_SIZE_DATE
    change = EnvelopeMoved(inbox.folder.key, 7, sent.folder.key, message._replace(uid=3), evidence)
    api.store.apply(Batch(inbox.account.key, (change,)))
    only = pb.EventFilter(folders=[boxes[wanted].folder.name], types=[event_pb2.EVENT_TYPE_ENVELOPE_MOVED])
    async with watching(api, oldest=OLDEST, filter=only, heartbeat_interval=Duration(seconds=1)) as watcher:
        events = await watcher.until(head(api))
    places = [(each.envelope_moved.from_folder, each.envelope_moved.from_uid, each.folder) for each in events]
    assert places == [(inbox.folder.name, 7, sent.folder.name)] * times


async def test_shares_divide_the_accounts_and_leave_none_out(api: Api) -> None:
    for number in range(12):
        Mailbox.make(api.store, f"account-{number}")
    parts = []
    for index in range(3):
        wanted = pb.EventFilter(share=pb.Share(index=index, count=3))
        async with watching(
            api, oldest=OLDEST, filter=wanted, heartbeat_interval=Duration(seconds=1)
        ) as watcher:
            parts.append({event.account for event in await watcher.until(head(api))})
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 12
    assert all(parts)


async def test_bookmark_never_leads_events(tmp_path: Path) -> None:
    async with serving(MemoryStore(), tmp_path, watch=quick(heartbeat=0.02)) as api:
        box = Mailbox.make(api.store)
        async with watching(api) as watcher:
            for uid in range(1, 30):
                box.add(message_of(uid))
                await watcher.read()
            await watcher.until(head(api))
            await watcher.read()
        beats = [response for response in watcher.responses if response.HasField("heartbeat")]
        assert len(beats) >= 2
        for earlier, later in pairwise(watcher.responses):
            assert all(event.revision > earlier.through_revision for event in later.events)
        assert beats[-1].through_revision == head(api)


async def test_nothing_of_a_deleted_account_is_sent_any_more(api: Api) -> None:
    box = Mailbox.make(api.store)
    box.add(message_of(1))
    async with watching(api) as live:
        api.store.apply(Batch(box.account.key, (AccountRemoved(box.account.key),)))
        (event,) = await live.until(head(api))
    assert event.WhichOneof("payload") == "account_removed"
    while api.store.purge(100):
        pass
    async with watching(api, oldest=OLDEST) as late:
        assert await late.until(head(api)) == [event]
    assert late.responses[0].from_revision == 0


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"heartbeat_interval": Duration(seconds=301)}, "heartbeat_interval"),
        ({"heartbeat_interval": Duration(seconds=2**62)}, "heartbeat_interval"),
        ({"label": "Not A Label"}, "label"),
        ({"filter": pb.EventFilter(types=[event_pb2.EVENT_TYPE_UNSPECIFIED])}, "filter.types"),
        ({"filter": pb.EventFilter(share=pb.Share(index=2, count=2))}, "filter.share.index"),
        ({"filter": pb.EventFilter(share=pb.Share(count=300))}, "filter.share.count"),
        ({"filter": pb.EventFilter(folders=["accounts/a"])}, "filter.folders"),
        ({"filter": pb.EventFilter(accounts=["accounts/a"] * 10_001)}, "filter.accounts"),
        ({"filter": pb.EventFilter(account_labels={"plan": "x" * 64})}, "filter.account_labels"),
        (
            {"filter": pb.EventFilter(account_labels={str(key): "" for key in range(65)})},
            "filter.account_labels",
        ),
        ({"filter": pb.EventFilter(view=9)}, "filter.view"),  # type: ignore[arg-type] # no value of the enum
        ({"since_time": Timestamp(seconds=4_000_000_000)}, "since_time"),
        ({"since_time": Timestamp(seconds=-1)}, "since_time"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_field_of_a_watch_is_named(api: Api, request_: dict[str, Any], named: str) -> None:
    error = await refused(api, **request_)
    assert detail(error, error_details_pb2.BadRequest).field_violations[0].field == named


async def test_watching_an_unknown_account_is_not_found(api: Api) -> None:
    error = await refused(api, filter=pb.EventFilter(accounts=["accounts/none"]))
    assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "ACCOUNT_NOT_FOUND")


async def test_expunge_50k_one_event(api: Api) -> None:
    box = Mailbox.make(api.store)
    box.backfill(*(message_of(uid) for uid in range(1, 2_001)))
    async with watching(api) as watcher:
        gone = UidSet.span(1, 50_000)
        api.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, gone),)))
        (event,) = await watcher.until(head(api))
    assert [(each.first, each.last) for each in event.envelopes_removed.uids] == [(1, 50_000)]


async def test_the_log_is_paged_with_the_same_coverage(api: Api) -> None:
    box = Mailbox.make(api.store)
    for uid in range(1, 50):
        box.add(message_of(uid))
    wanted = pb.EventFilter(types=[event_pb2.EVENT_TYPE_ENVELOPE_ADDED])
    request = pb.GetEventLogRequest(filter=wanted, page_size=10)
    pages: list[pb.GetEventLogResponse] = []
    while not pages or request.page_token:
        pages.append(await api.events.GetEventLog(request))
        request.page_token = pages[-1].next_page_token
    assert [len(page.events) for page in pages] == [10, 10, 10, 10, 9]
    assert pages[0].from_revision == 0
    assert all(earlier.through_revision == later.from_revision for earlier, later in pairwise(pages))
    assert pages[-1].through_revision == pages[-1].head_revision == head(api)
    async with watching(api, resume_token=pages[1].resume_token, filter=wanted) as watcher:
        assert len(await watcher.until(head(api))) == 29

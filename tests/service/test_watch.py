"""The watch: ordered, dense, contiguous under any filter, resumable anywhere; every end says what it is."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from mailsync_grpc.config import WatchConfig
from mailsync_grpc.errors import RevisionCompactedError
from mailsync_grpc.model.changes import AccountRemoved, EnvelopesRemoved
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services.tokens import Position, ResumeTokens
from mailsync_grpc.store.base import KEPT_LOG, Batch, LogSlice
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import envelope_pb2, event_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as list_pb
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.api import Api, detail, reason, serving
from tests.support.store import Mailbox, ManualClock, all_rows, message_of
from tests.support.watching import PATIENCE, Watcher, watching

OLDEST = pb.StartOldest()


def head(api: Api) -> int:
    return api.store.stats().log_head


def quick(**changes: float) -> WatchConfig:
    """Settings below what an operator may choose, so that a test need not wait."""
    return WatchConfig().model_copy(update=changes)


async def refused(api: Api, **request: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(PATIENCE):
            await api.events.WatchEvents(pb.WatchEventsRequest(**request)).read()
    return caught.value


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


async def test_a_stream_resumes_after_any_response(api: Api) -> None:
    box = Mailbox.make(api.store)
    async with watching(api, oldest=OLDEST) as watcher:
        for uid in range(1, 20):
            box.add(message_of(uid))
            await watcher.until(head(api))
    for response in watcher.responses:
        async with watching(api, resume_token=response.resume_token) as resumed:
            assert resumed.responses[0].from_revision == response.through_revision
            rest = await resumed.until(head(api))
        assert [event.revision for event in rest] == list(range(response.through_revision + 1, head(api) + 1))


async def test_resume_token_other_filter_rejected(api: Api) -> None:
    Mailbox.make(api.store)
    async with watching(api, filter=pb.EventFilter(accounts=["accounts/acme"])) as watcher:
        token = watcher.token
    error = await refused(api, resume_token=token)
    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "FILTER_MISMATCH")
    async with watching(api, resume_token=token, filter=pb.EventFilter(accounts=["accounts/acme"] * 2)):
        pass  # the same filter, written otherwise


@pytest.mark.parametrize("token", ["x", "AAAA", "", "é"])
async def test_a_token_of_no_server_is_refused(api: Api, token: str) -> None:
    error = await refused(api, resume_token=token)
    assert reason(error) == "RESUME_TOKEN_INVALID"


async def test_revision_zero_and_future(api: Api) -> None:
    Mailbox.make(api.store)
    log = await api.events.GetEventLog(pb.GetEventLogRequest(after_revision=0))
    assert [event.revision for event in log.events] == [1, 2]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.events.GetEventLog(pb.GetEventLogRequest(after_revision=3))
    assert (caught.value.code(), reason(caught.value)) == (
        grpc.StatusCode.OUT_OF_RANGE,
        "REVISION_IN_FUTURE",
    )
    tokens = ResumeTokens(api.core.vault, api.store.epoch)
    error = await refused(api, resume_token=tokens.of_list(Position(Revision(3), 0), None))
    assert reason(error) == "REVISION_IN_FUTURE"
    async with watching(api, resume_token=tokens.of_list(Position(Revision(0), 0), None)) as watcher:
        assert len(await watcher.until(2)) == 2


async def test_rollback_noticed(api: Api) -> None:
    Mailbox.make(api.store)
    tokens = ResumeTokens(api.core.vault, api.store.epoch)
    error = await refused(api, resume_token=tokens.of_list(Position(Revision(2), 4711), None))
    assert reason(error) == "REVISION_IN_FUTURE"


async def test_a_token_of_before_a_restore_is_refused(api: Api) -> None:
    error = await refused(
        api, resume_token=ResumeTokens(api.core.vault, bytes(16)).of_list(Position(Revision(0), 0), None)
    )
    assert (error.code(), reason(error)) == (grpc.StatusCode.OUT_OF_RANGE, "STORE_EPOCH_CHANGED")


async def test_goodbye_rotation_zero_loss(tmp_path: Path) -> None:
    async with serving(MemoryStore(), tmp_path, watch=quick(max_age=0.15)) as api:
        box = Mailbox.make(api.store)
        start: dict[str, Any] = {"oldest": OLDEST}
        events: list[event_pb2.Event] = []
        uid = 0
        for _ in range(4):
            watcher = Watcher(api.events.WatchEvents(pb.WatchEventsRequest(**start)))
            for _ in range(25):
                uid += 1
                box.add(message_of(uid))
            assert await watcher.status() is grpc.StatusCode.OK
            assert watcher.responses[-1].goodbye.reason == pb.GOODBYE_REASON_AGE
            events += watcher.events
            start = {"resume_token": watcher.token}
        async with watching(api, **start) as last:
            events += await last.until(head(api))
        assert [event.revision for event in events] == list(range(1, head(api) + 1))


async def test_a_stopping_server_says_goodbye_and_when_to_come_back(api: Api) -> None:
    Mailbox.make(api.store)
    watcher = Watcher(api.events.WatchEvents(pb.WatchEventsRequest(oldest=OLDEST)))
    await watcher.until(head(api))
    await api.services.drain()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watcher.status()
    assert watcher.responses[-1].goodbye.reason == pb.GOODBYE_REASON_DRAINING
    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")
    assert detail(caught.value, error_details_pb2.RetryInfo).retry_delay.seconds == 1
    assert reason(await refused(api)) == "SERVER_DRAINING"


async def test_drain_under_load_zero_loss(tmp_path: Path) -> None:
    """Mail keeps coming while one server stops and the next one starts; the stream's reader misses none of it."""
    store = MemoryStore()
    box = Mailbox.make(store)
    uids = iter(range(1, 1_000_000))
    events: list[event_pb2.Event] = []
    start: dict[str, Any] = {"oldest": OLDEST}
    for _ in range(3):
        async with serving(store, tmp_path) as api:
            watcher = Watcher(api.events.WatchEvents(pb.WatchEventsRequest(**start)))
            for _ in range(20):
                box.add(*(message_of(next(uids)) for _ in range(5)))
                await watcher.read()
            ending = asyncio.create_task(api.services.drain())
            box.add(*(message_of(next(uids)) for _ in range(5)))
            with pytest.raises(grpc.aio.AioRpcError):
                await watcher.status()
            await ending
        box.add(message_of(next(uids)))
        events += watcher.events
        start = {"resume_token": watcher.token}
    async with serving(store, tmp_path) as api, watching(api, **start) as last:
        events += await last.until(head(api))
        assert [event.revision for event in events] == list(range(1, head(api) + 1))


async def test_storm_5000_opens(api: Api) -> None:
    box = Mailbox.make(api.store)
    calls = [api.events.WatchEvents(pb.WatchEventsRequest(oldest=OLDEST)) for _ in range(5_000)]
    try:
        async with asyncio.timeout(60):
            watchers = [Watcher(call) for call in calls]
            await asyncio.gather(*(watcher.until(2) for watcher in watchers))
            box.add(message_of(1))
            await asyncio.gather(*(watcher.until(3) for watcher in watchers))
        assert all([event.revision for event in watcher.events] == [1, 2, 3] for watcher in watchers)
    finally:
        for call in calls:
            call.cancel()


async def test_one_stream_too_many_is_told_to_wait(tmp_path: Path) -> None:
    async with serving(MemoryStore(), tmp_path, watch=quick(max_streams=1)) as api:
        async with watching(api):
            error = await refused(api)
        assert (error.code(), reason(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCH_LIMIT")
        assert detail(error, error_details_pb2.RetryInfo).retry_delay.seconds > 0


async def test_slow_consumer_status_then_resume(tmp_path: Path) -> None:
    async with serving(MemoryStore(), tmp_path, watch=quick(stall_timeout=0.3)) as api:
        box = Mailbox.make(api.store)
        for uid in range(1, 400):
            box.add(message_of(uid, text="x" * 20_000))
        watcher = Watcher(api.events.WatchEvents(pb.WatchEventsRequest(oldest=OLDEST)))
        await watcher.read()
        async with asyncio.timeout(PATIENCE):
            while streams(api):  # noqa: ASYNC110 - the server gives the stream up in its own time
                await asyncio.sleep(0.05)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watcher.status()
        assert reason(caught.value) == "SLOW_CONSUMER"
        async with watching(api, resume_token=watcher.token) as resumed:
            rest = await resumed.until(head(api))
        revisions = [event.revision for event in watcher.events + rest]
        assert revisions == list(range(1, head(api) + 1))


def streams(api: Api) -> Any:
    (events,) = api.services.servicers["EventService"]
    return events.streams  # type: ignore[attr-defined] # an EventService


class TrimmingStore(MemoryStore):
    """Drops the whole log just before it is read, as retention may between two reads of a stream."""

    clock = ManualClock()
    armed = False

    def __init__(self) -> None:
        super().__init__(self.clock)

    def log(self, after: Revision, limit: int, max_bytes: int) -> LogSlice:
        if self.armed:
            self.clock.now += KEPT_LOG + 1
            self.trim_log(0, 0, 1_000_000)
        return super().log(after, limit, max_bytes)


async def test_compaction_between_read_and_send(tmp_path: Path) -> None:
    store = TrimmingStore()
    box = Mailbox.make(store)
    for uid in range(1, 20):
        box.add(message_of(uid))
    async with serving(store, tmp_path) as api:
        store.armed = True
        watcher = Watcher(api.events.WatchEvents(pb.WatchEventsRequest(oldest=OLDEST)))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watcher.status()
        assert (caught.value.code(), reason(caught.value)) == (
            grpc.StatusCode.OUT_OF_RANGE,
            "REVISION_COMPACTED",
        )
        info = detail(caught.value, error_details_pb2.ErrorInfo)
        assert info.metadata == {"floor": str(head(api)), "head": str(head(api))}
        assert watcher.events == []
        with pytest.raises(RevisionCompactedError):
            store.log(Revision(1), 1, 1)


async def test_list_pages_while_mutating_converges(api: Api) -> None:
    """List-then-watch as the contract describes it ends with exactly what the store holds."""
    box = Mailbox.make(api.store)
    for uid in range(1, 101):
        box.add(message_of(uid))
    listed: dict[int, tuple[int, envelope_pb2.Envelope]] = {}
    token, start = "", ""
    uid = 100
    while True:
        page = await api.envelopes.ListEnvelopes(
            list_pb.ListEnvelopesRequest(parent=box.folder.name, page_size=9, page_token=token)
        )
        start = start or page.resume_token
        for envelope in page.envelopes:
            listed[envelope.uid] = (page.read_revision, envelope)
        uid += 1
        box.add(message_of(uid))
        box.flag(uid - 50, NO_FLAGS, Flags.of(["\\Flagged"]))
        box.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, UidSet.of([uid - 99])),)))
        token = page.next_page_token
        if not token:
            break
    async with watching(
        api, resume_token=start, filter=pb.EventFilter(accounts=["accounts/acme"])
    ) as watcher:
        events = await watcher.until(head(api))
    for event in events:
        apply(listed, event)
    rows = all_rows(api.store, box.folder)
    assert sorted(listed) == [row.uid for row in rows]
    assert {uid for uid, (_, envelope) in listed.items() if envelope.flags.flagged} == {
        row.uid for row in rows if envelope_pb2.Envelope.FromString(row.flags).flags.flagged
    }


def apply(listed: dict[int, tuple[int, envelope_pb2.Envelope]], event: event_pb2.Event) -> None:
    """Do what the contract asks of a client: apply an event where it is newer than the item's page."""
    match event.WhichOneof("payload"):
        case "envelope_added":
            envelope = event.envelope_added.envelope
            listed[envelope.uid] = (event.revision, envelope)
        case "flags_changed" if (known := listed.get(event.flags_changed.uid)) and known[0] < event.revision:
            known[1].flags.CopyFrom(event.flags_changed.flags)
        case "envelopes_removed":
            for each in event.envelopes_removed.uids:
                for uid in range(each.first, each.last + 1):
                    listed.pop(uid, None)


async def test_a_token_of_a_list_holds_for_filters_within_the_list(api: Api) -> None:
    box, _ = Mailbox.make(api.store, "a"), Mailbox.make(api.store, "b")
    page = await api.envelopes.ListEnvelopes(list_pb.ListEnvelopesRequest(parent=box.folder.name))
    async with watching(
        api, resume_token=page.resume_token, filter=pb.EventFilter(folders=[box.folder.name])
    ):
        pass
    others: list[dict[str, Any]] = [
        {},
        {"accounts": ["accounts/b"]},
        {"accounts": ["accounts/a", "accounts/b"]},
    ]
    for wanted in others:
        error = await refused(api, resume_token=page.resume_token, filter=pb.EventFilter(**wanted))
        assert reason(error) == "FILTER_MISMATCH"


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
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_field_of_a_watch_is_named(api: Api, request_: dict[str, Any], named: str) -> None:
    error = await refused(api, **request_)
    assert detail(error, error_details_pb2.BadRequest).field_violations[0].field == named


@pytest.mark.parametrize(
    "request_",
    [
        {"snapshot": pb.StartSnapshot()},
        {"reset_on_compacted": True},
        {"filter": pb.EventFilter(account_labels={"a": "b"})},
        {"filter": pb.EventFilter(view=envelope_pb2.ENVELOPE_VIEW_BASIC)},
    ],
    ids=["snapshot", "reset_on_compacted", "account_labels", "view"],
)
async def test_options_that_are_not_built_are_refused_by_name(api: Api, request_: dict[str, Any]) -> None:
    error = await refused(api, **request_)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert reason(error) == "NOT_IMPLEMENTED"


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

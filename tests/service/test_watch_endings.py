"""How a watch ends: by age, at a stop, behind a slow reader, under load; every end says what it is, and loses nothing."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from mailsync_grpc.errors import RevisionCompactedError
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.store.base import KEPT_LOG
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import LogSlice
from mailsync_grpc.v1 import event_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.api import Api, detail, reason, serving
from tests.support.store import Mailbox, ManualClock, message_of
from tests.support.watching import OLDEST, PATIENCE, Watcher, head, quick, refused, watching


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

"""A position that is gone: told so, or, for those who ask, a reset and the present state instead. And positions by time."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.errors import StoreCorruptError
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services.tokens import Position, ResumeTokens
from mailsync_grpc.store.base import KEPT_LOG
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import LogSlice
from mailsync_grpc.v1 import errors_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.api import Api, reason, serving
from tests.support.store import Mailbox, ManualClock, message_of
from tests.support.watching import OLDEST, Watcher, head, quick, refused, until, watching


class Aging:
    """A served store whose events grow old when the test says so."""

    def __init__(self, api: Api, clock: ManualClock) -> None:
        self.api, self.clock = api, clock

    def compact(self) -> None:
        """Let every event be dropped."""
        self.clock.now += KEPT_LOG + 1
        while self.api.store.trim_log(0, 0, 1_000).more:
            pass


@pytest.fixture
async def aging(tmp_path: Path) -> AsyncIterator[Aging]:
    clock = ManualClock()
    # As little as possible in memory, so that the store's own floor counts.
    async with serving(MemoryStore(clock), tmp_path, watch=quick(ring_bytes=1)) as api:
        yield Aging(api, clock)


async def snapshot_of(watcher: Watcher) -> list[int]:
    """Read to the end of the snapshot; return the UIDs in it."""
    while not watcher.responses[-1].HasField("snapshot_end"):
        await watcher.read()
    return [each.uid for response in watcher.responses for each in response.snapshot_chunk.envelopes]


async def test_a_compacted_position_is_an_error_or_a_reset_with_a_snapshot(aging: Aging) -> None:
    api, box = aging.api, Mailbox.make(aging.api.store)
    async with watching(api, oldest=OLDEST) as watcher:
        token = watcher.token
    box.add(message_of(1), message_of(2))
    aging.compact()
    error = await refused(api, resume_token=token)
    assert (error.code(), reason(error)) == (grpc.StatusCode.OUT_OF_RANGE, "REVISION_COMPACTED")
    async with watching(api, resume_token=token, reset_on_compacted=True) as late:
        marker = late.responses[0]
        assert marker.reset.reason == errors_pb2.ERROR_REASON_REVISION_COMPACTED
        assert (marker.reset.floor_revision, marker.reset.head_revision) == (head(api), head(api))
        assert marker.from_revision == marker.through_revision == head(api)
        assert await snapshot_of(late) == [1, 2]
        box.add(message_of(3))
        (event,) = await late.until(head(api))
    assert event.envelope_added.envelope.uid == 3


async def test_a_token_of_another_store_resets_those_who_ask(aging: Aging) -> None:
    api = aging.api
    Mailbox.make(api.store).add(message_of(1))
    tokens = ResumeTokens(api.core.vault, api.store.epoch)
    for token, why in (
        (
            ResumeTokens(api.core.vault, bytes(16)).of_list(Position(Revision(0), 0), None),
            "STORE_EPOCH_CHANGED",
        ),
        (tokens.of_list(Position(Revision(99), 0), None), "REVISION_IN_FUTURE"),
        (tokens.of_list(Position(Revision(2), 4711), None), "REVISION_IN_FUTURE"),
    ):
        async with watching(api, resume_token=token, reset_on_compacted=True) as watcher:
            marker = watcher.responses[0].reset
            assert errors_pb2.ErrorReason.Name(marker.reason) == f"ERROR_REASON_{why}"
            assert await snapshot_of(watcher) == [1]


async def test_a_token_of_another_filter_resets_nobody(aging: Aging) -> None:
    api = aging.api
    Mailbox.make(api.store, "a")
    async with watching(api, filter=pb.EventFilter(accounts=["accounts/a"])) as watcher:
        pass
    error = await refused(api, resume_token=watcher.token, reset_on_compacted=True)
    assert reason(error) == "FILTER_MISMATCH"


async def test_a_stream_that_falls_behind_the_log_begins_anew_where_it_may(tmp_path: Path) -> None:
    class Forgetful(MemoryStore):
        """Drops what is old just before a stream that fell behind reads it."""

        clock = ManualClock()
        armed = False

        def __init__(self) -> None:
            super().__init__(self.clock)

        def log(self, after: Revision, limit: int, max_bytes: int) -> Any:
            if self.armed:
                self.armed = False
                self.clock.now += KEPT_LOG + 1
                self.trim_log(0, 0, 1_000_000)
            return super().log(after, limit, max_bytes)

    store = Forgetful()
    box = Mailbox.make(store)
    box.add(*(message_of(uid) for uid in range(1, 20)))
    async with serving(store, tmp_path) as api:
        store.armed = True
        async with watching(api, oldest=OLDEST, reset_on_compacted=True) as watcher:
            await watcher.read()
            assert watcher.responses[-1].reset.reason == errors_pb2.ERROR_REASON_REVISION_COMPACTED
            assert await snapshot_of(watcher) == list(range(1, 20))


class StumblingStore(MemoryStore):
    """Once `armed`: drops the log just before it is read, and then fails to read accounts."""

    clock = ManualClock()
    armed = fails = False

    def __init__(self) -> None:
        super().__init__(self.clock)

    def log(self, after: Revision, limit: int, max_bytes: int) -> LogSlice:
        if self.armed:
            self.armed, self.fails = False, True
            self.clock.now += KEPT_LOG + 1
            self.trim_log(0, 0, 1_000_000)
        return super().log(after, limit, max_bytes)

    def accounts(self, after: str = "", limit: int = 1_000) -> list[Account]:
        if self.fails:
            self.fails = False
            raise StoreCorruptError("made up")
        return super().accounts(after, limit)


async def test_events_go_on_after_the_store_failed_while_the_log_was_cut(tmp_path: Path) -> None:
    store = StumblingStore()
    box = Mailbox.make(store)
    labelled = pb.EventFilter(account_labels={"plan": "gold"})
    async with serving(store, tmp_path) as api:
        async with watching(api, filter=labelled):
            store.armed = True
            box.add(message_of(1))
            await until(lambda: api.feed.head == head(api))
        async with watching(api) as watcher:
            box.add(message_of(2))
            (event,) = await watcher.until(head(api))
    assert event.envelope_added.envelope.uid == 2


async def test_a_snapshot_whose_start_was_compacted_begins_anew(aging: Aging) -> None:
    api, box = aging.api, Mailbox.make(aging.api.store)
    box.backfill(*(message_of(uid) for uid in range(1, 2_001)))
    call = api.events.WatchEvents(pb.WatchEventsRequest(snapshot=pb.StartSnapshot()))
    first = Watcher(call)
    await first.read()
    call.cancel()
    box.add(message_of(3_000))
    aging.compact()
    assert reason(await refused(api, resume_token=first.token)) == "REVISION_COMPACTED"
    async with watching(api, resume_token=first.token, reset_on_compacted=True) as late:
        assert await snapshot_of(late) == [*range(1, 2_001), 3_000]


def at(seconds: float) -> Timestamp:
    moment = Timestamp()
    moment.FromMilliseconds(round(seconds * 1_000))
    return moment


async def test_a_watch_may_begin_at_a_time(aging: Aging) -> None:
    api, clock = aging.api, aging.clock
    box = Mailbox.make(api.store)
    times: list[float] = []
    for uid in range(1, 40):
        clock.now += 10
        times.append(clock.now)
        box.add(message_of(uid))
    for index in (0, 1, 17, 38):
        for before in (0.0, 9.5):
            async with watching(api, since_time=at(times[index] - before)) as watcher:
                events = await watcher.until(head(api))
            assert [each.envelope_added.envelope.uid for each in events] == list(range(index + 1, 40))
    async with watching(api, since_time=at(times[-1] + 0.001)) as watcher:
        assert watcher.responses[0].from_revision == head(api)
    async with watching(api, since_time=at(1)) as watcher:
        assert watcher.responses[0].from_revision == 0
    page = await api.events.GetEventLog(pb.GetEventLogRequest(since_time=at(times[30])))
    assert [each.envelope_added.envelope.uid for each in page.events] == list(range(31, 40))


async def test_a_time_of_which_events_may_be_gone_is_told_so(aging: Aging) -> None:
    api, box = aging.api, Mailbox.make(aging.api.store)
    begun = aging.clock.now
    aging.compact()
    for moment in (begun, aging.clock.now):
        error = await refused(api, since_time=at(moment))
        assert reason(error) == "REVISION_COMPACTED"
    box.add(message_of(1))
    aging.clock.now += 1
    box.add(message_of(2))
    assert reason(await refused(api, since_time=at(begun))) == "REVISION_COMPACTED"
    async with watching(api, since_time=at(aging.clock.now)) as watcher:
        (event,) = await watcher.until(head(api))
    assert event.envelope_added.envelope.uid == 2

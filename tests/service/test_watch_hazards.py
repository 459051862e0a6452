"""What befalls watches and servers: kills, frozen and stalled clients, a log that is compacted under many resumes."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest

from mailsync_grpc.server.api import Pings
from mailsync_grpc.store.base import KEPT_LOG, Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import event_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.api import Api, serving
from tests.support.beside import paused_mailbox, store_beside
from tests.support.checked import error_info
from tests.support.service import Service, Stubs, running
from tests.support.store import Mailbox, ManualClock, message_of
from tests.support.watching import OLDEST, PATIENCE, Watcher, head

ROOT = Path(__file__).parents[2]


def until(stubs: Stubs, revision: int, **start: Any) -> Iterator[pb.WatchEventsResponse]:
    """The responses of a stream up to the one that covers a revision."""
    stream = stubs.events.WatchEvents(pb.WatchEventsRequest(**start), timeout=PATIENCE)
    for response in stream:
        yield response
        if response.through_revision >= revision:
            stream.cancel()
            return


def revisions(responses: list[pb.WatchEventsResponse]) -> list[int]:
    return [event.revision for response in responses for event in response.events]


def test_resume_after_kill9_each_batch_boundary(tmp_path: Path) -> None:
    """At every response the server is killed, something more is committed, and the next server goes on after it."""
    service = Service(tmp_path / "service")
    told: list[pb.WatchEventsResponse] = []
    with running(service):
        with store_beside(service) as store:
            box = paused_mailbox(store)
            box.add(*(message_of(uid) for uid in range(1, 1_600)))
        start: dict[str, Any] = {"oldest": OLDEST}
        while covered(told) < newest(service):
            with Stubs(service.address) as stubs:
                told += until(stubs, covered(told) + 1, **start)
            start = {"resume_token": told[-1].resume_token}
            service.kill()
            if len(told) < 8:
                with store_beside(service) as store:
                    replace(box, store=store).add(message_of(10_000 + len(told)))
            service.start()
        last = newest(service)
        assert revisions(told) == list(range(1, last + 1))
        assert len(told) > 4
        with Stubs(service.address) as stubs:
            for response in told[:-1]:
                rest = list(until(stubs, last, resume_token=response.resume_token))
                assert revisions(rest) == list(range(response.through_revision + 1, last + 1))


def covered(told: list[pb.WatchEventsResponse]) -> int:
    return told[-1].through_revision if told else 0


def newest(service: Service) -> int:
    with store_beside(service) as store:
        return store.stats().log_head


async def test_frozen_client_reaped(tmp_path: Path) -> None:
    """A client that is stopped answers no ping, and neither its stream nor its connection outlives that."""
    pings = Pings(interval_ms=1_000, timeout_ms=1_000)
    async with serving(MemoryStore(), tmp_path, pings, listen="127.0.0.1:0") as api:
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.watch_child", api.address), cwd=ROOT, stdout=PIPE
        )
        try:
            assert client.stdout is not None
            assert await client.stdout.readline() == b"watching\n"
            await asyncio.sleep(3)
            assert len(streams(api)) == 1, "a client that answers pings stays, however quiet it is"
            client.send_signal(signal.SIGSTOP)
            async with asyncio.timeout(PATIENCE):
                while streams(api):  # noqa: ASYNC110 - the server gives the client up in its own time
                    await asyncio.sleep(0.05)
        finally:
            client.kill()
            await client.wait()


def streams(api: Api) -> Any:
    (events,) = api.services.servicers["EventService"]
    return events.streams  # type: ignore[attr-defined] # an EventService


STALLED = 20
VOLUME = 64 << 20


def test_stalled_reader_flat_rss(tmp_path: Path) -> None:
    """Readers that take nothing cost what the transport buffers for them, not what is committed meanwhile."""
    settings = {"MAILSYNC_WATCH__RING_BYTES": str(1 << 20), "MAILSYNC_WATCH__STALL_TIMEOUT": "600"}
    service = Service(tmp_path / "service", settings)
    with running(service), store_beside(service) as store, Stubs(service.address) as stubs:
        box = paused_mailbox(store)
        stalled = [stubs.events.WatchEvents(pb.WatchEventsRequest(oldest=OLDEST)) for _ in range(STALLED)]
        for stream in stalled:
            next(stream)
        # What the first megabytes take (windows, arenas) is taken once.
        commit(box, range(1, 1 + (VOLUME // 2) // 20_000))
        list(until(stubs, store.stats().log_head, oldest=OLDEST))
        before = anonymous_memory(service)
        commit(box, range(10_000, 10_000 + VOLUME // 20_000))
        read = list(until(stubs, store.stats().log_head, oldest=OLDEST))
        assert sum(response.ByteSize() for response in read) > VOLUME
        grown = anonymous_memory(service) - before
        assert grown < VOLUME * 3 // 4, (
            f"{grown >> 20} MiB for {VOLUME >> 20} MiB committed, {STALLED} readers"
        )
        for stream in stalled:
            stream.cancel()


def commit(box: Mailbox, uids: range) -> None:
    """Commit one event of 20 kB for each UID, 50 at a time."""
    for first in range(uids.start, uids.stop, 50):
        batch = range(first, min(first + 50, uids.stop))
        box.add(*(message_of(uid, text="x" * 20_000) for uid in batch))


def anonymous_memory(service: Service) -> int:
    """Octets of memory of the service's own; the pages of the store that it looks at are the kernel's to drop."""
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text("ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) << 10


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
async def test_compaction_during_resume_storm(tmp_path: Path, kind: str) -> None:
    """Each stream gets every event after its token, or is told that it cannot: floor, head, and nothing in between."""
    clock = ManualClock()
    store: Store = MemoryStore(clock)
    if kind == "lmdb":
        store = open_store(tmp_path / "store", exclusive=True, clock=clock)
    with closing(store):
        async with serving(store, tmp_path) as api:
            box = Mailbox.make(store)
            for first in range(1, 3_000, 100):
                box.add(*(message_of(uid) for uid in range(first, first + 100)))
            tokens = await positions(api)
            clock.now += KEPT_LOG + 1
            store.trim_log(0, 0, 200)
            calls = [resume(api, token) for token in Random(1).sample(tokens, len(tokens))]
            ends = await asyncio.gather(*calls, compact(api, box))
    refused = ends.count(False)
    assert 0 < refused < len(tokens), "some came too late, some did not"


async def positions(api: Api) -> list[tuple[int, str]]:
    """A token of every tenth revision, and each revision."""
    found: list[tuple[int, str]] = []
    request = pb.GetEventLogRequest(page_size=10)
    while not found or request.page_token:
        page = await api.events.GetEventLog(request)
        found.append((page.through_revision, page.resume_token))
        request.page_token = page.next_page_token
    return found


async def resume(api: Api, position: tuple[int, str]) -> bool:
    """Read from a token to the head; whether it was served. What was sent must be whole either way."""
    revision, token = position
    watcher = Watcher(api.events.WatchEvents(pb.WatchEventsRequest(resume_token=token)))
    error = await failure_of(watcher, head(api))
    assert_dense(watcher.events, revision)
    if error is not None:
        assert error.code() is grpc.StatusCode.OUT_OF_RANGE
        why, bounds = error_info(error)
        assert why == "REVISION_COMPACTED"
        assert revision < int(bounds["floor"]) <= int(bounds["head"]) <= head(api)
    return error is None


async def failure_of(watcher: Watcher, revision: int) -> grpc.aio.AioRpcError | None:
    try:
        await watcher.until(revision)
    except grpc.aio.AioRpcError as error:
        return error
    finally:
        watcher.cancel()
    return None


def assert_dense(events: list[event_pb2.Event], after: int) -> None:
    assert [event.revision for event in events] == list(range(after + 1, after + len(events) + 1))


async def compact(api: Api, box: Mailbox) -> None:
    """Drop the log piece by piece, short of what is new, while more is committed."""
    for step in range(20):
        await asyncio.to_thread(api.store.trim_log, 0, 0, 100)
        box.add(message_of(10_000 + step))
        await asyncio.sleep(0.01)

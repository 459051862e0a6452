"""GetStats tells what a live view shows, and each of it is true."""

import asyncio

from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc import metrics
from mailsync_grpc.metrics import StreamLag
from mailsync_grpc.v1 import system_service_pb2 as pb
from tests.support.api import Api
from tests.support.store import Mailbox, message_of
from tests.support.watching import OLDEST, head, watching


async def test_the_event_log_tells_its_bounds_its_times_and_how_fast_it_grows(api: Api) -> None:
    empty = await api.system.GetStats(pb.GetStatsRequest())
    assert not empty.event_log.HasField("oldest_time")
    assert not empty.event_log.HasField("newest_time")
    assert empty.event_log.events_per_second == 0.0
    Mailbox.make(api.store).add(message_of(1))
    async with watching(api, oldest=OLDEST) as watcher:
        await watcher.until(head(api))
        log = (await api.system.GetStats(pb.GetStatsRequest())).event_log
    assert (log.floor_revision, log.head_revision) == (0, 3)
    assert log.oldest_time.ToNanoseconds() <= log.newest_time.ToNanoseconds()
    assert log.newest_time == committed(api, 3)
    assert log.events_per_second > 0.0


def committed(api: Api, revision: int) -> Timestamp:
    """When an event was committed, as its record says."""
    (record,) = [
        each
        for each in api.store.log(api.store.stats().log_floor, 100, 1 << 20).records
        if each.revision == revision
    ]
    found = Timestamp()
    found.FromMilliseconds(record.commit_time)
    return found


async def test_streams_tell_where_they_are_and_what_they_deliver(api: Api) -> None:
    Mailbox.make(api.store).add(message_of(1))
    async with watching(api, oldest=OLDEST, label="billing") as watcher:
        await watcher.until(head(api))
        watch = (await api.system.GetStats(pb.GetStatsRequest())).watch
    assert (watch.streams, watch.max_lag) == (1, 0)
    assert [(stream.label, stream.revision, stream.lag) for stream in watch.slowest] == [("billing", 3, 0)]
    assert watch.deliveries_per_second > 0.0


async def test_a_reader_that_takes_nothing_shows_as_lag_of_its_label(api: Api) -> None:
    box = Mailbox.make(api.store)
    async with watching(api, oldest=OLDEST, label="stalled"), watching(api, label="keen") as keen:
        for uid in range(1, 200):
            box.add(message_of(uid, text="x" * 20_000))
        await keen.until(head(api))
        lags = (await asyncio.to_thread(api.services.lag.read)).lags
    assert lags["stalled"].revisions > 0
    assert lags["stalled"].seconds > 0.0
    assert lags["keen"] == StreamLag(1, 0, 0.0)


async def test_scrapes_go_on_while_streams_come_and_go(api: Api) -> None:
    Mailbox.make(api.store)

    async def come_and_go(number: int) -> None:
        for _ in range(5):
            async with watching(api, label=f"reader-{number}"):
                pass

    streams = asyncio.gather(*map(come_and_go, range(100)))

    def scrape() -> set[str]:
        shown: set[str] = set()
        while not streams.done():
            shown |= api.services.lag.read().lags.keys()
        return shown

    shown = await asyncio.to_thread(scrape)
    await streams
    assert 0 < len(shown) <= api.core.config.watch.max_labels + 1


async def test_the_cache_tells_what_it_holds_and_how_often_it_helped(api: Api) -> None:
    before = (await api.system.GetStats(pb.GetStatsRequest())).cache
    assert (before.entries, before.size) == (0, 0)
    assert before.size_limit == api.core.config.content.max_bytes
    for result in ("hit", "miss", "joined"):
        metrics.CONTENT_CACHE_REQUESTS.labels(result).inc()
    after = (await api.system.GetStats(pb.GetStatsRequest())).cache
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 2)

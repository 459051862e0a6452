"""SystemService: what runs here and how it does, as far as the API process knows it cheaply."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from mailsync_grpc import __version__
from mailsync_grpc.content.reader import ContentReader
from mailsync_grpc.metrics import cache_requests
from mailsync_grpc.model.account import Account, AccountState
from mailsync_grpc.model.run import RunState
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.rates import Rates
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.sync_runs import described
from mailsync_grpc.services.watch import Stream
from mailsync_grpc.store.codec.messages import timestamp
from mailsync_grpc.store.values import StoreStats
from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import system_service_pb2 as pb

MAX_SUMMARIES = 1_000
MAX_STREAMS = 100
MAX_RUNS = 100
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class SystemService:
    """Serves `mailsync.v1.SystemService`. `streams` are the open event streams, `workers` counts living processes.

    `reader` is asked what its cache holds.
    """

    core: Core
    engine: str
    schema_version: int
    start_time: int
    streams: Collection[Stream]
    workers: Callable[[], int]
    rates: Rates
    reader: ContentReader

    async def get_server_info(
        self, _request: pb.GetServerInfoRequest, _context: Context
    ) -> pb.GetServerInfoResponse:
        """Return what runs here."""
        stats = await self.core.run(self.core.store.stats)
        return pb.GetServerInfoResponse(
            version=__version__,
            store_engine=self.engine,
            store_epoch=self.core.store.epoch.hex(),
            schema_version=self.schema_version,
            floor_revision=stats.log_floor,
            head_revision=stats.log_head,
            partitions=1,
            start_time=timestamp(self.start_time),
            server_time=timestamp(self.core.now_ms()),
            read_revision=stats.log_head,
        )

    async def get_stats(self, request: pb.GetStatsRequest, _context: Context) -> pb.GetStatsResponse:
        """Return what a live view shows."""
        response = await self.core.run(self._stats, request.include_accounts)
        if current().reach.is_limited:  # streams and cache, like the store, are of all accounts together
            return response
        response.cache.CopyFrom(await self._cache())
        # The streams belong to the event loop, so they are looked at here and not in the thread.
        response.watch.CopyFrom(self._watch(response.event_log.head_revision))
        response.event_log.events_per_second, response.watch.deliveries_per_second = self.rates.per_second()
        return response

    def _stats(self, include_accounts: bool) -> pb.GetStatsResponse:
        stats = self.core.store.stats()
        accounts = self._accounts()
        states = Counter(AccountState.PAUSED if account.paused else account.state for account in accounts)
        response = pb.GetStatsResponse(
            server_time=timestamp(self.core.now_ms()),
            read_revision=stats.log_head,
            accounts_by_state=[
                pb.AccountStateCount(state=account_pb2.AccountState.ValueType(state), count=count)
                for state, count in sorted(states.items())
            ],
            event_log=_event_log(stats),
            store=self._of_all(stats) if not current().reach.is_limited else self._of_some(accounts),
            sync=pb.SyncStats(workers=self.workers()),
        )
        if include_accounts:
            for account in accounts[:MAX_SUMMARIES]:
                self._summarise(account, response)
        return response

    async def _cache(self) -> pb.CacheStats:
        entries, size = await self.reader.cached()
        asked, limit = cache_requests(), self.core.config.content.max_bytes
        return pb.CacheStats(
            entries=entries, size=size, size_limit=limit, hits=asked.hits, misses=asked.misses
        )

    def _accounts(self) -> list[Account]:
        """Return the accounts that the caller may see."""
        found: list[Account] = []
        after, caller = "", current()
        while batch := self.core.store.accounts(after, _PAGE):
            after = batch[-1].id
            found += filter(caller.allows, batch)
        return found

    def _of_some(self, accounts: list[Account]) -> pb.StoreStats:
        """Return what is stored of some accounts; sizes are those of all together, which are not the caller's to know."""
        entries = (entry for account in accounts for entry in self.core.store.folders(account.no))
        return pb.StoreStats(messages=sum(progress.stored for _, progress in entries))

    def _of_all(self, stats: StoreStats) -> pb.StoreStats:
        limit = self.core.config.store.max_bytes
        return pb.StoreStats(
            messages=stats.envelopes, size=stats.bytes_used, soft_limit=limit, full=stats.bytes_used >= limit
        )

    def _summarise(self, account: Account, response: pb.GetStatsResponse) -> None:
        """Add an account's summary, and its running sync run to those that run."""
        mirrored = [entry for entry in self.core.store.folders(account.no) if entry[0].selected]
        looks = [progress for _, progress in mirrored]
        run = next((run for run in self.core.store.runs(account.no) if run.state is RunState.RUNNING), None)
        summary = response.accounts.add(
            name=account.name,
            display_name=account.display_name,
            state=account_pb2.AccountState.ValueType(
                AccountState.PAUSED if account.paused else account.state
            ),
            folders=len(mirrored),
            messages=sum(progress.stored for progress in looks),
            pending=sum(len(progress.pending) for progress in looks),
            as_of=timestamp(min((progress.as_of for progress in looks), default=0)),
            verified_at=timestamp(min((progress.verified_at for progress in looks), default=0)),
        )
        response.store.folders += len(mirrored)
        if run is not None:
            summary.sync_run.CopyFrom(described(run, self.core.now_ms()))
            if len(response.sync.running) < MAX_RUNS:
                response.sync.running.append(summary.sync_run)

    def _watch(self, head: int) -> pb.WatchStats:
        slowest = sorted(self.streams, key=lambda stream: stream.cursor.revision)
        described_streams = [
            pb.WatchStreamStats(
                label=stream.label,
                revision=stream.cursor.revision,
                lag=max(0, head - stream.cursor.revision),
                start_time=timestamp(int(stream.start_time * 1000)),
            )
            for stream in slowest[:MAX_STREAMS]
        ]
        max_lag = described_streams[0].lag if described_streams else 0
        return pb.WatchStats(streams=len(slowest), max_lag=max_lag, slowest=described_streams)


def _event_log(stats: StoreStats) -> pb.EventLogStats:
    if current().reach.is_limited:  # what a watch tells its callers anyway
        return pb.EventLogStats(floor_revision=stats.log_floor, head_revision=stats.log_head)
    return pb.EventLogStats(
        floor_revision=stats.log_floor,
        head_revision=stats.log_head,
        oldest_time=timestamp(stats.log_oldest_time),
        newest_time=timestamp(stats.log_newest_time),
        size=stats.log_bytes,
    )

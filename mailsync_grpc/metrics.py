"""Every metric of the service, in one place.

Names and units follow the conventions of prometheus.io/docs/practices/naming; no label holds an address, a folder, an
account or any other open set. All processes write into one directory (prometheus_client's multiprocess mode, chosen by
PROMETHEUS_MULTIPROC_DIR before this module is imported), and the API process answers /metrics for all of them. What
can be read from the store or from the open streams at scrape time is not kept as a metric but collected then, by
`StoreCollector` and `WatchCollector`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mailsync_grpc.model.intent import IntentKind

# Sync

SYNC_BATCH_SECONDS = Histogram(
    "mailsync_sync_batch_duration_seconds",
    "Time a sync batch spent in a phase (fetch, parse, commit), by mode (incremental, full, backfill).",
    ["mode", "phase"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
SYNC_MESSAGES = Counter(
    "mailsync_sync_messages_total",
    "Messages whose change was stored, by kind (added, backfilled, moved, flags, removed, evicted).",
    ["kind"],
)
SYNC_POLLS = Counter(
    "mailsync_sync_polls_total", "Looks at folders, by result (changed, unchanged, failed).", ["result"]
)
SYNC_ERRORS = Counter(
    "mailsync_sync_errors_total",
    "Syncs of accounts or folders that failed, by reason of the contract.",
    ["reason"],
)
SYNC_BRAKE_LOOKS = Counter(
    "mailsync_sync_brake_looks_total",
    "Looks that missed much of a folder at once, by result (held: nothing removed yet, confirmed, released).",
    ["result"],
)
DETECTION_DELAY = Histogram(
    "mailsync_sync_detection_delay_seconds",
    "Time from a message's arrival at the mail server (INTERNALDATE, whole seconds) to its commit here.",
    buckets=(0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 3600),
)
FOLDER_STALENESS = Gauge(
    "mailsync_folder_staleness_seconds",
    "Time since the last look at the folder that was looked at longest ago, of those that are synced.",
    multiprocess_mode="livemax",
)

# Changes of mail servers

CHANGES = Counter(
    "mailsync_changes_total",
    "Changes of mail servers that callers asked for, by kind and outcome (done, partial: of some messages only, refused,"
    " unsent: refused or out of reach before anything was sent, unknown).",
    ["kind", "outcome"],
)
CHANGE_SECONDS = Histogram(
    "mailsync_change_duration_seconds",
    "Time from a change's commit here to its outcome at the mail server, by kind.",
    ["kind"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)

# Event log

EVENT_LOG_DROPPED = Counter(
    "mailsync_event_log_dropped_total",
    "Events no longer kept, by cause (age, size: the log was larger than it may be).",
    ["cause"],
)

# IMAP

IMAP_COMMANDS = Counter(
    "mailsync_imap_commands_total", "Commands sent to mail servers, by command.", ["command"]
)
IMAP_BYTES = Counter(
    "mailsync_imap_bytes_total",
    "Octets exchanged with mail servers, by direction (sent, received).",
    ["direction"],
)
IMAP_CONNECTIONS = Gauge(
    "mailsync_imap_connections", "Open connections to mail servers.", multiprocess_mode="livesum"
)
IMAP_ERRORS = Counter(
    "mailsync_imap_errors_total",
    "Connections to mail servers that could not be opened, by reason.",
    ["reason"],
)

IMAP_BUDGET_WAITS = Counter(
    "mailsync_imap_budget_waits_total",
    "Times that something waited because a mail server's budget was used up, by use (poll, backfill, content) and"
    " resource (mailbox_connections, host_connections, bytes).",
    ["use", "resource"],
)

# Content

CONTENT_CACHE_REQUESTS = Counter(
    "mailsync_content_cache_requests_total",
    "Content asked of the cache, by result (hit, miss, joined: another caller's fetch was shared).",
    ["result"],
)

CONTENT_BYTES = Counter(
    "mailsync_content_bytes_total", "Octets of content read, by source (cache, server).", ["source"]
)
CONTENT_NOT_CACHED = Counter(
    "mailsync_content_not_cached_total",
    "Content that was streamed and not kept, by reason (disk_full, disk_error, too_large: larger than the cache, short:"
    " the mail server sent less than it had declared).",
    ["reason"],
)
CONTENT_CACHE_EVICTIONS = Counter(
    "mailsync_content_cache_evictions_total",
    "Entries of the cache deleted because a limit was passed, by limit (size: its own, disk).",
    ["limit"],
)
CONTENT_CACHE_EVICTED_BYTES = Counter(
    "mailsync_content_cache_evicted_bytes_total", "Octets deleted because a limit was passed."
)
CONTENT_CACHE_EVICTED_AGE = Histogram(
    "mailsync_content_cache_evicted_age_seconds",
    "Time since their last use of entries deleted because a limit was passed: how long content is kept.",
    buckets=(60, 600, 3_600, 21_600, 86_400, 259_200, 604_800, 2_592_000, 7_776_000),
)

# Watch

WATCH_STREAMS = Gauge("mailsync_watch_streams", "Open event streams.", multiprocess_mode="livesum")
WATCH_SNAPSHOTS = Gauge(
    "mailsync_watch_snapshots", "Snapshots and exports that are being read.", multiprocess_mode="livesum"
)
WATCH_RESETS = Counter(
    "mailsync_watch_resets_total",
    "Streams that began anew with a snapshot because their position could not be served, by reason of the contract.",
    ["reason"],
)
WATCH_DELIVERIES = Counter(
    "mailsync_watch_deliveries_total", "Events written to streams, counted for each stream."
)
WATCH_ENDS = Counter(
    "mailsync_watch_ends_total",
    "Event streams that ended, by end (client, age, draining, slow_consumer, compacted, snapshot_limit,"
    " unauthenticated, failed).",
    ["end"],
)
WATCH_LAG = Histogram(
    "mailsync_watch_delivery_delay_seconds",
    "Time from an event's commit to its being handed to a stream that was waiting for it.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WATCH_RING_MISSES = Counter(
    "mailsync_watch_store_reads_total", "Batches read from the store because the events had left memory."
)

# gRPC, under the names that dashboards for other gRPC servers know

GRPC_STARTED = Counter(
    "grpc_server_started_total", "Calls begun.", ["grpc_type", "grpc_service", "grpc_method"]
)
GRPC_HANDLED = Counter(
    "grpc_server_handled_total", "Calls ended.", ["grpc_type", "grpc_service", "grpc_method", "grpc_code"]
)
GRPC_SECONDS = Histogram(
    "grpc_server_handling_seconds",
    "Time from a call's begin to its end, streams left out.",
    ["grpc_type", "grpc_service", "grpc_method"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

# Processes

WORKER_RESTARTS = Counter(
    "mailsync_worker_restarts_total",
    "Sync workers that were started again, by cause (died, hung).",
    ["cause"],
)


# What alerts ask for the increase of begins at 0: the increase to the first count would not be seen from nothing.
for _counter, _values in (
    (SYNC_BRAKE_LOOKS, ("held", "confirmed", "released")),
    (EVENT_LOG_DROPPED, ("age", "size")),
    (CONTENT_NOT_CACHED, ("disk_full", "disk_error")),
    (WATCH_ENDS, ("slow_consumer",)),
    (WORKER_RESTARTS, ("died", "hung")),
):
    for _value in _values:
        _counter.labels(_value)
for _kind in IntentKind:
    CHANGES.labels(_kind.name.lower(), "unknown")


class StoreReading(NamedTuple):
    """What a scrape asks of the store; times are seconds since 1970, `log_oldest` 0 when no event is kept.

    `accounts` counts accounts by state, in lower case, `changes` those that have not ended; `oldest_change` is when the first of
    them was asked for, 0 when there is none. `log_max_age` is in seconds, `log_max_bytes` in octets.
    """

    bytes_used: int
    bytes_limit: int
    log_bytes: int
    log_floor: int
    log_head: int
    log_oldest: float
    log_max_age: float
    log_max_bytes: int
    envelopes: int
    accounts: Mapping[str, int]
    workers: int
    changes: Mapping[str, int]
    oldest_change: float


class StoreCollector(Collector):
    """Turns a reading of the store into metrics at each scrape."""

    def __init__(self, read: Callable[[], StoreReading], clock: Callable[[], float] = time.time) -> None:
        self._read = read
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Yield the store's metrics as they are now."""
        reading = self._read()
        for name, documentation, value in _gauges(reading, self._clock()):
            yield GaugeMetricFamily(name, documentation, value)
        # Every event takes one revision, so the head counts the events ever appended.
        yield CounterMetricFamily("mailsync_event_log_appended", "Events appended.", reading.log_head)
        accounts = GaugeMetricFamily("mailsync_accounts", "Accounts, by state.", labels=["state"])
        for state, count in reading.accounts.items():
            accounts.add_metric([state], count)
        yield accounts
        changes = GaugeMetricFamily(
            "mailsync_changes_waiting",
            "Changes of mail servers that have not ended, by state (asked, begun: perhaps sent, settled: to be shown).",
            labels=["state"],
        )
        for state, count in reading.changes.items():
            changes.add_metric([state], count)
        yield changes


def _gauges(reading: StoreReading, now: float) -> Iterator[tuple[str, str, float]]:
    """Yield name, help and value of the plain ones."""
    yield "mailsync_store_bytes", "Octets the store takes.", reading.bytes_used
    yield "mailsync_store_limit_bytes", "Octets at which sync stops with STORE_FULL.", reading.bytes_limit
    yield "mailsync_store_envelopes", "Envelopes stored.", reading.envelopes
    yield "mailsync_event_log_bytes", "Octets the kept events take.", reading.log_bytes
    yield "mailsync_event_log_limit_bytes", "Octets of events that are kept at most.", reading.log_max_bytes
    yield "mailsync_event_log_limit_age_seconds", "Age up to which events are kept.", reading.log_max_age
    yield "mailsync_event_log_head_revision", "Revision of the newest event.", reading.log_head
    yield "mailsync_event_log_floor_revision", "Revision before the oldest kept event.", reading.log_floor
    oldest_age = max(0.0, now - reading.log_oldest) if reading.log_oldest else 0.0
    yield "mailsync_event_log_oldest_age_seconds", "Age of the oldest kept event, 0 when none is.", oldest_age
    waiting = max(0.0, now - reading.oldest_change) if reading.oldest_change else 0.0
    yield (
        "mailsync_changes_oldest_age_seconds",
        "Age of the oldest change that has not ended, else 0.",
        waiting,
    )
    yield "mailsync_workers", "Sync worker processes alive.", reading.workers
    help_text = "Share of content requests since the start that the cache answered, 0 before the first."
    yield "mailsync_content_cache_hit_ratio", help_text, _hit_ratio()


class StreamLag(NamedTuple):
    """How many streams bear a label, and how far the slowest of them is behind the log's head."""

    streams: int
    revisions: int
    seconds: float


class WatchReading(NamedTuple):
    """What a scrape asks of the event streams: how many may be open, and their lag by label."""

    max_streams: int
    lags: Mapping[str, StreamLag]


class WatchCollector(Collector):
    """Turns a reading of the open event streams into metrics at each scrape."""

    def __init__(self, read: Callable[[], WatchReading]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of streams as they are now; a label without a stream has no lag."""
        reading = self._read()
        help_text = "Event streams that may be open."
        yield GaugeMetricFamily("mailsync_watch_streams_limit", help_text, reading.max_streams)
        streams = _by_label(
            "mailsync_watch_label_streams", "Open event streams, by the label they were given."
        )
        revisions = _by_label(
            "mailsync_watch_stream_lag_revisions", "Revisions that the slowest stream of a label is behind."
        )
        seconds = _by_label(
            "mailsync_watch_stream_lag_seconds",
            "Age of the oldest event that the slowest stream of a label has not covered, 0 when there is none.",
        )
        for label, lag in reading.lags.items():
            streams.add_metric([label], lag.streams)
            if lag.streams:
                revisions.add_metric([label], lag.revisions)
                seconds.add_metric([label], lag.seconds)
        yield from (streams, revisions, seconds)


class CacheReading(NamedTuple):
    """What a scrape asks of the content cache: entries, their octets, octets it may hold."""

    entries: int
    octets: int
    max_octets: int


class CacheCollector(Collector):
    """Turns a reading of the content cache into metrics at each scrape."""

    def __init__(self, read: Callable[[], CacheReading]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yield the cache's size as it is now."""
        reading = self._read()
        for name, help_text, value in (
            ("mailsync_content_cache_entries", "Entries of the content cache.", reading.entries),
            ("mailsync_content_cache_bytes", "Octets the content cache takes.", reading.octets),
            ("mailsync_content_cache_limit_bytes", "Octets it may take.", reading.max_octets),
        ):
            yield GaugeMetricFamily(name, help_text, value)


def _by_label(name: str, help_text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, labels=["label"])


class CacheRequests(NamedTuple):
    """Requests for content since this process began: answered from the cache, and not."""

    hits: int
    misses: int


def cache_requests() -> CacheRequests:
    """Return what was asked of the cache in this process, which is the only one that serves content."""
    counted = _counted(CONTENT_CACHE_REQUESTS)
    hits = counted.pop(("hit",), 0)
    return CacheRequests(hits, sum(counted.values()))


def deliveries() -> int:
    """Return how many events this process, which is the only one that serves streams, has delivered."""
    return sum(_counted(WATCH_DELIVERIES).values())


def _counted(counter: Counter) -> dict[tuple[str, ...], int]:
    """Return what this process counted, by the values of the counter's labels."""
    return {
        tuple(sample.labels.values()): int(sample.value)
        for metric in counter.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


def _hit_ratio() -> float:
    asked = cache_requests()
    total = asked.hits + asked.misses
    return asked.hits / total if total else 0.0

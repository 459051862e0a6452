"""What /metrics shows: the metrics of all processes, added up from the files they share, and what is collected then."""

import os
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector


def forget_process(pid: int | None) -> None:
    """Drop the gauges of a process that ended; what it counted stays."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


class _ThisProcess(Collector):
    """Hands on what this process alone has counted, where processes do not share a directory."""

    def collect(self) -> Iterator[Metric]:
        """Yield the default registry's metrics."""
        yield from REGISTRY.collect()


def registry(*collectors: Collector) -> CollectorRegistry:
    """Return what /metrics shows: all processes' metrics and what is collected at the scrape."""
    shown = CollectorRegistry()
    for collector in collectors:
        shown.register(collector)
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        MultiProcessCollector(shown)  # type: ignore[no-untyped-call]
    else:
        shown.register(_ThisProcess())
    return shown

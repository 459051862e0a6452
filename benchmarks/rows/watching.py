"""Event streams: what a delivery costs in a burst, how soon an event is there after quiet, and what a stream holds.

Events are committed by the bench itself, beside the service and as a worker would (`writer`), and read by a process of
its own (`watchers`). The burst's reference writes each event singly (`single_writes`); CPU is that of all the service's
processes against that of the reference's one. Delays run from the return of a durable commit, a moment after the
service was given its hint, to the event's being read by a client that has all the streams to read.
"""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import goals
from benchmarks.measure import Usage, memory_of, percentile, ratio
from benchmarks.ours import Ours, ours
from benchmarks.result import Row
from benchmarks.session import Session
from benchmarks.single_writes import SingleWrites, single_writes
from benchmarks.watchers import Watchers, watchers
from benchmarks.writer import Writer, writer
from mailsync_grpc.v1.event_service_pb2 import WatchEventsRequest
from mailsync_grpc.v1.system_service_pb2 import GetStatsRequest
from tests.support.service import Stubs

_STREAMS = 1_000
_BURST = 1_000
_SINGLE_BURST = 20
"""Fewer, since each of them costs so much more."""

_QUIET_STREAMS = 100
_EVENTS, _QUICK_EVENTS = 200, 50
_QUIET = 0.1
"""Seconds without an event before each one."""

_STALLED = 20
_LARGE = 20_000
_MEGABYTES = 32
_SETTLE = 1.0
"""Seconds until the memory of a service that did something is that of one that does nothing."""


def rows(session: Session) -> list[Row]:
    """Measure the burst, the delay after quiet, the memory of idle streams and of stalled readers."""
    session.tell(f"event streams: burst to {_STREAMS:,}")
    with ours(session.place.small) as service, writer(service) as writing:
        before = memory_of(service.pid)
        with watchers(service.service.address, _STREAMS) as readers:
            time.sleep(_SETTLE)
            idle = (memory_of(service.pid) - before) / _STREAMS
            burst = _burst(session, service, writing, readers)
        session.tell(f"event streams: {_QUIET_STREAMS} after quiet")
        delays = _delays(session, service, writing)
    return [
        burst,
        *delays,
        Row(goals.IDLE_STREAM, idle, note=f"{_STREAMS:,} streams, ten to a connection, in the API process"),
        _stalled(session),
    ]


def _burst(session: Session, service: Ours, writing: Writer, readers: Watchers) -> Row:
    with (
        TemporaryDirectory() as directory,
        single_writes(Path(directory)) as single,
        watchers(single.address, _STREAMS) as singly,
    ):
        _write_burst(service, writing, readers)  # the first one makes what later ones find
        many, one = session.rounds(
            lambda: _write_burst(service, writing, readers), lambda: _write_singly(single, writing, singly)
        )
    many_us = [usage.cpu / (_STREAMS * _BURST) * 1e6 for usage in many]
    one_us = [usage.cpu / (_STREAMS * _SINGLE_BURST) * 1e6 for usage in one]
    octets = median(event.ByteSize() for event in writing.events(writing.add(1), 1))
    note = f"new mail, {octets:.0f} octets an event, {_BURST:,} events in one commit; the reference wrote {_SINGLE_BURST}"
    return Row(goals.WATCH, ratio(many_us, one_us), median(many_us), median(one_us), "µs a delivery", note)


def _write_burst(service: Ours, writing: Writer, readers: Watchers) -> Usage:
    watch = service.stopwatch()
    with watch.running():
        readers.covered(writing.add(_BURST))
    return watch.usage


def _write_singly(single: SingleWrites, writing: Writer, readers: Watchers) -> Usage:
    last = writing.add(_SINGLE_BURST)
    events = writing.events(last, _SINGLE_BURST)
    watch = single.stopwatch()
    with watch.running():
        single.write(events)
        readers.covered(last)
    return watch.usage


def _delays(session: Session, service: Ours, writing: Writer) -> list[Row]:
    delays: list[float] = []
    commits: list[float] = []
    with watchers(service.service.address, _QUIET_STREAMS) as readers:
        for _ in range(_QUICK_EVENTS if session.quick else _EVENTS):
            time.sleep(_QUIET)
            begun = time.monotonic()
            revision = writing.add(1)
            committed = time.monotonic()
            commits.append((committed - begun) * 1e3)
            delays += [max(0.0, when - committed) * 1e3 for when in readers.covered(revision)]
    half, most = percentile(delays, 0.5), percentile(delays, 0.99)
    note = f"{len(commits)} events; the commits before took {median(commits):.1f} ms, not included"
    return [
        Row(goals.WATCH_DELAY_HALF, half, half, None, "ms", note),
        Row(goals.WATCH_DELAY, most, most, None, "ms", note),
    ]


def _stalled(session: Session) -> Row:
    """Measure by how much a service grows beside readers that take nothing, after it grew as much as it does beside others."""
    session.tell("event streams: stalled readers")
    with (
        ours(session.place.small, WATCH__STALL_TIMEOUT="3600") as service,
        writer(service) as writing,
        watchers(service.service.address, 1) as reader,
    ):
        _write_large(writing, reader)
        without = _grown(service, writing, reader)
        with Stubs(service.service.address) as stalled:
            calls = [stalled.events.WatchEvents(WatchEventsRequest()) for _ in range(_STALLED)]
            for call in calls:
                next(call)
            grown = _grown(service, writing, reader)
            assert service.stubs.system.GetStats(GetStatsRequest()).watch.streams == _STALLED + 1
    note = f"{_STALLED} readers {_MEGABYTES} MB behind; {without / 1024:.1f} MB without them"
    return Row(goals.STALLED_READER, max(0.0, grown / 1024 / _STALLED), note=note)


def _grown(service: Ours, writing: Writer, reader: Watchers) -> float:
    """Return the kibibytes by which the API process grows while much is written."""
    before = memory_of(service.pid)
    _write_large(writing, reader)
    return memory_of(service.pid) - before


def _write_large(writing: Writer, reader: Watchers) -> None:
    for _ in range(_MEGABYTES):
        reader.covered(writing.add(1_000_000 // _LARGE, _LARGE))
    time.sleep(_SETTLE)

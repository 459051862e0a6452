"""Group commit: one thread writes for the whole process, many jobs to a transaction, one sync to disk for all.

A durable commit costs as much as storing a thousand envelopes, so jobs that wait together are committed together. Each
runs in a transaction nested in the group's, so one that is refused leaves its neighbours alone. Between processes
LMDB's own write lock orders the groups.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import lmdb

from mailsync_grpc.errors import StoreFullError
from mailsync_grpc.store import failpoints, keys
from mailsync_grpc.store.base import Clock
from mailsync_grpc.store.databases import Databases
from mailsync_grpc.store.environment import Environment, translated

T = TypeVar("T")

MAX_JOBS = 64
MAX_OCTETS = 8 << 20
_ROOM_FOR_ANY = 64 << 10
"""Room that the smallest job must find."""
_OVERHEAD = 3
"""Pages are copied and split: a write is counted with this many times its octets against the room left."""


@dataclass(slots=True)
class WriteUnit:
    """What a job works on: its transaction, the log's bounds so far, the time (ms), whether the store is (nearly) full."""

    txn: "lmdb.Transaction[bytes]"
    dbs: Databases
    bounds: keys.LogBounds
    now: int
    is_full: bool

    def get(self, key: bytes, db: "lmdb._Database") -> bytes | None:
        """Return a value."""
        return self.txn.get(key, db=db)

    def put(self, key: bytes, value: bytes, db: "lmdb._Database") -> None:
        """Write a value."""
        self.txn.put(key, value, db=db)

    def delete(self, key: bytes, db: "lmdb._Database") -> None:
        """Delete a row if it is there."""
        self.txn.delete(key, db=db)

    def keys_with(self, prefix: bytes, db: "lmdb._Database") -> Iterator[bytes]:
        """Yield the keys that begin with `prefix`, ascending; nothing may be written meanwhile."""
        with self.txn.cursor(db) as cursor:
            if cursor.set_range(prefix) if prefix else cursor.first():
                for key in cursor.iternext(values=False):
                    if not key.startswith(prefix):
                        return
                    yield key


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """Something to be done in a commit. `octets` is roughly what it adds; `frees` lets it use the reserve."""

    run: Callable[[WriteUnit], T]
    octets: int
    frees: bool
    done: "Future[T]"


class Writer:
    """Commits jobs. `committed` is called, in the writer's thread, after each commit with the log's head."""

    def __init__(self, environment: Environment, clock: Clock, committed: Callable[[int], None]) -> None:
        self._environment = environment
        self._clock = clock
        self._committed = committed
        self._queue: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="mailsync-writer", daemon=True)
        self._thread.start()

    def do(self, run: Callable[[WriteUnit], T], octets: int = 0, *, frees: bool = False) -> T:
        """Run a job in the next commit and return its result once that is durable; raises what the job raises."""
        self._environment.require_own_process()
        job = Job(run, octets, frees, Future())
        with self._closing:
            if self._is_closed:
                raise RuntimeError("the store is closed")
            self._queue.put(job)
        return job.done.result()

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        with self._closing:
            self._is_closed = True
            self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            group, is_last = self._gather(job)
            self._settle(group)
            if is_last:
                return

    def _gather(self, first: Job[Any]) -> tuple[list[Job[Any]], bool]:
        """Return what waits together with `first`, and whether the end was queued behind it."""
        group, octets = [first], first.octets
        while len(group) < MAX_JOBS and octets < MAX_OCTETS:
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return group, True
            group.append(job)
            octets += job.octets
        return group, False

    def _settle(self, group: list[Job[Any]]) -> None:
        """Commit a group and answer each of its jobs; a commit that fails is every job's answer."""
        try:
            outcomes, head = self._commit(group)
        except Exception as error:  # noqa: BLE001 # each caller raises it
            outcomes = [error] * len(group)
        else:
            self._committed(head)
        for job, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Exception):
                job.done.set_exception(outcome)
            else:
                job.done.set_result(outcome)

    def _commit(self, group: list[Job[Any]]) -> tuple[list[Any], int]:
        environment = self._environment
        with translated(environment.path), environment.env.begin(write=True) as txn:
            environment.require_own_term(txn)
            before = keys.LogBounds.unpack(txn.get(keys.LOG_KEY, db=environment.dbs.meta))
            unit = WriteUnit(txn, environment.dbs, before, int(self._clock() * 1_000), is_full=False)
            run = self._run_alone if len(group) == 1 else self._run_nested
            outcomes = run(group, unit, environment.headroom(txn))
            if unit.bounds != before:
                txn.put(keys.LOG_KEY, unit.bounds.pack(), db=environment.dbs.meta)
            failpoints.hit("before_commit")
        failpoints.hit("after_commit")
        return outcomes, unit.bounds.head

    def _run_alone(self, group: list[Job[Any]], unit: WriteUnit, room: int) -> list[Any]:
        # Whatever it raises aborts the whole transaction, which is its own.
        self._admit(group[0], unit, room)
        return [group[0].run(unit)]

    def _run_nested(self, group: list[Job[Any]], unit: WriteUnit, room: int) -> list[Any]:
        outcomes = []
        for job in group:
            failpoints.hit("in_commit")
            outcomes.append(self._run_child(job, unit, room))
            room -= _need(job)
        return outcomes

    def _run_child(self, job: Job[Any], unit: WriteUnit, room: int) -> Any:
        txn, before = unit.txn, unit.bounds
        environment = self._environment
        try:
            self._admit(job, unit, room)
            with translated(environment.path), environment.env.begin(parent=txn, write=True) as unit.txn:
                return job.run(unit)
        except Exception as error:  # noqa: BLE001 # the job's caller raises it
            unit.bounds = before
            return error
        finally:
            unit.txn = txn

    def _admit(self, job: Job[Any], unit: WriteUnit, room: int) -> None:
        unit.is_full = room < self._environment.margin
        if room < _need(job) and not job.frees:
            path = self._environment.path
            raise StoreFullError(f"{path} is at its limit; free disk space or raise store.max_bytes")


def _need(job: Job[Any]) -> int:
    return job.octets * _OVERHEAD + _ROOM_FOR_ANY

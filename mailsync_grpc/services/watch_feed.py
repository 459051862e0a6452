"""The newest events, read from the store once and shared by all streams.

One task follows the log: a thread of its own waits for commits and reads what is new into a bounded ring of records.
Streams hold no queue, only a position; they read from the ring, or from the store when they are further behind than it
reaches. So a stalled reader costs nothing and nobody's slowness is another's.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from mailsync_grpc import metrics
from mailsync_grpc.errors import RevisionCompactedError
from mailsync_grpc.model.changes import EventKind
from mailsync_grpc.model.ids import AccountNo, Revision
from mailsync_grpc.services.account_labels import AccountLabels
from mailsync_grpc.services.core import Core
from mailsync_grpc.store.values import LogRecord

READ_LIMIT: Final = 4_096
READ_BYTES: Final = 4 << 20
_WAIT: Final = 0.1  # seconds; bounds how long the thread outlives the server
_RETRY: Final = 1.0
_KEEP: Final = 0.75  # of the ring's bound, when it is cut, so that it is not cut at every commit

_log = structlog.get_logger(__name__)


class Ring:
    """Consecutive records up to the newest, bounded by the octets of their events."""

    def __init__(self, head: Revision, max_bytes: int) -> None:
        self._base = head  # the revision before the first record
        self._records: list[LogRecord] = []
        self._bytes = 0
        self._max_bytes = max_bytes

    @property
    def head(self) -> Revision:
        """Revision of the newest record that was added."""
        return Revision(self._base + len(self._records))

    def extend(self, records: Sequence[LogRecord]) -> None:
        """Add the records that follow the newest; drop the oldest beyond the bound."""
        self._records += records
        self._bytes += sum(len(record.event) for record in records)
        if self._bytes > self._max_bytes:
            self._shrink()

    def skip_to(self, revision: Revision) -> None:
        """Go on after `revision`, with nothing: what was between is not to be had any more."""
        self._base = revision
        self._records.clear()
        self._bytes = 0

    def after(self, revision: Revision, limit: int) -> list[LogRecord] | None:
        """Return up to `limit` records after `revision`, None when the ring does not reach back that far."""
        start = revision - self._base
        return None if start < 0 else self._records[start : start + limit]

    def erase(self, account: AccountNo) -> None:
        """Forget the payloads of a deleted account, all but the event that says so."""
        for index, record in enumerate(self._records):
            if record.account == account and record.kind is not EventKind.ACCOUNT_REMOVED:
                self._bytes -= len(record.event)
                self._records[index] = record._replace(event=b"")

    def _shrink(self) -> None:
        drop = 0
        while self._bytes > self._max_bytes * _KEEP and drop < len(self._records):
            self._bytes -= len(self._records[drop].event)
            drop += 1
        del self._records[:drop]
        self._base = Revision(self._base + drop)


class Feed:
    """The ring, the task that fills it, and the signal that something changed.

    `labels` are those of all accounts as of the newest record.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._ring = Ring(core.head(), core.config.watch.ring_bytes)
        self._changed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "tail")
        self._task: asyncio.Task[None] | None = None
        self.labels = AccountLabels(core.store)
        self.draining = False
        self.erasures = 0
        """How often payloads were erased; what was made of them before is not to be sent."""

    @property
    def head(self) -> Revision:
        """Revision up to which streams can be served."""
        return self._ring.head

    def start(self) -> None:
        """Begin to follow the log."""
        self._task = asyncio.create_task(self._follow(), name="tail")

    def drain(self) -> None:
        """Tell every stream that the server stops."""
        self.draining = True
        self.wake()

    async def close(self) -> None:
        """Stop following; returns when the thread is done with the store."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)

    async def read(self, after: Revision) -> list[LogRecord]:
        """Return records after a revision, none at the head.

        Raises RevisionCompactedError when they are no longer kept.
        """
        records = self._ring.after(after, READ_LIMIT)
        if records is not None:
            return records
        metrics.WATCH_RING_MISSES.inc()
        return (await self._core.run(self._core.store.log, after, READ_LIMIT, READ_BYTES)).records

    async def wait(self, seconds: float) -> None:
        """Return when the head moved, the server began to stop, or the time is over."""
        changed = self._changed
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return

    def wake(self) -> None:
        """Let every stream look at what it waits for."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _follow(self) -> None:
        while True:
            try:
                await self._go_on()
            except Exception as error:  # noqa: BLE001 - streams live on this task; it outlives a failing store
                _log.error("event log cannot be read", error=str(error))
                await asyncio.sleep(_RETRY)

    async def _go_on(self) -> None:
        try:
            records = await asyncio.get_running_loop().run_in_executor(self._thread, self._next)
        except RevisionCompactedError as error:
            await self._skip_to(Revision(error.floor))
            return
        if records:
            self._add(records)

    def _next(self) -> list[LogRecord]:
        head = self._ring.head
        if self._core.store.wait_for_commit(head, _WAIT) <= head:
            return []
        return self._core.store.log(head, READ_LIMIT, READ_BYTES).records

    async def _skip_to(self, floor: Revision) -> None:
        """Go on where the log begins: it was cut before it was read, as in a store that is full or was long not seen."""
        await self._core.run(self.labels.load_again)  # first: where it fails, all of this is done again
        self._ring.skip_to(floor)
        self.erasures += 1
        self.wake()

    def _add(self, records: list[LogRecord]) -> None:
        self._ring.extend(records)
        for record in records:
            self.labels.note(record)
            if record.kind is EventKind.ACCOUNT_REMOVED:
                self._ring.erase(record.account)
                self.erasures += 1
        self.wake()

"""The life of a sync run, as pure steps: which one is next, what it counts, how it ends, what a cancelled one leaves.

A run that is cancelled takes its work with it: history it had not fetched stays unfetched, and what it was to compare
stays uncompared, until the next full sync would be due or someone asks for one. New mail is no run's work.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.run import RunState, SyncRun

RATED_BATCHES = 8
"""Batches whose messages and time make a run's rate."""


@dataclass(slots=True)
class ActiveRun:
    """The run an account works on: its record as last written, and what this process has done for it.

    `remaining` counts the pending messages of each folder it covers; a folder is done when it was compared and
    nothing of it is pending. `batches` are the times (ms) and counts after the latest batches, by which it is rated.
    """

    record: SyncRun
    compared: set[FolderNo] = field(default_factory=set)
    failed: dict[FolderNo, MailsyncError] = field(default_factory=dict)
    remaining: dict[FolderNo, int] = field(default_factory=dict)
    batches: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=RATED_BATCHES + 1))

    def covers(self, folder: Folder) -> bool:
        """Whether the run is about this folder."""
        return not self.record.folders or folder.id in self.record.folders

    def wants(self, folder: Folder) -> bool:
        """Whether the folder is still to be looked at for this run."""
        return self.covers(folder) and folder.no not in self.compared and folder.no not in self.failed

    def done(self, folders: Iterable[Folder]) -> bool:
        """Whether nothing is left to do in `folders`, or the run is to be cancelled."""
        if self.record.cancel_requested:
            return True
        return not any(self.wants(folder) or self.remaining.get(folder.no) for folder in folders)

    def advanced(self, folder: Folder, stored: int, pending: int, now_ms: int) -> SyncRun:
        """Return the record after `stored` more messages of `folder`, of which `pending` are left."""
        self.remaining[folder.no] = pending
        run = self._counted(self.record.messages_done + stored)
        return replace(run, rate=self._rated(run, now_ms)) if stored else run

    def _rated(self, run: SyncRun, now_ms: int) -> float:
        """Return messages per second over the latest batches; a clock that was set back begins anew."""
        if not self.batches and not self.record.messages_done:
            self.batches.append((run.start_time, 0))
        if self.batches and now_ms < self.batches[-1][0]:
            self.batches.clear()
        self.batches.append((now_ms, run.messages_done))
        (first_ms, first), (last_ms, last) = self.batches[0], self.batches[-1]
        return (last - first) * 1_000 / (last_ms - first_ms) if last_ms > first_ms else run.rate

    def ended(self, failures: Sequence[MailsyncError], now_ms: int) -> SyncRun:
        """Return the record at its end: CANCELLED when asked for, FAILED with the first failure, else SUCCEEDED.

        Its rate then is that of the whole run.
        """
        run = replace(self._counted(self.record.messages_done), end_time=now_ms)
        if run.start_time and now_ms > run.start_time:
            run = replace(run, rate=run.messages_done * 1_000 / (now_ms - run.start_time))
        if run.cancel_requested:
            return replace(run, state=RunState.CANCELLED)
        if failures:
            fault = failures[0]
            return replace(run, state=RunState.FAILED, error_reason=fault.reason, error_message=str(fault))
        return replace(run, state=RunState.SUCCEEDED)

    def _counted(self, done: int) -> SyncRun:
        return replace(
            self.record,
            version=self.record.version + 1,
            messages_done=done,
            messages_total=done + sum(self.remaining.values()),
            folders_done=sum(1 for folder in self.compared if not self.remaining.get(folder)),
        )


def next_run(runs: Iterable[SyncRun]) -> SyncRun | None:
    """Return the run to work on: one that a dead process left running, else the oldest pending one."""
    open_runs = [run for run in runs if not run.state.ended]
    return min(open_runs, key=lambda run: (run.state is not RunState.RUNNING, run.no), default=None)


def started(run: SyncRun, folders: int, now_ms: int) -> SyncRun:
    """Return the run as running over `folders` folders; a run that was already running keeps its start."""
    return replace(
        run,
        version=run.version + 1,
        state=RunState.RUNNING,
        start_time=run.start_time or now_ms,
        folders_total=folders,
    )


def held(runs: Iterable[SyncRun], folder: Folder, interval_ms: float, now_ms: int) -> bool:
    """Whether the last run that worked on `folder` was cancelled within the interval of full syncs."""
    about = [run for run in runs if ActiveRun(run).covers(folder) and (run.start_time or not run.state.ended)]
    last = max(about, key=lambda run: run.no, default=None)
    return last is not None and last.state is RunState.CANCELLED and now_ms - last.end_time < interval_ms

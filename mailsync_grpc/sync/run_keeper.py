"""Keeping an account's sync runs in step with its turns: `runs` decides, this reads and commits.

One run is active at a time. It is taken from the store (a run that a dead process left running first, else the oldest
pending one) or started here when a full comparison is due, and ends when every folder it covers was compared and has
nothing pending, was failed, or the run was cancelled.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.changes import SyncRunChanged
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.model.run import RunKind, SyncRun
from mailsync_grpc.store.base import Batch, Counter, Store
from mailsync_grpc.sync import runs
from mailsync_grpc.sync.runs import ActiveRun

Due = Callable[[Folder, FolderProgress], bool]
"""Whether a folder is due for its full comparison."""


@dataclass(slots=True)
class RunKeeper:
    """The active run of one account and the next one waiting. `now` returns milliseconds since 1970."""

    store: Store
    account: AccountKey
    now: Callable[[], int]
    active: ActiveRun | None = None
    next: SyncRun | None = None
    known: dict[int, SyncRun] = field(default_factory=dict)

    @property
    def waiting(self) -> bool:
        """Whether a run waits to be started."""
        return self.active is None and self.next is not None

    @property
    def requested(self) -> bool:
        """Whether someone asked for the run that waits."""
        return self.active is None and self.next is not None and self.next.kind is RunKind.REQUESTED

    @property
    def full(self) -> bool:
        """Whether the active run compares whole folders."""
        return self.active is not None and self.active.record.full

    @property
    def cancelled(self) -> bool:
        """Whether the active run is to be given up."""
        return self.active is not None and self.active.record.cancel_requested

    def refresh(self) -> None:
        """Read what API calls changed: new runs, a cancellation of the active one, which may be kept no more."""
        kept = {run.no: run for run in self.store.runs(self.account.no)}
        self.known = dict(kept)
        if self.active is not None:
            record = kept.pop(self.active.record.no, None)
            if record is None:
                self.active = None
            else:
                self.active.record = record
        self.next = runs.next_run(kept.values())

    def begin(self, folders: list[tuple[Folder, FolderProgress]], due: Due) -> None:
        """Start the waiting run, or a scheduled one when a folder that was looked at is due to be compared whole."""
        if self.active is not None:
            return
        if self.next is None and self._full_due(folders, due):
            number = self.store.allocate(Counter.SYNC_RUN)
            self.next = SyncRun(self.account, number, 0, RunKind.SCHEDULED, create_time=self.now())
        if self.next is not None:
            covered = sum(1 for folder, _ in folders if ActiveRun(self.next).covers(folder))
            self.active = ActiveRun(self._tell(runs.started(self.next, covered, self.now())))
            self.next = None

    def _full_due(self, folders: list[tuple[Folder, FolderProgress]], due: Due) -> bool:
        # A folder that fails catches up by itself; it would only fail one run after the other.
        return any(
            progress.expected_exists is not None and not folder.error_reason and due(folder, progress)
            for folder, progress in folders
        )

    def held(self, folder: Folder, interval: float) -> bool:
        """Whether the folder's history and full comparison wait because their run was cancelled; seconds."""
        return runs.held(self.known.values(), folder, interval * 1_000, self.now())

    def wants(self, folder: Folder) -> bool:
        """Whether the active run still has to look at the folder."""
        return self.active is not None and self.active.wants(folder)

    def covering(self, folder: Folder) -> ActiveRun | None:
        """Return the active run when it is about the folder."""
        return self.active if self.active is not None and self.active.covers(folder) else None

    def compared(self, folder: Folder, pending: int) -> None:
        """Note that the folder was looked at with `pending` messages to fetch."""
        if self.wants(folder) and self.active is not None:
            self.active.compared.add(folder.no)
            self.active.remaining[folder.no] = pending

    def failed(self, folder: Folder, error: MailsyncError) -> None:
        """Note that the folder's error ends its part of the run."""
        if self.active is not None and self.active.covers(folder):
            self.active.failed[folder.no] = error
            self.active.remaining.pop(folder.no, None)

    def fail(self, error: MailsyncError) -> None:
        """End a requested run that the account's failure stopped; others wait until the server is back."""
        if self.active is not None and self.active.record.kind is RunKind.REQUESTED:
            self._end([error])
        elif self.next is not None and self.next.kind is RunKind.REQUESTED:
            self.active, self.next = ActiveRun(self.next), None
            self._end([error])

    def settle(self, folders: list[Folder]) -> None:
        """End the active run when nothing of it is left, and take up the next one."""
        if self.active is not None and self.active.done(folders):
            self._end(list(self.active.failed.values()))
            self.refresh()

    def _end(self, failures: list[MailsyncError]) -> None:
        assert self.active is not None
        self._tell(self.active.ended(failures, self.now()))
        self.active = None

    def _tell(self, run: SyncRun) -> SyncRun:
        self.store.apply(Batch(self.account, (SyncRunChanged(run),)))
        self.known[run.no] = run
        return run

"""One turn's work over one connection: list folders, look at what is due, fetch what is pending, settle the run.

A folder's own failures end here: the folder is marked and backs off, and never blocks the others. What concerns the
whole account (the connection, the credentials, the store) is raised.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import structlog

from mailsync_grpc import metrics
from mailsync_grpc.errors import (
    FolderNotSelectableError,
    ImapError,
    ImapProtocolError,
    ImapRefusedError,
    MailsyncError,
    UnsafeArgumentError,
)
from mailsync_grpc.imap.budget import Use
from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import FolderChanged, FolderChangeKind
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.store.base import Batch
from mailsync_grpc.sync import glance, plan, retry
from mailsync_grpc.sync.backfill import Backfill
from mailsync_grpc.sync.commit import Committer, RenumberedError
from mailsync_grpc.sync.environment import Environment
from mailsync_grpc.sync.folder import FolderSync
from mailsync_grpc.sync.folders import FolderTree, marked
from mailsync_grpc.sync.notes import FolderNotes, Verified
from mailsync_grpc.sync.refetch import Refetch, look_for_repairs
from mailsync_grpc.sync.repair import untried
from mailsync_grpc.sync.run_keeper import RunKeeper
from mailsync_grpc.sync.scheduler import Lane
from mailsync_grpc.sync.window_keeper import WindowKeeper

BACKFILL_SLICE = 5.0
"""Seconds of backfill in one turn."""
EVICTION_INTERVAL = 3_600.0
"""Seconds a message may stay after a sliding window has left it behind."""
FOLDERS_OWN = (ImapRefusedError, ImapProtocolError, FolderNotSelectableError, UnsafeArgumentError)
"""Failures that concern one folder and not its account."""

log = structlog.get_logger()


class ElsewhereError(MailsyncError):
    """A folder's name is gone or holds another mailbox: list the folders, which shows renames, and visit again."""


Selected = tuple[Folder, FolderProgress]


@dataclass(slots=True)
class Visit:
    """A turn's work. `notes`, `as_of` and `tree` are the account's and outlive it; the next poll is due at `next_poll`.

    `relisted` tells that the folders were listed anew because of what a visit before met in this turn.
    """

    env: Environment
    account: Account
    connection: Connection
    keeper: RunKeeper
    notes: dict[MirrorNo, FolderNotes]
    as_of: dict[FolderNo, int]
    tree: FolderTree
    next_poll: float
    lane: Lane
    relisted: bool = False

    def run(self, due: bool) -> bool:
        """Look at the folders, all of them when `due`, and fetch what is pending; True when some of it is left.

        Raises ElsewhereError, once a turn, for a folder that may have another name now.
        """
        folders = self._selected()
        self._forget_others(folders)
        self.keeper.begin(folders, self._full_due)
        unchanged = self._glance(folders) if due else frozenset()
        for folder, progress in folders:
            if folder.no not in unchanged and self._wanted(folder, progress, due):
                self._look_at(folder, progress)
        self._evict_expired()
        more = self._backfill() and self.connection.lease.allows(Use.BACKFILL)
        self.keeper.settle([folder for folder, _ in self._selected()])
        return more or self.keeper.waiting

    def _selected(self) -> list[Selected]:
        stored = {
            folder.no: (folder, progress) for folder, progress in self.env.store.folders(self.account.no)
        }
        there = (f for f, _ in stored.values() if f.selected and f.no not in self.tree.missing)
        return [stored[folder.no] for folder in plan.order(there)]

    def _forget_others(self, folders: Iterable[Selected]) -> None:
        selected = {folder.mirror: folder.no for folder, _ in folders}
        for mirror in self.notes.keys() - selected.keys():
            del self.notes[mirror]
        for no in self.as_of.keys() - set(selected.values()):
            del self.as_of[no]

    def _notes(self, folder: Folder) -> FolderNotes:
        return self.notes.setdefault(folder.mirror, FolderNotes())

    # Looks

    def _glance(self, folders: Iterable[Selected]) -> frozenset[FolderNo]:
        """Ask for the counters of all quiet folders at once; return the folders that are as they were."""
        if not self.connection.condstore:
            return frozenset()
        quiet = [pair for pair in folders if self._quiet(*pair)]
        statuses = self.connection.status([folder.raw_name for folder, _ in quiet])
        unchanged = frozenset(
            folder.no
            for (folder, progress), status in zip(quiet, statuses, strict=True)
            if glance.unchanged(folder, progress, status)
        )
        metrics.SYNC_POLLS.labels(result="unchanged").inc(len(unchanged))
        self.as_of.update(dict.fromkeys(unchanged, self.env.now()))
        return unchanged

    def _quiet(self, folder: Folder, progress: FolderProgress) -> bool:
        wanted = (
            self.keeper.wants(folder)
            or self._notes(folder).suspicion
            or untried(progress, self.account.settings)
            or self._full_due(folder, progress)
        )
        return not wanted and glance.worthwhile(folder, progress)

    def _wanted(self, folder: Folder, progress: FolderProgress, due: bool) -> bool:
        if self.keeper.wants(folder):
            return True
        notes, now = self._notes(folder), self.env.clock()
        own = notes.look_due is not None and notes.look_due <= now
        return not notes.backoff.waits(now) and (due or own or progress.expected_exists is None)

    def _look_at(self, folder: Folder, progress: FolderProgress) -> None:
        state = self._committer(folder, progress)
        notes = self._notes(folder)
        try:
            self._look(state, folder, progress)
        except RenumberedError as error:
            self._seek(folder, error)
            notes.backoff.until = self.next_poll
        except FOLDERS_OWN as error:
            if isinstance(error, ImapRefusedError) and not folder.error_reason:
                self._seek(folder, error)
            self._folder_failed(state.folder, error)
        else:
            metrics.SYNC_POLLS.labels(result="changed" if state.changed else "unchanged").inc()
            self.as_of[folder.no] = state.progress.as_of
            notes.backoff.clear()
            self._mark(state.folder, "", "")
            self.keeper.compared(folder, len(state.progress.pending))

    def _look(self, state: Committer, folder: Folder, progress: FolderProgress) -> None:
        notes = self._notes(folder)
        asked = self.keeper.wants(folder) and self.keeper.full
        full = notes.suspicion is not None or asked or self._full_due(folder, progress)
        taken = FolderSync(state, partial(self.tree.vouches, folder, self.relisted)).look(full)
        look_for_repairs(state, whole=taken is plan.Look.WHOLE)
        if state.progress.verified_at != progress.verified_at:
            notes.verified = Verified(state.progress.verified_at, self.env.clock())

    def _full_due(self, folder: Folder, progress: FolderProgress) -> bool:
        """By the monotonic clock where this process knows: setting the machine's clock makes nothing due."""
        if plan.window_changed(progress, self.account.settings):
            return True
        notes, now = self._notes(folder), self.env.clock()
        if notes.verified is None or notes.verified.stored != progress.verified_at:
            age = plan.verified_age(progress.verified_at, self.env.now())
            notes.verified = Verified(progress.verified_at, now - age)
        if not plan.full_due(progress, now - notes.verified.at, self.account.settings):
            return False
        return not self.keeper.held(folder, self.account.settings.full_interval)

    def _seek(self, folder: Folder, error: MailsyncError) -> None:
        if not self.relisted:
            raise ElsewhereError(f"{folder.name} may have another name now") from error

    def _folder_failed(self, folder: Folder, error: MailsyncError) -> None:
        metrics.SYNC_POLLS.labels(result="failed").inc()
        metrics.SYNC_ERRORS.labels(reason=error.reason).inc()
        log.warning("folder_failed", folder=folder.name, reason=error.reason, detail=str(error))
        self._notes(folder).backoff.fail(self.env.clock(), retry.network_delay, self.env.draw)
        self.keeper.failed(folder, error)
        self._mark(folder, error.reason, str(error))
        if self.connection.closed:
            # The next folder gets a new connection in the next turn, behind the account's own back-off.
            raise error if isinstance(error, ImapError) else ImapProtocolError(str(error))

    def _mark(self, folder: Folder, reason: str, message: str) -> None:
        changed = marked(folder, reason, message)
        if changed is not None:
            self.env.store.apply(Batch(folder.account, (FolderChanged(changed, FolderChangeKind.STATE),)))

    def _evict_expired(self) -> None:
        """Evict what a sliding window has left behind, hourly, whether a folder was looked at or not."""
        if not self.account.settings.window.slides:
            return
        for folder, progress in self._selected():
            notes, now = self._notes(folder), self.env.clock()
            if (
                now >= notes.evict_at
                and progress.expected_exists is not None
                and not notes.backoff.waits(now)
            ):
                notes.evict_at = now + EVICTION_INTERVAL
                self._evict_from(folder, progress)

    def _evict_from(self, folder: Folder, progress: FolderProgress) -> None:
        state = self._committer(folder, progress)
        try:
            if state.minimal:
                state.reopen()  # to be searched
            WindowKeeper(state).evict_older()
        except RenumberedError:
            self._notes(folder).backoff.until = self.next_poll
        except FOLDERS_OWN as error:
            self._folder_failed(state.folder, error)

    # Pending messages

    def _backfill(self) -> bool:
        """Fetch pending messages for one slice, folder by folder; True when some are left."""
        # A poll takes one batch with it, so that a new account shows its newest mail at once, and no whole slice.
        room = BACKFILL_SLICE if self.lane is Lane.BACKFILL else 0.0
        end = min(self.env.clock() + room, self.next_poll)
        left = False

        def more() -> bool:
            return (
                self.env.clock() < end
                and not self.keeper.cancelled
                and not self.env.stopping()
                and self.connection.lease.allows(Use.BACKFILL)
            )

        for folder, progress in self._selected():
            notes, history = self._notes(folder), self._history_wanted(folder, progress)
            waiting = progress.pending if history else progress.arriving
            repair = notes.repair if self.connection.lease.allows(Use.BACKFILL) else None
            if not (waiting or repair) or notes.suspicion or notes.backoff.waits(self.env.clock()):
                continue
            if left and not more():
                break
            state = self._committer(folder, progress)
            try:
                if waiting:
                    Backfill(state, notes.batching, notes.report_batching, history).run(more)
                    WindowKeeper(state).balance()  # what was gone made room
                if repair:
                    Refetch(state, repair).run(more)
            except RenumberedError:
                notes.backoff.until = self.next_poll
                continue
            except FOLDERS_OWN as error:
                self._folder_failed(state.folder, error)
            pending = state.progress.pending if history else state.progress.arriving
            left = left or bool(pending or notes.repair)
        return left

    def _history_wanted(self, folder: Folder, progress: FolderProgress) -> bool:
        """Whether old messages may be fetched: not when their run was cancelled or the server's budget is for polls."""
        return bool(progress.pending) and not (
            self.keeper.held(folder, self.account.settings.full_interval)
            or not self.connection.lease.allows(Use.BACKFILL)
        )

    def _committer(self, folder: Folder, progress: FolderProgress) -> Committer:
        run = self.keeper.covering(folder)
        return Committer(
            self.env.store,
            self.connection,
            self.account,
            folder,
            progress,
            self._notes(folder),
            self.env.clock,
            self.env.now,
            self.env.random,
            run,
        )

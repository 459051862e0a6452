"""One turn's work over one connection: look at what is due, fetch what is pending (`fetching`), settle the run.

A look that shows what may be one half of a move (see `moves`) makes the other folders due at once. A folder's own
failures end here: the folder is marked and backs off, and never blocks the others, which are decided without it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from mailsync_grpc import metrics
from mailsync_grpc.errors import (
    ImapRefusedError,
    MailsyncError,
)
from mailsync_grpc.imap.budget import Use
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.sync import glance, moves, plan
from mailsync_grpc.sync.causes import touched_in
from mailsync_grpc.sync.commit import Committer, RenumberedError
from mailsync_grpc.sync.fetching import Fetching
from mailsync_grpc.sync.folder import FolderSync
from mailsync_grpc.sync.notes import Verified
from mailsync_grpc.sync.refetch import look_for_repairs
from mailsync_grpc.sync.repair import untried
from mailsync_grpc.sync.turn import FOLDERS_OWN, Selected, Turn
from mailsync_grpc.sync.window_keeper import WindowKeeper

EVICTION_INTERVAL = 3_600.0
"""Seconds a message may stay after a sliding window has left it behind."""


class ElsewhereError(MailsyncError):
    """A folder's name is gone or holds another mailbox: list the folders, which shows renames, and visit again."""


@dataclass(slots=True)
class Visit:
    """The visit that a turn makes.

    `relisted` tells that the folders were listed anew because of what a visit before met in this turn.
    """

    turn: Turn
    relisted: bool = False

    def through(self, due: bool) -> bool:
        """As `run`, listing the folders anew once where one may have another name now."""
        try:
            return self.run(due)
        except ElsewhereError:
            self.turn.tree.refresh(self.turn.connection)
            return replace(self, relisted=True).run(due)

    def run(self, due: bool) -> bool:
        """Look at the folders, all of them when `due`, and fetch what is pending; True when some of it is left.

        Raises ElsewhereError, once a turn, for a folder that may have another name now.
        """
        folders = self.turn.selected()
        self._forget_others(folders)
        self._resume_moves(folders)
        self.turn.keeper.begin(folders, self._full_due)
        unchanged = self._glance(folders) if due else frozenset()
        for folder, progress in folders:
            if folder.no not in unchanged and self._wanted(folder, progress, due):
                self._look_at(folder, progress)
        self._look_for_other_halves()
        self._evict_expired()
        more = Fetching(self.turn).run() and self.turn.connection.lease.allows(Use.BACKFILL)
        self.turn.keeper.settle([folder for folder, _ in self.turn.selected()])
        return more or self.turn.keeper.waiting

    def _forget_others(self, folders: Iterable[Selected]) -> None:
        selected = {folder.mirror: folder.no for folder, _ in folders}
        for mirror in self.turn.notes.keys() - selected.keys():
            del self.turn.notes[mirror]
        for no in self.turn.as_of.keys() - set(selected.values()):
            del self.turn.as_of[no]

    # Looks

    def _glance(self, folders: Iterable[Selected]) -> frozenset[FolderNo]:
        """Ask for the counters of all quiet folders at once; return the folders that are as they were."""
        if not self.turn.connection.condstore:
            return frozenset()
        quiet = [pair for pair in folders if self._quiet(*pair)]
        statuses = self.turn.connection.status([folder.raw_name for folder, _ in quiet])
        unchanged = frozenset(
            folder.no
            for (folder, progress), status in zip(quiet, statuses, strict=True)
            if glance.unchanged(folder, progress, status)
        )
        metrics.SYNC_POLLS.labels(result="unchanged").inc(len(unchanged))
        self.turn.as_of.update(dict.fromkeys(unchanged, self.turn.env.now()))
        return unchanged

    def _quiet(self, folder: Folder, progress: FolderProgress) -> bool:
        wanted = (
            self.turn.keeper.wants(folder)
            or self.turn.touched(folder)
            or self.turn.notes_of(folder).suspicion
            or untried(progress, self.turn.account.settings)
            or self._full_due(folder, progress)
        )
        return not wanted and glance.worthwhile(folder, progress)

    def _wanted(self, folder: Folder, progress: FolderProgress, due: bool) -> bool:
        if self.turn.keeper.wants(folder) or self.turn.touched(folder):
            return True
        notes, now = self.turn.notes_of(folder), self.turn.env.clock()
        own = notes.look_due is not None and notes.look_due <= now
        return not notes.backoff.waits(now) and (due or own or progress.expected_exists is None)

    def _look_at(self, folder: Folder, progress: FolderProgress) -> None:
        state = self.turn.committer(folder, progress)
        notes = self.turn.notes_of(folder)
        try:
            self._look(state, folder, progress)
        except RenumberedError as error:
            self._seek(folder, error)
            notes.backoff.until = self.turn.next_poll
        except FOLDERS_OWN as error:
            if isinstance(error, ImapRefusedError) and not folder.error_reason:
                self._seek(folder, error)
            self.turn.folder_failed(state.folder, error)
        else:
            changed = state.changed or moves.opens(progress, state.progress)
            metrics.SYNC_POLLS.labels(result="changed" if changed else "unchanged").inc()
            self.turn.transit.note_look(folder.no)
            self.turn.as_of[folder.no] = state.progress.as_of
            notes.backoff.clear()
            self.turn.mark(state.folder, "", "")
            self.turn.keeper.compared(folder, len(state.progress.pending))
        finally:
            if moves.opens(progress, state.progress):
                self.turn.transit.open(folder.no)

    def _look(self, state: Committer, folder: Folder, progress: FolderProgress) -> None:
        notes = self.turn.notes_of(folder)
        asked = self.turn.keeper.wants(folder) and self.turn.keeper.full
        full = notes.suspicion is not None or asked or self._full_due(folder, progress)
        sync = FolderSync(state, partial(self.turn.tree.vouches, folder, self.relisted))
        taken = sync.look(full, touched_in(folder.no, self.turn.settled))
        look_for_repairs(state, whole=taken is plan.Look.WHOLE)
        if state.progress.verified_at != progress.verified_at:
            notes.verified = Verified(state.progress.verified_at, self.turn.env.clock())

    def _full_due(self, folder: Folder, progress: FolderProgress) -> bool:
        """By the monotonic clock where this process knows: setting the machine's clock makes nothing due."""
        if plan.window_changed(progress, self.turn.account.settings):
            return True
        notes, now = self.turn.notes_of(folder), self.turn.env.clock()
        if notes.verified is None or notes.verified.stored != progress.verified_at:
            age = plan.verified_age(progress.verified_at, self.turn.env.now())
            notes.verified = Verified(progress.verified_at, now - age)
        if not plan.full_due(progress, now - notes.verified.at, self.turn.account.settings):
            return False
        return not self.turn.keeper.held(folder, self.turn.account.settings.full_interval)

    def _seek(self, folder: Folder, error: MailsyncError) -> None:
        if not self.relisted:
            raise ElsewhereError(f"{folder.name} may have another name now") from error

    # Moves

    def _resume_moves(self, folders: Iterable[Selected]) -> None:
        self.turn.transit.folders = frozenset(folder.no for folder, _ in folders)
        for folder, progress in folders:
            if progress.leaving or (progress.arriving and not self.turn.waits(folder)):
                self.turn.transit.resume(folder.no)

    def _look_for_other_halves(self) -> None:
        """Look at the folders that were last looked at before a half of a move was seen elsewhere."""
        for _ in range(moves.ROUNDS):
            due = self._due_for_moves() if self.turn.transit.opened else []
            if not due:
                return
            for folder, progress in due:
                self._look_at(folder, progress)

    def _due_for_moves(self) -> list[Selected]:
        """Return what can be looked at; what backs off is decided without, what the brake holds is looked at in time."""
        turn = self.turn
        return [
            (folder, progress)
            for folder, progress in turn.selected()
            if turn.transit.due(folder.no) and not (turn.waits(folder) or turn.notes_of(folder).suspicion)
        ]

    # Windows

    def _evict_expired(self) -> None:
        """Evict what a sliding window has left behind, hourly, whether a folder was looked at or not."""
        if not self.turn.account.settings.window.slides:
            return
        for folder, progress in self.turn.selected():
            notes, now = self.turn.notes_of(folder), self.turn.env.clock()
            if (
                now >= notes.evict_at
                and progress.expected_exists is not None
                and not notes.backoff.waits(now)
            ):
                notes.evict_at = now + EVICTION_INTERVAL
                self._evict_from(folder, progress)

    def _evict_from(self, folder: Folder, progress: FolderProgress) -> None:
        state = self.turn.committer(folder, progress)
        try:
            if state.minimal:
                state.reopen()  # to be searched
            WindowKeeper(state).evict_older()
        except RenumberedError:
            self.turn.notes_of(folder).backoff.until = self.turn.next_poll
        except FOLDERS_OWN as error:
            self.turn.folder_failed(state.folder, error)

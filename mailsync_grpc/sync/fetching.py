"""One turn's share of fetching what is pending: new mail first, then what left is settled, then history and repairs.

Moves wait for the new mail among the pending (see `moves`), so it goes before any history. When all of it is told as
moved or as new, what left and was found nowhere is told as removed. Nothing is decided while the brake doubts that a
folder's missing messages are gone, for they may be what arrived elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from mailsync_grpc.imap.budget import Use
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.sync.backfill import Backfill
from mailsync_grpc.sync.commit import Committer, RenumberedError
from mailsync_grpc.sync.refetch import Refetch
from mailsync_grpc.sync.removals import Removals
from mailsync_grpc.sync.scheduler import Lane
from mailsync_grpc.sync.turn import FOLDERS_OWN, Turn
from mailsync_grpc.sync.window_keeper import WindowKeeper

BACKFILL_SLICE = 5.0
"""Seconds of backfill in one turn."""


@dataclass(slots=True)
class Fetching:
    """Fetching until `end` (monotonic seconds), at least one batch of each kind."""

    turn: Turn
    end: float = field(init=False)

    def __post_init__(self) -> None:
        """A poll takes one batch with it, so that a new account shows its newest mail at once, and no whole slice."""
        # With changes to be shown their caller waits for what they brought.
        patient = self.turn.lane is Lane.BACKFILL or self.turn.settled
        room = BACKFILL_SLICE if patient else 0.0
        self.end = min(self.turn.env.clock() + room, self.turn.next_poll)

    def run(self) -> bool:
        """Fetch what is pending, folder by folder; True when some is left."""
        turn = self.turn
        folders = [
            folder for folder, progress in turn.selected() if progress.pending or turn.notes_of(folder).repair
        ]
        if not self._brake_holds():
            if self._each(folders, self._fetch_new_mail):
                return True
            self._close_moves()
        return self._each(folders, self._fetch_old_mail)

    def _more(self) -> bool:
        turn = self.turn
        return (
            turn.env.clock() < self.end
            and not turn.keeper.cancelled
            and not turn.env.stopping()
            and turn.connection.lease.allows(Use.BACKFILL)
        )

    def _each(self, folders: list[Folder], fetch: Callable[[Committer], bool]) -> bool:
        """Do `fetch` in each folder that can be asked while there is time; True when it says that some is left."""
        left = False
        for folder in folders:
            if self.turn.notes_of(folder).suspicion or self.turn.waits(folder):
                continue
            if left and not self._more():
                break
            left = self._guarded(folder, fetch) or left
        return left

    def _guarded(self, folder: Folder, fetch: Callable[[Committer], bool]) -> bool:
        state = self.turn.committer(folder, self.turn.progress_of(folder))
        try:
            return fetch(state)
        except RenumberedError:
            state.notes.backoff.until = self.turn.next_poll
        except FOLDERS_OWN as error:
            self.turn.folder_failed(state.folder, error)
        return False

    # New mail

    def _fetch_new_mail(self, state: Committer) -> bool:
        if state.progress.arriving:
            self._fetch(state, history=False)
        return bool(state.progress.arriving)

    def _fetch(self, state: Committer, *, history: bool) -> None:
        WindowKeeper(state).confine()
        Backfill(state, state.notes.batching, state.notes.report_batching, history).run(self._more)
        WindowKeeper(state).balance()  # what was gone made room

    def _brake_holds(self) -> bool:
        now = self.turn.env.clock()
        return any(notes.suspicion and not notes.backoff.waits(now) for notes in self.turn.notes.values())

    def _close_moves(self) -> None:
        """Tell what left and moved nowhere as removed."""
        turn = self.turn
        for folder, progress in turn.selected() if turn.transit.opened else ():
            if progress.leaving:
                Removals(turn.committer(folder, progress)).remove_leaving()
        turn.transit.close()

    # Old mail

    def _fetch_old_mail(self, state: Committer) -> bool:
        history, repair = self._history_wanted(state), state.notes.repair
        if history:
            self._fetch(state, history=True)
        if repair and self.turn.connection.lease.allows(Use.BACKFILL):
            Refetch(state, repair).run(self._more)
        return bool((history and _history(state)) or state.notes.repair)

    def _history_wanted(self, state: Committer) -> bool:
        """Whether old messages may be fetched: not when their run was cancelled or the server's budget is for polls."""
        turn = self.turn
        return (
            _history(state)
            and not turn.keeper.held(state.folder, turn.account.settings.full_interval)
            and turn.connection.lease.allows(Use.BACKFILL)
        )


def _history(state: Committer) -> bool:
    return bool(state.progress.pending - state.progress.arriving)

"""Whether the mirror shows what settled intents did: after the looks that a turn made for them."""

from collections.abc import Mapping
from dataclasses import dataclass

from mailsync_grpc.model.ids import FolderNo, Revision
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.sync.causes import touched_in
from mailsync_grpc.sync.intents import Intents
from mailsync_grpc.sync.turn import Turn

PATIENCE = 600_000
"""Milliseconds from its call that a change may wait for its last messages to be fetched before it is answered."""


@dataclass(slots=True)
class FollowUp:
    """The end of a turn that had `turn.settled` to show; `looked` is when folders had been looked at before it."""

    turn: Turn
    intents: Intents
    looked: Mapping[FolderNo, int]

    def conclude(self, more: bool) -> None:
        """End the intents that are shown, and the others too unless `more` is fetched in the turns to come."""
        head = self.turn.env.store.wait_for_commit(Revision(0), 0.0)
        for intent in self.turn.settled:
            # Changes of folders were shown before, by a listing.
            places = (intent.folder, intent.target) if intent.of_messages else ()
            shown = all(self._shows(number, intent) for number in places if number)
            if shown or not more or self.turn.env.now() - intent.create_time > PATIENCE:
                self.intents.end([intent], head if shown else Revision(0))

    def _shows(self, number: FolderNo, intent: Intent) -> bool:
        """Whether the folder was looked at and nothing of the intent waits to be told; one not mirrored shows nothing."""
        stored = self.turn.env.store.folder_by_no(intent.account.no, number)
        if stored is None or not stored[0].selected:
            return True
        folder, progress = stored
        looked = self.turn.transit.looked.get(number, 0) > self.looked.get(number, 0)
        waiting = (progress.leaving | progress.arriving) & touched_in(number, [intent])
        return looked and not waiting and self.turn.notes_of(folder).suspicion is None

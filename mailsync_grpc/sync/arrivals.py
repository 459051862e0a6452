"""New mail of one folder: fetched and announced message by message, oldest first.

What may have moved here from another folder is only noted, and decided by the backfill when the others were looked at.
"""

from dataclasses import dataclass

from mailsync_grpc.errors import ImapError, ImapProtocolError, ImapRefusedError, ImapUnreachableError
from mailsync_grpc.model.changes import NewEnvelope
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.bounce import announced
from mailsync_grpc.sync.commit import Committer, chunks
from mailsync_grpc.sync.identity import Identity


@dataclass(slots=True)
class Arrivals:
    """The arrivals that a look found."""

    state: Committer

    def announce(self, uids: list[int]) -> None:
        """Announce `uids` (ascending); what may have moved, or is shown and not given now, becomes pending."""
        for chunk in chunks(uids, self.state.account.settings.batch_size):
            messages, breach = self._fetched(UidSet.of(chunk))
            withheld = Identity(self.state).suspects(messages)
            waiting = {message.uid for message in withheld}
            self._commit(UidSet.of(chunk), [message for message in messages if message.uid not in waiting])
            self.state.transit.withhold(withheld)
            if breach is not None:
                raise breach

    def _commit(self, uids: UidSet, told: list[NewEnvelope]) -> None:
        state, left = self.state, uids - UidSet.of(message.uid for message in told)
        state.commit(
            [change for message in told for change in announced(state.folder.key, message)],
            cursor=max(state.progress.cursor, *uids.ranges[-1]),
            pending=state.progress.pending | left,
            arriving=state.progress.arriving | left,
            stored=state.progress.stored + len(told),
            expected_exists=(state.progress.expected_exists or 0) + len(uids),
        )

    def _fetched(self, uids: UidSet) -> tuple[list[NewEnvelope], ImapError | None]:
        """Return what the server gives of `uids`; where it gives none or fails, the backfill finds out which is why."""
        try:
            return self.state.fetch(uids), None
        except ImapRefusedError:
            return [], None
        except (ImapProtocolError, ImapUnreachableError) as breach:
            return [], breach

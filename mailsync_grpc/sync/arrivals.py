"""New mail of one folder: fetched and announced message by message, oldest first."""

from dataclasses import dataclass

from mailsync_grpc.errors import ImapError, ImapProtocolError, ImapRefusedError, ImapUnreachableError
from mailsync_grpc.model.changes import NewEnvelope
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.bounce import announced
from mailsync_grpc.sync.commit import Committer, chunks


@dataclass(slots=True)
class Arrivals:
    """The arrivals that a look found."""

    state: Committer

    def announce(self, uids: list[int]) -> None:
        """Announce `uids` (ascending); what the server shows but does not give now becomes pending."""
        state = self.state
        for chunk in chunks(uids, state.account.settings.batch_size):
            messages, breach = self._fetched(UidSet.of(chunk))
            left = UidSet.of(chunk) - UidSet.of(message.uid for message in messages)
            state.commit(
                [change for message in messages for change in announced(state.folder.key, message)],
                cursor=max(state.progress.cursor, chunk[-1]),
                pending=state.progress.pending | left,
                arriving=state.progress.arriving | left,
                stored=state.progress.stored + len(messages),
                expected_exists=(state.progress.expected_exists or 0) + len(chunk),
            )
            if breach is not None:
                raise breach

    def _fetched(self, uids: UidSet) -> tuple[list[NewEnvelope], ImapError | None]:
        """Return what the server gives of `uids`; where it gives none or fails, the backfill finds out which is why."""
        try:
            return self.state.fetch(uids), None
        except ImapRefusedError:
            return [], None
        except (ImapProtocolError, ImapUnreachableError) as breach:
            return [], breach

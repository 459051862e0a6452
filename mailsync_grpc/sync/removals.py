"""What a look did not show: asked for once more in a folder opened anew, and removed when it is gone."""

from collections.abc import Sequence
from dataclasses import dataclass

from mailsync_grpc.errors import ImapProtocolError
from mailsync_grpc.model.changes import EnvelopesRemoved
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.commit import Committer, chunks

KNOWN_LIMIT = 100
"""A removal of at most this many messages tells what was known of each."""
REMOVAL_CHUNK = 5_000
"""UIDs removed in one commit, so that no commit holds the write lock for long."""


@dataclass(slots=True)
class Removals:
    """The stored messages that a look missed."""

    state: Committer

    def settle(self, missing: UidSet, arrived: int) -> int:
        """Remove those of `missing` that are gone and return how many are not; `arrived` messages came meanwhile.

        Raises ImapProtocolError when the server shows none of them, yet counts as many messages as before and cannot
        list that many others: an answer that was lost is not a mailbox that was emptied.
        """
        if not missing:
            return 0
        self.state.reopen()
        present = UidSet.of(self.state.connection.fetch_flags(missing).uids)
        expected = (self.state.progress.expected_exists or 0) + arrived
        if not (present or self.state.connection.exists < expected or self._complete_without(missing)):
            raise ImapProtocolError(
                f"{self.state.folder.display_name!r} counts {self.state.connection.exists} messages"
                f" but shows none of {len(missing)} that it held"
            )
        for chunk in chunks(list(missing - present), REMOVAL_CHUNK):
            self._commit(chunk)
        return len(present)

    def _complete_without(self, missing: UidSet) -> bool:
        """Whether EXISTS is made up of other messages: something arrived since the folder was listed."""
        listed = UidSet.of(self.state.list_flags("1:*").uids)
        return len(listed) == self.state.connection.exists and missing - listed == missing

    def _commit(self, uids: Sequence[int]) -> None:
        state = self.state
        known = tuple(state.store.known(state.folder, uids)) if len(uids) <= KNOWN_LIMIT else ()
        state.commit(
            [EnvelopesRemoved(state.folder.key, UidSet.of(uids), known)],
            stored=state.progress.stored - len(uids),
            expected_exists=(state.progress.expected_exists or 0) - len(uids),
        )

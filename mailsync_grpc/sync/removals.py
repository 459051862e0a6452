"""What a look did not show: asked for once more in a folder opened anew, and removed when it is gone.

When that would be much of the folder at once, the brake holds it back until further looks agree (`brake`). Where the
account has other folders it may be in one of them by now: it is *leaving*, still listed, until that is known (`moves`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from mailsync_grpc import metrics
from mailsync_grpc.errors import ImapProtocolError
from mailsync_grpc.model.changes import EnvelopesRemoved
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync import brake
from mailsync_grpc.sync.causes import taken_from
from mailsync_grpc.sync.commit import Committer, chunks

KNOWN_LIMIT = 100
"""A removal of at most this many messages tells what was known of each."""
REMOVAL_CHUNK = 5_000
"""UIDs removed in one commit, so that no commit holds the write lock for long."""

log = structlog.get_logger()


@dataclass(slots=True)
class Removals:
    """The stored messages that a look missed."""

    state: Committer

    def settle(self, missing: UidSet, arrived: int) -> int:
        """Remove those of `missing` that are gone and return how many stay; `arrived` messages came meanwhile.

        Raises ImapProtocolError when the server shows none of them, yet counts as many messages as before and cannot
        list that many others: an answer that was lost is not a mailbox that was emptied.
        """
        expected = (self.state.progress.expected_exists or 0) + arrived
        unshown = self._unshown(missing, expected) if missing else missing
        gone = self._believed(missing, unshown, expected - self.state.connection.exists)
        if gone:
            self._leave(gone)
        return len(missing) - len(gone)

    def _unshown(self, missing: UidSet, expected: int) -> UidSet:
        self.state.reopen()
        present = UidSet.of(self.state.connection.fetch_flags(missing).uids)
        if not (present or self.state.connection.exists < expected or self._complete_without(missing)):
            raise ImapProtocolError(
                f"{self.state.folder.display_name!r} counts {self.state.connection.exists} messages"
                f" but shows none of {len(missing)} that it held"
            )
        return missing - present

    def _believed(self, missing: UidSet, unshown: UidSet, shortfall: int) -> UidSet:
        state = self.state
        # What a caller asked us to remove is no riddle.
        ours = unshown & taken_from(state.folder.no, state.settled)
        missing, unshown, shortfall = missing - ours, unshown - ours, shortfall - len(ours)
        sight = brake.Sight(missing, unshown, shortfall, state.clock(), state.connection)
        verdict = brake.judge(state.notes.suspicion, sight, state.progress.stored)
        state.notes.suspicion = verdict.suspicion
        if verdict.result is not brake.Result.UNTOUCHED:
            metrics.SYNC_BRAKE_LOOKS.labels(result=verdict.result.value).inc()
            log.warning(
                "mass_disappearance",
                folder=state.folder.name,
                result=verdict.result.value,
                missing=len(missing),
                stored=state.progress.stored,
            )
        return verdict.gone | ours

    def take_back(self, listed: Iterable[int]) -> None:
        """Keep those leaving messages that are listed after all."""
        progress = self.state.progress
        back = UidSet.of(uid for uid in listed if uid in progress.leaving) if progress.leaving else UidSet()
        if back:
            exists = (progress.expected_exists or 0) + len(back)
            self.state.commit([], leaving=progress.leaving - back, expected_exists=exists)

    def remove_leaving(self) -> None:
        """Remove what is leaving and was found nowhere else."""
        for uids in chunks(list(self.state.progress.leaving), REMOVAL_CHUNK):
            self._remove(uids, leaving=self.state.progress.leaving - UidSet.of(uids))

    def _leave(self, gone: UidSet) -> None:
        if self.state.transit.possible:
            progress = self.state.progress
            exists = (progress.expected_exists or 0) - len(gone)
            self.state.commit([], leaving=progress.leaving | gone, expected_exists=exists)
            return
        for uids in chunks(list(gone), REMOVAL_CHUNK):
            exists = (self.state.progress.expected_exists or 0) - len(uids)
            self._remove(uids, expected_exists=exists)

    def _remove(self, uids: Sequence[int], **progress: Any) -> None:
        state = self.state
        known = tuple(state.store.known(state.folder, uids)) if len(uids) <= KNOWN_LIMIT else ()
        state.commit(
            [EnvelopesRemoved(state.folder.key, UidSet.of(uids), known)],
            stored=state.progress.stored - len(uids),
            **progress,
        )

    def _complete_without(self, missing: UidSet) -> bool:
        """Whether EXISTS is made up of other messages: something arrived since the folder was listed."""
        listed = UidSet.of(self.state.list_flags("1:*").uids)
        return len(listed) == self.state.connection.exists and missing - listed == missing

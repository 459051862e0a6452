"""Which stored messages the messages just fetched are, so that an envelope keeps its id: one look-up a batch.

New mail may have moved here from another folder, history of a renumbered folder may have an id from before. `moves`
decides, this looks up and puts together what is to be committed.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mailsync_grpc.model.changes import Change, EnvelopeMoved, NewEnvelope
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.store.values import Twin
from mailsync_grpc.sync import moves
from mailsync_grpc.sync.bounce import announced
from mailsync_grpc.sync.commit import Committer, Place

Folders = Mapping[FolderNo, tuple[Folder, FolderProgress]]


class News(NamedTuple):
    """What new mail is to be told as, with the new progress of the folders that some of it moved from."""

    changes: list[Change]
    sources: list[Place]


@dataclass(slots=True)
class Identity:
    """Looks up messages of one folder."""

    state: Committer

    def suspects(self, arrivals: list[NewEnvelope]) -> list[NewEnvelope]:
        """Return the arrivals that may be one half of a move."""
        transit, folder = self.state.transit, self.state.folder
        if not transit.possible:
            return []
        return moves.suspects(arrivals, self._twins(arrivals), transit.folders - {folder.no})

    def news(self, arrivals: list[NewEnvelope]) -> News:
        """Return what the arrivals are, now that every other folder was looked at."""
        state = self.state
        twins = self._twins(arrivals) if state.transit.possible else []
        # Read at once before the commit: the folders move forward by each other's batches.
        folders = {pair[0].no: pair for pair in state.store.folders(state.account.no)} if twins else {}
        leaving = {number: progress.leaving for number, (_, progress) in folders.items()}
        found = moves.match(state.folder.no, arrivals, twins, leaving, state.transit.repeated)
        told = [self._told(message, found.get(message.uid), folders) for message in arrivals]
        return News([change for changes in told for change in changes], _sources(found.values(), folders))

    def rebound(self, messages: list[NewEnvelope]) -> list[NewEnvelope]:
        """Return the history of a renumbered folder with the ids it had."""
        return moves.rebound(messages, self._twins(messages), self.state.folder.no)

    def _twins(self, messages: list[NewEnvelope]) -> list[Twin]:
        marks = moves.marks(messages)
        return self.state.store.twins(self.state.account.no, marks) if marks else []

    def _told(self, message: NewEnvelope, twin: Twin | None, folders: Folders) -> list[Change]:
        folder = self.state.folder.key
        if twin is None:
            return announced(folder, message)
        source = folders[twin.folder][0].key
        evidence = moves.evidence_kind(
            message.envelope, gmail="X-GM-EXT-1" in self.state.connection.capabilities
        )
        message = message._replace(envelope_id=twin.envelope_id)
        return [EnvelopeMoved(source, twin.uid, folder, message, evidence)]


def _sources(moved: Collection[Twin], folders: Folders) -> list[Place]:
    gone: dict[FolderNo, list[int]] = defaultdict(list)
    for twin in moved:
        gone[twin.folder].append(twin.uid)
    return [
        (folders[number][0].key, moves.departed(folders[number][1], uids)) for number, uids in gone.items()
    ]

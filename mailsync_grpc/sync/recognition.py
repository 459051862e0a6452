"""Recognising a mailbox under another name: what `rename` decides is asked of the server here.

With every listing the STATUS of the mirrored folders is asked for in one round trip. Only when a folder is astray are
more commands sent: the STATUS of all other names, then, for each name with its UIDVALIDITY, the metadata of some of its
messages, which must be what is stored under the same UIDs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mailsync_grpc.errors import ImapRefusedError
from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.imap.listing import FolderStatus, ListedFolder
from mailsync_grpc.model.evidence import Evidence, evidence_of, mark_of
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Store
from mailsync_grpc.sync.rename import Lead, Placement, Search

NEWEST = 64
"""Stored UIDs of which the samples are taken: mail of late is the least likely to be gone."""
STEP = 8
"""Of so many stored UIDs one is a sample."""
MAX_TRIALS = 100
"""Names opened for samples at one listing; of a big renamed tree the rest follow their kin."""


@dataclass(slots=True)
class Recognition:
    """Finds the mailboxes of one account's folders; `broken` are trials after which the connection was lost."""

    store: Store
    broken: set[tuple[FolderNo, bytes]] = field(default_factory=set)

    def place(
        self, connection: Connection, stored: Sequence[Folder], listed: Sequence[ListedFolder]
    ) -> tuple[Placement, dict[bytes, FolderStatus]]:
        """Return where each stored folder is, and the STATUS of the names that were asked about and have one."""
        search = Search(stored, {entry.raw_name: entry for entry in listed})
        _ask(connection, search, search.routine("OBJECTID" in connection.capabilities))
        _ask(connection, search, search.further())
        proven = [lead for lead in search.leads()[:MAX_TRIALS] if self._proven(connection, lead)]
        return search.place(proven), search.statuses

    def _proven(self, connection: Connection, lead: Lead) -> bool:
        """Whether messages show that the name holds the folder; with none to compare, a unique UIDVALIDITY does."""
        trial = (lead.folder.no, lead.raw_name)
        if trial in self.broken:
            # One message that breaks the connection must not keep the account from its tree for ever.
            return lead.unique
        self.broken.add(trial)
        agreed = self._agreed(connection, lead)
        self.broken.discard(trial)
        return lead.unique if agreed is None else agreed

    def _agreed(self, connection: Connection, lead: Lead) -> bool | None:
        """Whether most samples are the same messages; None when there was none to compare."""
        try:
            if connection.examine(lead.raw_name).uid_validity != lead.folder.uid_validity:
                return False
        except ImapRefusedError:
            return False
        found = dict(self._samples(connection, lead.folder))
        marks = [mark_of(evidence) for evidence in found.values()]
        twins = self.store.twins(lead.folder.account.no, marks) if marks else []
        same = {
            twin.uid
            for twin in twins
            if twin.mirror == lead.folder.mirror and found.get(twin.uid) == twin.evidence
        }
        return 2 * len(same) > len(found) if found else None

    def _samples(self, connection: Connection, folder: Folder) -> Iterator[tuple[int, Evidence]]:
        """Yield UIDs of which both the store and the opened folder know the evidence, with that of the opened one."""
        uids = self.store.newest_uids(folder.account.no, folder.mirror, NEWEST)[::-STEP]
        stored = sorted(known.uid for known in self.store.known(folder, uids) if known.message_id)
        if not stored:
            return
        try:
            messages = connection.fetch_metadata(UidSet.of(stored))
        except ImapRefusedError:
            return
        for message in messages:
            evidence = evidence_of(message.envelope)
            if evidence is not None:
                yield message.uid, evidence


def _ask(connection: Connection, search: Search, names: list[bytes]) -> None:
    if not names:
        return
    # Of the folder that is open Dovecot tells what it has open, whatever its name holds now (RFC 3501 section 6.3.10).
    connection.leave()
    answers = zip(names, connection.status(names), strict=True)
    search.statuses.update((name, status) for name, status in answers if status is not None)

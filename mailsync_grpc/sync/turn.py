"""What one turn has at hand for the folders of an account, and how a folder's own failure ends: marked, and backing off.

A failure that concerns the whole account (the connection, the credentials, the store) is raised.
"""

from dataclasses import dataclass

import structlog

from mailsync_grpc import metrics
from mailsync_grpc.errors import (
    FolderNotFoundError,
    FolderNotSelectableError,
    ImapError,
    ImapProtocolError,
    ImapRefusedError,
    MailsyncError,
    UnsafeArgumentError,
)
from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import FolderChanged, FolderChangeKind
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.store.base import Batch
from mailsync_grpc.sync import labels, plan, retry
from mailsync_grpc.sync.commit import Committer
from mailsync_grpc.sync.environment import Environment
from mailsync_grpc.sync.folders import FolderTree, marked
from mailsync_grpc.sync.moves import Transit
from mailsync_grpc.sync.notes import FolderNotes
from mailsync_grpc.sync.run_keeper import RunKeeper
from mailsync_grpc.sync.scheduler import Lane

FOLDERS_OWN = (ImapRefusedError, ImapProtocolError, FolderNotSelectableError, UnsafeArgumentError)
"""Failures that concern one folder and not its account."""

log = structlog.get_logger()

Selected = tuple[Folder, FolderProgress]


@dataclass(slots=True)
class Turn:
    """`notes`, `as_of`, `transit` and `tree` are the account's and outlive the turn; the next poll is due at `next_poll`.

    `settled` are changes of the mail server that callers asked for and that the mirror is to show now.
    """

    env: Environment
    account: Account
    connection: Connection
    keeper: RunKeeper
    notes: dict[MirrorNo, FolderNotes]
    as_of: dict[FolderNo, int]
    transit: Transit
    tree: FolderTree
    next_poll: float
    lane: Lane
    settled: tuple[Intent, ...] = ()

    def selected(self) -> list[Selected]:
        """Return the folders that are synced and there, with their progress as it is now, in the order to go by."""
        stored = {
            folder.no: (folder, progress) for folder, progress in self.env.store.folders(self.account.no)
        }
        there = (f for f, _ in stored.values() if f.selected and f.no not in self.tree.missing)
        return [stored[folder.no] for folder in plan.order(there)]

    def progress_of(self, folder: Folder) -> FolderProgress:
        """Return the progress as it is now: another folder's batch may have moved messages out of this one."""
        stored = self.env.store.folder_by_no(self.account.no, folder.no)
        if stored is None:
            raise FolderNotFoundError(folder.name)
        return stored[1]

    def notes_of(self, folder: Folder) -> FolderNotes:
        """Return what is remembered of the folder."""
        return self.notes.setdefault(folder.mirror, FolderNotes())

    def waits(self, folder: Folder) -> bool:
        """Whether the folder backs off."""
        return self.notes_of(folder).backoff.waits(self.env.clock())

    def committer(self, folder: Folder, progress: FolderProgress) -> Committer:
        """Return the way to commit changes of the folder."""
        return Committer(
            self.env.store,
            self.connection,
            self.account,
            folder,
            progress,
            self.notes_of(folder),
            self.env.clock,
            self.env.now,
            self.env.random,
            self.keeper.covering(folder),
            self.transit,
            settled=self.settled,
        )

    def touched(self, folder: Folder) -> bool:
        """Whether a settled change is about the folder."""
        return any(
            one.of_messages and (folder.no in {one.folder, one.target} or labels.concern(one, folder))
            for one in self.settled
        )

    def folder_failed(self, folder: Folder, error: MailsyncError) -> None:
        """Mark the folder and let it back off. Raises the error of a connection that is closed by now."""
        metrics.SYNC_POLLS.labels(result="failed").inc()
        metrics.SYNC_ERRORS.labels(reason=error.reason).inc()
        log.warning("folder_failed", folder=folder.name, reason=error.reason, detail=str(error))
        self.notes_of(folder).backoff.fail(self.env.clock(), retry.network_delay, self.env.draw)
        self.keeper.failed(folder, error)
        self.mark(folder, error.reason, str(error))
        if self.connection.closed:
            # The next folder gets a new connection in the next turn, behind the account's own back-off.
            raise error if isinstance(error, ImapError) else ImapProtocolError(str(error))

    def mark(self, folder: Folder, reason: str, message: str) -> None:
        """Record why the folder cannot be synced, with an event where that is news; empty when it can."""
        changed = marked(folder, reason, message)
        if changed is not None:
            self.env.store.apply(Batch(folder.account, (FolderChanged(changed, FolderChangeKind.STATE),)))

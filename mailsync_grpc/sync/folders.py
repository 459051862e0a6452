"""Listing an account's folders and committing what differs; `tree` decides, this runs.

A folder that a listing does not show is remembered and is removed only when the next complete listing does not show
it either. What was remembered is lost with the process, which merely costs one more listing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import structlog

from mailsync_grpc.errors import ImapProtocolError
from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.changes import Change, FolderChanged, FolderChangeKind, FolderRemoved
from mailsync_grpc.model.folder import Folder, MirrorNo
from mailsync_grpc.model.ids import ID_BYTES, FolderNo, RandomBytes
from mailsync_grpc.store.base import Batch, Counter, Store
from mailsync_grpc.sync import tree

log = structlog.get_logger()


@dataclass(slots=True)
class FolderTree:
    """The folder records of one account; `missing` are those that the last listing did not show."""

    store: Store
    account: AccountKey
    random: RandomBytes
    missing: frozenset[FolderNo] = frozenset()

    def refresh(self, connection: Connection) -> None:
        """List the folders once and commit what differs in one batch.

        Raises ImapProtocolError for a listing without INBOX, which every account has (RFC 3501 section 5.1).
        """
        listed = connection.list_folders()
        stored = [folder for folder, _ in self.store.folders(self.account.no)]
        if not any(entry.name == "INBOX" for entry in listed):
            raise ImapProtocolError(f"the answer to LIST shows {len(listed)} folders and no INBOX")
        known = {folder.raw_name for folder in stored}
        numbers = self._numbers(sum(entry.raw_name not in known for entry in listed))
        delta = tree.reconcile(self.account, listed, stored, lambda: next(numbers))
        changes = [
            *self._told(delta, {folder.no: folder for folder in stored}),
            *self._removals(delta.missing),
        ]
        if changes:
            self.store.apply(Batch(self.account, tuple(changes)))
        self.missing = frozenset(folder.no for folder in delta.missing)

    def _numbers(self, count: int) -> Iterator[tree.NewNumbers]:
        """Yield identities for `count` folders, whose numbers are allocated together when the first is asked for."""
        folder = self.store.allocate(Counter.FOLDER, count)
        mirror = self.store.allocate(Counter.MIRROR, count)
        for offset in range(count):
            yield tree.NewNumbers(FolderNo(folder + offset), MirrorNo(mirror + offset), self.random(ID_BYTES))

    def _told(self, delta: tree.TreeDelta, before: dict[FolderNo, Folder]) -> list[Change]:
        created: list[Change] = [FolderChanged(folder, FolderChangeKind.CREATED) for folder in delta.created]
        return created + [self._updated(before[folder.no], folder) for folder in delta.updated]

    def _updated(self, before: Folder, after: Folder) -> FolderChanged:
        if before.selected and not after.selected:
            # Under a new mirror the old rows are out of reach at once, as when a user deselects the folder.
            after = replace(after, mirror=MirrorNo(self.store.allocate(Counter.MIRROR)))
        return FolderChanged(after, _kind(before, after))

    def _removals(self, missing: tuple[Folder, ...]) -> list[Change]:
        agreed = [folder for folder in missing if folder.no in self.missing]
        for folder in agreed:
            log.info("folder_removed", folder=folder.name)
        return [FolderRemoved(folder) for folder in agreed]


def _kind(before: Folder, after: Folder) -> FolderChangeKind:
    if before.selected == after.selected:
        return FolderChangeKind.ATTRIBUTES
    return FolderChangeKind.SELECTED if after.selected else FolderChangeKind.DESELECTED


def marked(folder: Folder, reason: str, message: str) -> Folder | None:
    """Return the folder's next record with this error (empty: none), or None when it already says so."""
    if folder.error_reason == reason:
        return None
    return replace(folder, version=folder.version + 1, error_reason=reason, error_message=message)

"""Listing an account's folders and committing what differs; `rename`, `naming` and `tree` decide, this runs.

A folder that is nowhere in a listing, under no other name either, is remembered and is removed only when the next
complete listing does not show it either. What was remembered is lost with the process, which merely costs one more
listing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import structlog

from mailsync_grpc.errors import ImapProtocolError
from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.imap.folder_names import INBOX
from mailsync_grpc.imap.listing import Namespaces
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.changes import Change, FolderChanged, FolderChangeKind, FolderRemoved
from mailsync_grpc.model.folder import Folder, MirrorNo
from mailsync_grpc.model.ids import ID_BYTES, FolderNo, RandomBytes
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.store.base import Batch, Counter, Store
from mailsync_grpc.sync import tree
from mailsync_grpc.sync.causes import attributed
from mailsync_grpc.sync.naming import known_as
from mailsync_grpc.sync.recognition import Recognition

log = structlog.get_logger()


@dataclass(slots=True)
class FolderTree:
    """The folder records of one account; `missing` are those that were nowhere in the last listing.

    `shown` are the UIDVALIDITYs that it found under the names it asked about, None where the server told none.
    """

    store: Store
    account: AccountKey
    random: RandomBytes
    missing: frozenset[FolderNo] = frozenset()
    recognition: Recognition = field(init=False)
    namespaces: Namespaces | None = None
    shown: dict[bytes, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin without any experience of the server."""
        self.recognition = Recognition(self.store)

    def refresh(self, connection: Connection, settled: Sequence[Intent] = ()) -> None:
        """List the folders once and commit what differs in one batch; `settled` are callers' changes of them.

        Raises ImapProtocolError for a listing without INBOX, which every account has (RFC 3501 section 5.1).
        """
        listed = connection.list_folders()
        if not any(entry.name == INBOX for entry in listed):
            raise ImapProtocolError(f"the answer to LIST shows {len(listed)} folders and no INBOX")
        self.namespaces = self.namespaces or connection.namespaces()
        stored = [folder for folder, _ in self.store.folders(self.account.no)]
        places, statuses = self.recognition.place(connection, stored, listed)
        seen = [
            tree.Seen(naming, places.held.get(raw := naming.entry.raw_name), statuses.get(raw))
            for naming in known_as(listed, self.namespaces)
        ]
        numbers = self._numbers(sum(one.folder is None for one in seen))
        delta = tree.reconcile(self.account, seen, lambda: next(numbers))
        self._commit(delta, {folder.no: folder for folder in stored}, places.missing, settled)
        self.shown = {name: status.uid_validity for name, status in statuses.items()}

    def vouches(self, folder: Folder, relisted: bool, uid_validity: int) -> bool:
        """Whether the last listing looked for the folder's mailbox elsewhere when its name had this UIDVALIDITY.

        Of a name of which the server tells nothing it is taken for granted, once the folders were `relisted` for it.
        """
        shown = self.shown.get(folder.raw_name)
        return shown == uid_validity if shown else relisted

    def _commit(
        self,
        delta: tree.TreeDelta,
        before: dict[FolderNo, Folder],
        missing: tuple[Folder, ...],
        settled: Sequence[Intent],
    ) -> None:
        changes: list[Change] = [FolderChanged(folder, FolderChangeKind.CREATED) for folder in delta.created]
        for folder in delta.updated:
            changes += self._updated(before[folder.no], folder)
        changes += self._removals(missing)
        if changes:
            told = attributed(changes, settled)
            self.store.apply(Batch(self.account, told.changes, causes=told.causes))
        self.missing = frozenset(folder.no for folder in missing)

    def _numbers(self, count: int) -> Iterator[tree.NewNumbers]:
        """Yield identities for `count` folders, whose numbers are allocated together when the first is asked for."""
        folder = self.store.allocate(Counter.FOLDER, count)
        mirror = self.store.allocate(Counter.MIRROR, count)
        for offset in range(count):
            yield tree.NewNumbers(FolderNo(folder + offset), MirrorNo(mirror + offset), self.random(ID_BYTES))

    def _updated(self, before: Folder, after: Folder) -> Iterator[FolderChanged]:
        """Yield one change, or two when a folder's new name also changes whether it is selected."""
        if before.display_name != after.display_name:
            same = before.selected == after.selected
            yield FolderChanged(
                after if same else _still_selected(after, before),
                FolderChangeKind.RENAMED,
                before.display_name,
            )
            if same:
                return
            after = replace(after, version=after.version + 1)
        if before.selected and not after.selected:
            # Under a new mirror the old rows are out of reach at once, as when a user deselects the folder.
            after = replace(after, mirror=MirrorNo(self.store.allocate(Counter.MIRROR)))
        yield FolderChanged(after, _kind(before, after))

    def _removals(self, missing: tuple[Folder, ...]) -> list[Change]:
        agreed = [folder for folder in missing if folder.no in self.missing]
        for folder in agreed:
            log.info("folder_removed", folder=folder.name)
        return [FolderRemoved(folder) for folder in agreed]


def _still_selected(after: Folder, before: Folder) -> Folder:
    return replace(
        after, by_default=before.by_default, selection=before.selection, selectable=before.selectable
    )


def _kind(before: Folder, after: Folder) -> FolderChangeKind:
    if before.selected == after.selected:
        return FolderChangeKind.ATTRIBUTES
    return FolderChangeKind.SELECTED if after.selected else FolderChangeKind.DESELECTED


def marked(folder: Folder, reason: str, message: str) -> Folder | None:
    """Return the folder's next record with this error (empty: none), or None when it already says so."""
    if folder.error_reason == reason:
        return None
    return replace(folder, version=folder.version + 1, error_reason=reason, error_message=message)

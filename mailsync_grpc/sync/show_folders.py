"""The folder tree after callers' changes of it: what was renamed keeps its record, the rest is shown by a listing.

That a folder was renamed need not be recognised, it is known. So its record, and those of the folders below it, get
their new names before the listing, which then shows nothing astray. A folder that was deleted is removed at once: the
change itself is the second witness that a removal otherwise waits for.
"""

from collections.abc import Sequence
from dataclasses import replace

from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.model.changes import Change, FolderChanged, FolderChangeKind
from mailsync_grpc.model.folder import Folder, Selection
from mailsync_grpc.model.intent import Intent, IntentKind
from mailsync_grpc.store.base import Batch, Store
from mailsync_grpc.sync.folders import FolderTree


def show_folders(tree: FolderTree, connection: Connection, intents: Sequence[Intent]) -> None:
    """Bring the stored tree up to date with settled changes of it. Raises as `FolderTree.refresh`."""
    made = [intent for intent in intents if not intent.outcome.error_reason]
    for intent in made:
        if intent.kind is IntentKind.RENAME_FOLDER:
            _commit(tree.store, intent, renamed(_folders(tree.store, intent), intent))
    tree.refresh(connection, made)
    if tree.missing & {intent.folder for intent in made if intent.kind is IntentKind.DELETE_FOLDER}:
        tree.refresh(connection, made)
    for intent in made:
        if intent.kind is IntentKind.CREATE_FOLDER and intent.selected:
            _commit(tree.store, intent, chosen(_folders(tree.store, intent), intent))


def renamed(folders: Sequence[Folder], intent: Intent) -> list[Change]:
    """Return the records of the renamed folder and of those below it under their new names; none when that was done."""
    top = next((folder for folder in folders if folder.no == intent.folder), None)
    if top is None or top.raw_name == intent.raw_name:
        return []
    return [
        FolderChanged(_under(folder, top, intent), FolderChangeKind.RENAMED, folder.display_name)
        for folder in folders
        if folder is top or _is_below(folder, top)
    ]


def chosen(folders: Sequence[Folder], intent: Intent) -> list[Change]:
    """Return the record of the new folder as one that is mirrored."""
    return [
        FolderChanged(
            replace(folder, version=folder.version + 1, selection=Selection.SELECTED),
            FolderChangeKind.SELECTED,
        )
        for folder in folders
        if folder.raw_name == intent.raw_name and folder.selectable and not folder.selected
    ]


def _is_below(folder: Folder, top: Folder) -> bool:
    return bool(top.delimiter) and folder.raw_name.startswith(top.raw_name + top.delimiter.encode())


def _under(folder: Folder, top: Folder, intent: Intent) -> Folder:
    rest, path = folder.raw_name[len(top.raw_name) :], folder.display_name[len(top.display_name) :]
    # One that was mirrored for its name stays mirrored under another.
    selection = Selection.SELECTED if folder.selected else folder.selection
    return replace(
        folder,
        version=folder.version + 1,
        raw_name=intent.raw_name + rest,
        display_name=intent.path + path,
        selection=selection,
    )


def _folders(store: Store, intent: Intent) -> list[Folder]:
    return [folder for folder, _ in store.folders(intent.account.no)]


def _commit(store: Store, intent: Intent, changes: list[Change]) -> None:
    if changes:
        store.apply(Batch(intent.account, tuple(changes), request_id=intent.request_id))

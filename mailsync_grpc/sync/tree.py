"""How an account's folder records follow from what LIST answered.

A folder is known by its raw name, so a rename shows as one folder missing and one created. A listing may be empty,
cut or wrong once: a folder that is not shown is only *missing*, and the caller removes it after two complete listings
in a row agree. The Sent folder is the one marked so by the server (RFC 6154), else the one named so in some language.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mailsync_grpc.imap.folder_names import SENT, special_use_of
from mailsync_grpc.imap.listing import ListedFolder
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.folder import Folder, MirrorNo
from mailsync_grpc.model.ids import FolderNo

MOMENTARY = frozenset({"\\Marked", "\\Unmarked"})
"""Attributes that tell whether mail came lately (RFC 3501 section 7.2.2), not what the folder is."""


@dataclass(frozen=True, slots=True)
class TreeDelta:
    """Folders to be created, records to be replaced (next version), and folders that the listing did not show."""

    created: tuple[Folder, ...]
    updated: tuple[Folder, ...]
    missing: tuple[Folder, ...]


@dataclass(frozen=True, slots=True)
class NewNumbers:
    """Identities for folders that are not known yet."""

    folder: FolderNo
    mirror: MirrorNo
    id: bytes


def reconcile(
    account: AccountKey,
    listed: Sequence[ListedFolder],
    stored: Sequence[Folder],
    number: Callable[[], NewNumbers],
) -> TreeDelta:
    """Return what the listing changes; `number` is called once for each folder that is new."""
    known = {folder.raw_name: folder for folder in stored}
    by_name = not any(entry.special_use == SENT for entry in listed)
    created: list[Folder] = []
    kept: dict[bytes, Folder] = {}
    for entry in sorted(listed, key=lambda entry: entry.name):
        folder = known.get(entry.raw_name)
        if folder is None:
            folder = _new(account, entry, number())
            created.append(folder)
        kept[entry.raw_name] = _described(folder, entry, by_name)
    kept = _with_parents(kept)
    kept = _with_default_selection(kept)
    new_names = {folder.raw_name for folder in created}
    return TreeDelta(
        created=tuple(folder for name, folder in kept.items() if name in new_names),
        updated=tuple(
            replace(folder, version=folder.version + 1)
            for name, folder in kept.items()
            if name not in new_names and folder != known[name]
        ),
        missing=tuple(folder for name, folder in known.items() if name not in kept),
    )


def _new(account: AccountKey, entry: ListedFolder, numbers: NewNumbers) -> Folder:
    return Folder(account, numbers.folder, numbers.id, numbers.mirror, 1, entry.raw_name, entry.name)


def _named_use(entry: ListedFolder) -> str:
    """Return the use that the folder's own name, without those above it, stands for in some language."""
    return special_use_of(entry.name.rsplit(entry.delimiter, 1)[-1] if entry.delimiter else entry.name)


def _described(folder: Folder, entry: ListedFolder, by_name: bool) -> Folder:
    return replace(
        folder,
        display_name=entry.name,
        delimiter=entry.delimiter or "",
        attributes=tuple(sorted(entry.attributes - MOMENTARY)),
        special_use=entry.special_use or (_named_use(entry) if by_name else ""),
        selectable=entry.selectable,
    )


def _with_parents(folders: dict[bytes, Folder]) -> dict[bytes, Folder]:
    ids = {folder.path: folder.id for folder in folders.values()}
    return {
        name: replace(folder, parent_id=ids.get(folder.path[:-1], b"")) for name, folder in folders.items()
    }


def _with_default_selection(folders: dict[bytes, Folder]) -> dict[bytes, Folder]:
    """INBOX and one Sent folder; where names alone make several candidates, the shortest path is the real one."""
    sent = [folder for folder in folders.values() if folder.special_use == SENT and folder.selectable]
    chosen = min(sent, key=lambda folder: (len(folder.path), folder.path), default=None)
    return {
        name: replace(folder, by_default=folder.path == ("INBOX",) or folder is chosen)
        for name, folder in folders.items()
    }

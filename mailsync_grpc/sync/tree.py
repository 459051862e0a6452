r"""How an account's folder records follow from a listing in which each name is recognised (`rename`, `naming`); pure.

The Sent folder is the one marked so by the server (RFC 6154), else the one named so in some language; INBOX and Sent are
selected by default, and what the user chose goes before. A rename alone never drops a mirror: a folder that was selected
for its name stays so under another one. Folders of other users and shared ones are never taken for the account's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mailsync_grpc.imap.folder_names import SENT, special_use_of
from mailsync_grpc.imap.listing import FolderStatus
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.folder import Folder, MirrorNo, Selection
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.sync.naming import Naming

MOMENTARY = frozenset({"\\Marked", "\\Unmarked"})
"""Attributes that tell whether mail came lately (RFC 3501 section 7.2.2), not what the folder is."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A listed name, what users call it, the stored folder that it holds (None: it is new) and its STATUS, if asked."""

    naming: Naming
    folder: Folder | None = None
    status: FolderStatus | None = None


@dataclass(frozen=True, slots=True)
class TreeDelta:
    """Folders to be created, and records to be replaced (next version)."""

    created: tuple[Folder, ...]
    updated: tuple[Folder, ...]


@dataclass(frozen=True, slots=True)
class NewNumbers:
    """Identities for folders that are not known yet."""

    folder: FolderNo
    mirror: MirrorNo
    id: bytes


def reconcile(account: AccountKey, seen: Sequence[Seen], number: Callable[[], NewNumbers]) -> TreeDelta:
    """Return what the listing changes; `number` is called once for each folder that is new."""
    seen = sorted(seen, key=lambda one: one.naming.path)
    by_name = not any(one.naming.own and one.naming.entry.special_use == SENT for one in seen)
    folders = [_described(one.folder or _new(account, one, number()), one, by_name) for one in seen]
    ids = {folder.path: folder.id for folder in folders}
    sent = _sent(folders)
    created: list[Folder] = []
    updated: list[Folder] = []
    for folder, one in zip(folders, seen, strict=True):
        by_default = folder.path == ("INBOX",) or folder is sent
        parent = ids.get(folder.path[:-1], b"")
        after = _selection_kept(replace(folder, by_default=by_default, parent_id=parent), one.folder)
        if one.folder is None:
            created.append(after)
        elif after != one.folder:
            updated.append(replace(after, version=after.version + 1))
    return TreeDelta(tuple(created), tuple(updated))


def _new(account: AccountKey, one: Seen, numbers: NewNumbers) -> Folder:
    entry = one.naming.entry
    return Folder(account, numbers.folder, numbers.id, numbers.mirror, 1, entry.raw_name, one.naming.path)


def _named_use(naming: Naming) -> str:
    """Return the use that the folder's own name, without those above it, stands for in some language."""
    delimiter = naming.entry.delimiter
    return special_use_of(naming.path.rsplit(delimiter, 1)[-1] if delimiter else naming.path)


def _described(folder: Folder, one: Seen, by_name: bool) -> Folder:
    entry, path, own = one.naming
    use = entry.special_use or (_named_use(one.naming) if by_name else "")
    mailbox_id = one.status.mailbox_id if one.status else ""
    return replace(
        folder,
        raw_name=entry.raw_name,
        display_name=path,
        delimiter=entry.delimiter or "",
        attributes=tuple(sorted(entry.attributes - MOMENTARY)),
        special_use=use if own else "",
        selectable=entry.selectable,
        mailbox_id=mailbox_id or folder.mailbox_id,
    )


def _sent(folders: Sequence[Folder]) -> Folder | None:
    """Return the Sent folder; where names alone make several candidates, the shortest path is the real one."""
    candidates = [folder for folder in folders if folder.special_use == SENT and folder.selectable]
    return min(candidates, key=lambda folder: (len(folder.path), folder.path), default=None)


def _selection_kept(folder: Folder, before: Folder | None) -> Folder:
    if before is None or before.raw_name == folder.raw_name or folder.selected or not before.selected:
        return folder
    return replace(folder, selection=Selection.SELECTED)

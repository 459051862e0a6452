"""Folders in tree order: each after its parent, INBOX first, siblings by name."""

from collections.abc import Iterable, Sequence

from mailsync_grpc.imap.folder_names import INBOX
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import ID_BYTES, FolderNo
from mailsync_grpc.store.codec.messages import folder_message
from mailsync_grpc.sync.naming import Naming
from mailsync_grpc.sync.tree import NewNumbers, Seen, reconcile
from mailsync_grpc.v1 import folder_pb2

TreeKey = tuple[tuple[bool, str, str], ...]


def tree_key(path: tuple[str, ...]) -> TreeKey:
    """Return what sorts a path to its place in the tree."""
    # The name as it is comes last, so that two names that differ only in case keep an order.
    return tuple(
        (level > 0 or name.upper() != INBOX, name.casefold(), name) for level, name in enumerate(path)
    )


def in_tree_order(
    folders: Iterable[tuple[Folder, FolderProgress]],
) -> list[tuple[Folder, FolderProgress]]:
    """Return folders in tree order."""
    return sorted(folders, key=lambda entry: tree_key(entry[0].path))


def found_folders(account: AccountKey, listed: Sequence[Naming]) -> list[folder_pb2.Folder]:
    """Return what a listing shows as it would be stored, nothing of it being stored: names are for show."""
    numbers = iter(range(1, len(listed) + 1))

    def number() -> NewNumbers:
        next_one = next(numbers)
        return NewNumbers(FolderNo(next_one), MirrorNo(next_one), next_one.to_bytes(ID_BYTES, "big"))

    created = reconcile(account, [Seen(naming) for naming in listed], number).created
    fresh = FolderProgress()
    return [
        folder_message(folder, fresh) for folder, _ in in_tree_order((folder, fresh) for folder in created)
    ]

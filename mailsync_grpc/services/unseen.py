r"""A folder as clients see it, with how many of its mirrored messages lack \Seen.

That number is in no record, since every change of flags would have to write it: it is counted from the packed flags,
block by block, when a folder is shown.
"""

from typing import Final

from mailsync_grpc.model.flags import SEEN
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.codec.messages import folder_message
from mailsync_grpc.store.flagblocks import unpack
from mailsync_grpc.v1 import folder_pb2

_BLOCKS: Final = 256


def shown(store: Store, folder: Folder, progress: FolderProgress) -> folder_pb2.Folder:
    """Return the folder's message with its counts."""
    return folder_message(folder, progress, _unseen(store, folder) if progress.stored else 0)


def _unseen(store: Store, folder: Folder) -> int:
    table = store.flag_table(folder.account.no, folder.mirror)
    unseen = {flag_hash for flag_hash, flags in table.items() if SEEN not in flags}
    count = first = 0
    while blocks := store.flag_blocks(folder.account.no, folder.mirror, first, _BLOCKS):
        count += sum(hashed in unseen for block in blocks for hashed in unpack(*block)[1])
        first = blocks[-1].number + 1
    return count

"""Whether a folder can be left alone in this poll: pure decisions from its progress and an answer to STATUS.

STATUS of every quiet folder goes out in one round trip and spares most polls everything else: no folder is opened,
nothing is fetched, nothing is written. All that a folder is held against is durable, so this holds after a restart
too. Without CONDSTORE no counter shows a change of flags, so a plain server's folders are looked at in every poll.
"""

from mailsync_grpc.imap.listing import FolderStatus
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.sync import plan


def worthwhile(folder: Folder, progress: FolderProgress) -> bool:
    """Whether the counters of STATUS can show that there is nothing to do; otherwise the folder is looked at."""
    return (
        progress.synced
        and progress.modseq > 0
        and not (progress.pending or progress.leaving or folder.error_reason)
    )


def unchanged(folder: Folder, progress: FolderProgress, status: FolderStatus | None) -> bool:
    """Whether `status`, of a worthwhile folder, tells what the last complete look began with."""
    if status is None:
        return False
    return (
        status.uid_validity == folder.uid_validity
        and status.messages == progress.expected_exists
        and plan.hints(progress, status, condstore=True) == (progress.modseq, progress.uid_next)
    )

"""What a look at a folder calls for: pure decisions from the stored state and the server's answer.

EXISTS at the last full comparison plus arrivals minus removals since is what a quiet folder must still have. It is
never compared with the number of stored rows, which pending messages (and later windows) make differ. UIDNEXT is not
used: servers leave it out, rewind it or set it wrong, and the look at the newest UIDs costs one command anyway.
"""

from collections.abc import Iterable
from enum import Enum, auto

from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.model.folder import Folder, FolderProgress


class Validity(Enum):
    """What the UIDVALIDITY of an EXAMINE means for the mirror (RFC 3501 section 2.3.1.1)."""

    SAME = auto()
    FIRST = auto()
    RESET = auto()
    UNUSABLE = auto()


def validity(folder: Folder, answered: int | None) -> Validity:
    """Return what `answered` means; absent and 0 are unusable, whatever is stored."""
    if not answered:
        return Validity.UNUSABLE
    if folder.uid_validity == 0:
        return Validity.FIRST
    return Validity.SAME if answered == folder.uid_validity else Validity.RESET


def verified_age(verified_at: int, now_ms: int) -> float:
    """Return the seconds since a folder was last compared whole; a time yet to come is a clock that was set back: now."""
    return max(0, now_ms - verified_at) / 1_000


def full_due(progress: FolderProgress, age: float, settings: SyncSettings) -> bool:
    """Whether the folder was never compared whole, or not within the account's interval; `age` is in seconds."""
    return progress.expected_exists is None or age >= settings.full_interval


def window_changed(progress: FolderProgress, settings: SyncSettings) -> bool:
    """Whether the folder is to be compared whole because another window than the account's was applied to it."""
    return progress.window != settings.window


def count_differs(progress: FolderProgress, exists: int) -> bool:
    """Whether EXISTS says that something arrived or went that the look at the newest UIDs did not show."""
    return progress.expected_exists != exists


def order(folders: Iterable[Folder]) -> list[Folder]:
    """Return folders in the order in which users want them: INBOX, special ones, then by name."""
    return sorted(
        folders, key=lambda folder: (folder.path != ("INBOX",), not folder.special_use, folder.path)
    )

"""What a look at a folder calls for: pure decisions from the stored state and the server's answer.

EXISTS at the last full comparison plus arrivals minus removals since is what a quiet folder must still have. It is
never compared with the number of stored rows, which pending messages and windows make differ.

HIGHESTMODSEQ (RFC 7162) and UIDNEXT only ever spare work. A folder is taken for unchanged when they, EXISTS and
UIDVALIDITY are what they were at the beginning of the last look that saw every change; so what comes during a look
belongs to the next. One that is absent or impossible counts as 0, unknown; one that went down means that the server
lost something, which only a comparison of the whole folder finds. And that comparison stays due in its interval,
whatever the numbers say.
"""

from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple

from mailsync_grpc.imap.listing import FolderStatus, Selected
from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.model.folder import Folder, FolderProgress

SEARCH_LIMIT = 1_000_000
"""Messages; eleven octets each are within `Policy.max_line`."""


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


class Look(Enum):
    """How much of a folder to ask for: nothing, what changed since a mod-sequence, the newest UIDs, or all."""

    NOTHING = auto()
    CHANGES = auto()
    NEWEST = auto()
    WHOLE = auto()


class Hints(NamedTuple):
    """`FolderProgress.modseq` and `.uid_next` as a server tells them now."""

    modseq: int
    uid_next: int


def hints(progress: FolderProgress, told: Selected | FolderStatus, condstore: bool) -> Hints:
    """Return the usable hints that were told before anything is fetched; a UIDNEXT at or below a known UID is none."""
    uid_next = told.uid_next or 0
    modseq = told.highest_modseq or 0
    return Hints(modseq if condstore else 0, uid_next if uid_next > progress.cursor else 0)


def look(progress: FolderProgress, told: Selected, now: Hints, condstore: bool) -> Look:
    """Return what the answer to EXAMINE calls for, with the hints in it, when no full comparison is due."""
    lost = condstore and now.modseq < progress.modseq
    rewound = 0 < (told.uid_next or 0) < progress.uid_next
    if lost or rewound:
        return Look.WHOLE
    if not (progress.modseq and now.modseq):
        return Look.NEWEST
    if now.modseq > progress.modseq:
        return Look.CHANGES
    # One that stays although a message came or went is no guide to what changed.
    same = now.uid_next == progress.uid_next and told.exists == progress.expected_exists
    return Look.NOTHING if same else Look.NEWEST


def count_differs(progress: FolderProgress, exists: int) -> bool:
    """Whether EXISTS says that something arrived or went that the look did not show."""
    return progress.expected_exists != exists


def searchable(exists: int) -> bool:
    """Whether UID SEARCH can list the folder: the answer is one line, and a line has a cap."""
    return 0 < exists <= SEARCH_LIMIT


def settled_gap(before: int, gap: int) -> int:
    """Return by how much EXISTS must be expected to differ from what a full comparison found.

    Some servers count messages that they never list. A gap that two full comparisons in a row show is theirs, else
    each look would end in another one; a gap seen once may be a message that came meanwhile or that an answer omitted.
    """
    return gap if gap == before else 0


def order(folders: Iterable[Folder]) -> list[Folder]:
    """Return folders in the order in which users want them: INBOX, special ones, then by name."""
    return sorted(
        folders, key=lambda folder: (folder.path != ("INBOX",), not folder.special_use, folder.path)
    )

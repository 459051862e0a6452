"""Which stored folder each listed name holds, so that a rename is told from a removal; pure.

IMAP tells nothing of renames: a listing shows names, and a mailbox is known only by its MAILBOXID (RFC 8474), else by
its UIDVALIDITY (RFC 3501 section 2.3.1.1), which servers may give to several mailboxes. So a folder stays where it is
unless its name is gone or shows another identity. One that is *astray* so is sought among the names that nobody holds
for certain; a name with the same MAILBOXID is found, one with the same UIDVALIDITY is a `Lead` that messages must prove
(`recognition`). Folders that were never opened have no identity of their own: they follow their kin, being parent or
child, under the same rest of their path, and one pushed off its name takes the name that was left for it.

What is ambiguous is not decided: then the name is a new folder and the old one is missing. INBOX never leaves its name:
renaming it moves its messages and leaves it where it is (RFC 3501 section 6.3.5).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from mailsync_grpc.imap.folder_names import INBOX
from mailsync_grpc.imap.listing import FolderStatus, ListedFolder
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import FolderNo

_INBOX = INBOX.encode()


class Bond(Enum):
    """What the STATUS of a name says of its being a folder's mailbox."""

    SAME = auto()
    """The same MAILBOXID."""
    LIKE = auto()
    """The same UIDVALIDITY."""
    OPEN = auto()
    """Nothing."""
    OTHER = auto()
    """It is another one."""


class Lead(NamedTuple):
    """A folder astray and a name that may hold its mailbox; `unique` when no other has this UIDVALIDITY."""

    folder: Folder
    raw_name: bytes
    unique: bool


class Placement(NamedTuple):
    """The stored folder that each listed name holds, for names that hold one, and the folders that have none."""

    held: dict[bytes, Folder]
    missing: tuple[Folder, ...]


def bond(folder: Folder, status: FolderStatus | None) -> Bond:
    """Return what the status of a name says of the folder."""
    if status is not None and folder.mailbox_id and status.mailbox_id:
        return Bond.SAME if folder.mailbox_id == status.mailbox_id else Bond.OTHER
    if status is not None and folder.uid_validity and status.uid_validity:
        return Bond.LIKE if folder.uid_validity == status.uid_validity else Bond.OTHER
    return Bond.OPEN


@dataclass(slots=True)
class Search:
    """One listing against the stored folders. `statuses` are those that the server gave, by raw name."""

    stored: Sequence[Folder]
    listed: Mapping[bytes, ListedFolder]
    statuses: dict[bytes, FolderStatus] = field(default_factory=dict)

    def routine(self, object_ids: bool) -> list[bytes]:
        """Return the names whose status is asked for with every listing: where mirrors are, and unknown MAILBOXIDs."""
        holders = {folder.raw_name: folder for folder in self.stored}
        return [name for name in self._openable() if _asked(holders.get(name), object_ids)]

    def further(self) -> list[bytes]:
        """Return the names whose status is asked for too because a folder with an identity is astray."""
        if not any(folder.uid_validity or folder.mailbox_id for folder in self._astray()):
            return []
        return [name for name in self._openable() if name not in self.statuses]

    def leads(self) -> list[Lead]:
        """Return what only messages can prove, the highest folders of the tree first."""
        bearers = Counter(folder.uid_validity for folder in self.stored)
        shown = Counter(status.uid_validity for status in self.statuses.values())
        found = [
            Lead(folder, name, bearers[folder.uid_validity] == 1 and shown[folder.uid_validity] == 1)
            for folder, name, seen in self._alike()
            if seen is Bond.LIKE
        ]
        return sorted(found, key=lambda lead: len(lead.folder.path))

    def place(self, proven: Iterable[Lead]) -> Placement:
        """Return where each folder is, given the leads that messages proved."""
        held = self._settled()
        found = [(folder, name) for folder, name, seen in self._alike() if seen is Bond.SAME]
        found += [(lead.folder, lead.raw_name) for lead in proven]
        while fresh := _unambiguous(found):
            held |= fresh
            found = list(self._followers(held))
        for folder in self._unplaced(held):
            if folder.raw_name in self.listed:
                held.setdefault(folder.raw_name, folder)
        return Placement(held, tuple(self._unplaced(held)))

    # Who is where for certain, and who is not

    def _openable(self) -> Iterator[bytes]:
        return (name for name, entry in self.listed.items() if entry.selectable and name != _INBOX)

    def _at_home(self, folder: Folder) -> Bond:
        """What its own name says of the folder; OTHER when the name is gone."""
        if folder.raw_name == _INBOX:
            return Bond.SAME
        if folder.raw_name not in self.listed:
            return Bond.OTHER
        return bond(folder, self.statuses.get(folder.raw_name))

    def _settled(self) -> dict[bytes, Folder]:
        return {
            folder.raw_name: folder
            for folder in self.stored
            if self._at_home(folder) in {Bond.SAME, Bond.LIKE} and folder.raw_name in self.listed
        }

    def _astray(self) -> list[Folder]:
        return [folder for folder in self.stored if self._at_home(folder) is Bond.OTHER]

    def _alike(self) -> Iterator[tuple[Folder, bytes, Bond]]:
        """Yield the folders astray with the names, free to be theirs, that show an identity of theirs."""
        settled = self._settled()
        bearing: dict[object, set[bytes]] = defaultdict(set)
        for name in self._openable():
            status = self.statuses.get(name)
            if status is not None and name not in settled:
                bearing[status.mailbox_id].add(name)
                bearing[status.uid_validity].add(name)
        for folder in self._astray():
            for name in sorted(bearing[folder.mailbox_id] | bearing[folder.uid_validity]):
                yield folder, name, bond(folder, self.statuses[name])

    def _unplaced(self, held: Mapping[bytes, Folder]) -> list[Folder]:
        placed = {folder.no for folder in held.values()}
        return [folder for folder in self.stored if folder.no not in placed]

    # Kin

    def _followers(self, held: Mapping[bytes, Folder]) -> Iterator[tuple[Folder, bytes]]:
        """Yield unplaced folders with the free names to which those that were found elsewhere lead."""
        moved = {folder.raw_name: name for name, folder in held.items() if name != folder.raw_name}
        left = {name: before for before, name in moved.items()}
        above = self._parents_of(moved)
        for folder in self._unplaced(held):
            names = {*_with_parent(folder, moved), *above[folder.raw_name], left.get(folder.raw_name, b"")}
            for name in names:
                if name in self.listed and name not in held and self._may_be(folder, name):
                    yield folder, name

    def _parents_of(self, moved: Mapping[bytes, bytes]) -> dict[bytes, set[bytes]]:
        """Return names that are gone with the new names that moved children tell for them."""
        known = {folder.raw_name: folder for folder in self.stored}
        told: dict[bytes, set[bytes]] = defaultdict(set)
        for before, after in moved.items():
            parent, leaf = _split(before, known[before].delimiter)
            target, new_leaf = _split(after, known[before].delimiter)
            if leaf == new_leaf and parent not in self.listed and target not in known:
                told[parent].add(target)
        return told

    def _may_be(self, folder: Folder, name: bytes) -> bool:
        shown = bond(folder, self.statuses.get(name))
        return shown in {Bond.SAME, Bond.LIKE} or (shown is Bond.OPEN and not folder.uid_validity)


def _asked(holder: Folder | None, object_ids: bool) -> bool:
    if holder is None:
        return object_ids
    return bool(holder.selected and holder.uid_validity) or (object_ids and not holder.mailbox_id)


def _unambiguous(pairs: Iterable[tuple[Folder, bytes]]) -> dict[bytes, Folder]:
    """Return the pairs in which neither the folder nor the name has another partner."""
    names: dict[FolderNo, set[bytes]] = defaultdict(set)
    folders: dict[bytes, dict[FolderNo, Folder]] = defaultdict(dict)
    for folder, name in pairs:
        names[folder.no].add(name)
        folders[name][folder.no] = folder
    return {
        name: folder
        for name, claimants in folders.items()
        for folder in claimants.values()
        if len(claimants) == 1 and len(names[folder.no]) == 1
    }


def _with_parent(folder: Folder, moved: Mapping[bytes, bytes]) -> Iterator[bytes]:
    parent, leaf = _split(folder.raw_name, folder.delimiter)
    if parent in moved:
        yield moved[parent] + folder.delimiter.encode() + leaf


def _split(raw: bytes, delimiter: str) -> tuple[bytes, bytes]:
    """Return the name of the folder above, empty at the top, and the last level."""
    if not delimiter:
        return b"", raw
    parent, _, leaf = raw.rpartition(delimiter.encode())
    return parent, leaf

"""The model's second client: one change of a mailbox as a value, made to whatever the mailbox holds when its time comes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count

from mailsync_grpc.cli.demo.mailbox import deliveries
from tests.support.mail import AnyMailbox

LASTING = ("INBOX", "Sent")
PASSING = ("Work", "Ärger & Co", "Else", "Work/Inner", "Ärger & Co/Inner", "Else/Inner")


class Kind(Enum):
    """What another client may do between any two commands of ours."""

    APPEND = auto()
    FLAG = auto()
    UNFLAG = auto()
    EXPUNGE = auto()
    MOVE = auto()
    COPY = auto()
    CREATE_FOLDER = auto()
    DELETE_FOLDER = auto()
    RECREATE_FOLDER = auto()
    RENAME_FOLDER = auto()


OF_FOLDERS = (Kind.CREATE_FOLDER, Kind.DELETE_FOLDER, Kind.RECREATE_FOLDER, Kind.RENAME_FOLDER)
OF_MESSAGES = tuple(kind for kind in Kind if kind not in OF_FOLDERS)


@dataclass(frozen=True, slots=True)
class Change:
    """`which` picks the message, counted round from the oldest; `many` is how many of them from there.

    A folder is renamed to `target`.
    """

    kind: Kind
    folder: str
    which: int = 0
    many: int = 1
    target: str = "Sent"


@dataclass(slots=True)
class SecondClient:
    """Changes `mailbox` and knows which of its folders there are. What cannot be done then is not done.

    `folders` numbers them by name: a renamed one keeps its number, one that is created again gets another.
    """

    mailbox: AnyMailbox
    folders: dict[str, int] = field(default_factory=lambda: {name: -n for n, name in enumerate(LASTING)})
    seeds: Iterator[int] = field(default_factory=lambda: count(1))

    def make(self, change: Change) -> None:
        """Make the change."""
        if change.kind is Kind.RENAME_FOLDER:
            self._rename(change.folder, change.target)
        elif change.kind in OF_FOLDERS:
            self._change_folders(change.kind, change.folder)
        elif {change.folder, change.target} <= self.folders.keys():
            self._change_messages(change)

    def _change_folders(self, kind: Kind, name: str) -> None:
        if name in LASTING or (name in self.folders) == (kind is Kind.CREATE_FOLDER):
            return
        if not self._has_parent(name):
            return
        # What is left of a folder that was deleted from above others is not the same on all servers.
        if kind is Kind.DELETE_FOLDER and self._branch(name) != {name}:
            return
        if kind is not Kind.CREATE_FOLDER:
            self.mailbox.delete_folder(name)
            del self.folders[name]
        if kind is not Kind.DELETE_FOLDER:
            self.mailbox.create_folders(name)
            self.folders[name] = next(self.seeds)
        if kind is Kind.RECREATE_FOLDER:
            self.mailbox.deliver(deliveries(2, seed=next(self.seeds)), name)

    def _rename(self, name: str, new: str) -> None:
        """Rename the folder with those below it, where all names are of `PASSING` before and after."""
        renamed = {old: new + old.removeprefix(name) for old in self._branch(name)}
        if not renamed or not set(renamed.values()) <= set(PASSING) - self.folders.keys() or name in LASTING:
            return
        if self._has_parent(new) and not new.startswith(f"{name}/"):
            self.mailbox.rename_folder(name, new)
            self.folders |= {renamed[old]: self.folders.pop(old) for old in renamed}

    def _branch(self, name: str) -> set[str]:
        return {folder for folder in self.folders if f"{folder}/".startswith(f"{name}/")}

    def _has_parent(self, name: str) -> bool:
        parent = name.rpartition("/")[0]
        return not parent or parent in self.folders

    def _change_messages(self, change: Change) -> None:
        folder = change.folder
        if change.kind is Kind.APPEND:
            self.mailbox.deliver(deliveries(change.many, seed=next(self.seeds)), folder)
            return
        held = sorted(self.mailbox.flags_by_uid(folder))
        if not held:
            return
        start = change.which % len(held)
        uids = ",".join(map(str, held[start : start + change.many]))
        match change.kind:
            case Kind.FLAG:
                self.mailbox.store(uids, r"+FLAGS.SILENT (\Flagged work)", folder)
            case Kind.UNFLAG:
                self.mailbox.store(uids, r"-FLAGS.SILENT (\Flagged \Seen)", folder)
            case Kind.EXPUNGE:
                self.mailbox.expunge(uids, folder)
            case Kind.MOVE:
                self.mailbox.move(uids, change.target, folder)
            case Kind.COPY:
                self.mailbox.copy(uids, change.target, folder)

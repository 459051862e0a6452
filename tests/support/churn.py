"""An account in a store that changes at random, in every way that a client has to follow."""

from dataclasses import replace
from random import Random
from typing import Any

from mailsync_grpc.model.changes import (
    Backfilled,
    Change,
    EnvelopeMoved,
    EnvelopesRemoved,
    FolderChanged,
    FolderChangeKind,
    FolderReset,
    FolderSynced,
    NewEnvelope,
)
from mailsync_grpc.model.evidence import MoveEvidence
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import MirrorNo, Selection
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch, Counter, Store
from tests.support.store import Mailbox, message_of


class Churn:
    """Changes an account's folders at random in every way that a client has to follow."""

    def __init__(self, store: Store, random: Random) -> None:
        self.random = random
        self.boxes = [Mailbox.make(store, name=name) for name in ("INBOX", "Sent")]
        self.messages: dict[FolderNo, dict[int, NewEnvelope]] = {box.folder.no: {} for box in self.boxes}
        self.uid = 0

    def change(self) -> None:
        box, other = self.random.sample(self.boxes, 2)
        kinds = (self.add, self.add, self.backfill, self.flag, self.flag, self.remove, self.move, self.rename)
        self.random.choice((*kinds * 4, self.renumber, self.reselect))(box, other)

    def add(self, box: Mailbox, _: Mailbox) -> None:
        for _number in range(self.random.randint(1, 4)):
            self.uid += 1
            box.add(self._kept(box, self.uid))

    def backfill(self, box: Mailbox, _: Mailbox) -> None:
        first, self.uid = self.uid + 1, self.uid + self.random.randint(1, 9)
        box.backfill(*(self._kept(box, uid) for uid in range(first, self.uid + 1)))

    def flag(self, box: Mailbox, _: Mailbox) -> None:
        for uid in self._some(box):
            message = self.messages[box.folder.no][uid]
            flags = Flags.of([self.random.choice(("\\Seen", "\\Flagged", "work"))])
            if flags != message.flags:
                box.flag(uid, message.flags, flags)
                self.messages[box.folder.no][uid] = message._replace(flags=flags)

    def remove(self, box: Mailbox, _: Mailbox) -> None:
        gone = self._some(box)
        for uid in gone:
            del self.messages[box.folder.no][uid]
        if gone:
            self._apply(box, EnvelopesRemoved(box.folder.key, UidSet.of(gone)))

    def move(self, box: Mailbox, other: Mailbox) -> None:
        for uid in self._some(box)[:1]:
            self.uid += 1
            moved = self.messages[box.folder.no].pop(uid)._replace(uid=self.uid)
            self.messages[other.folder.no][self.uid] = moved
            evidence = MoveEvidence.MESSAGE_ID_SIZE_DATE
            self._apply(box, EnvelopeMoved(box.folder.key, uid, other.folder.key, moved, evidence))

    def rename(self, box: Mailbox, _: Mailbox) -> None:
        box.rename(f"Folder {self.random.randrange(1_000)}")

    def renumber(self, box: Mailbox, _: Mailbox) -> None:
        before = box.folder.key
        self._remirror(box, uid_validity=box.folder.uid_validity + 1)
        messages = tuple(self.messages[box.folder.no].values())
        history = (Backfilled(box.folder.key, messages),) if messages else ()
        synced = FolderSynced(box.folder.key, len(messages))
        self._apply(box, FolderReset(box.folder, before), *history, synced)

    def reselect(self, box: Mailbox, _: Mailbox) -> None:
        for selection, kind in (
            (Selection.DESELECTED, FolderChangeKind.DESELECTED),
            (Selection.SELECTED, FolderChangeKind.SELECTED),
        ):
            self._remirror(box, selection=selection)
            self._apply(box, FolderChanged(box.folder, kind))
        self.messages[box.folder.no].clear()

    def _remirror(self, box: Mailbox, **changes: Any) -> None:
        mirror = MirrorNo(box.store.allocate(Counter.MIRROR))
        version = box.folder.version + 1
        box.folder = replace(box.folder, version=version, mirror=mirror, **changes)

    def _kept(self, box: Mailbox, uid: int) -> NewEnvelope:
        message = message_of(uid, text=str(uid))
        self.messages[box.folder.no][uid] = message
        return message

    def _some(self, box: Mailbox) -> list[int]:
        uids = sorted(self.messages[box.folder.no])
        return sorted(self.random.sample(uids, min(len(uids), self.random.randint(1, 5))))

    @staticmethod
    def _apply(box: Mailbox, *changes: Change) -> None:
        box.store.apply(Batch(box.account.key, changes))

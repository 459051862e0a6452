"""A process that uses a store of its own accord: `python -m tests.support.store_child <what> <data directory> …`.

`write` commits batches to all folders but the last, which takes what is moved, from several threads until it is killed,
and prints one line for each batch that was
acknowledged: folder number, first and last UID. `commit` makes one commit and ends; `hold` opens the store as a server,
says so and waits to be killed; `open` only opens it as a
server; `read` begins a read transaction, says so and waits likewise; `work` opens it as a
worker, says so, and at each line it is sent writes and tells whether it could.
"""

import os
import sys
import threading
from itertools import count
from pathlib import Path

from mailsync_grpc.errors import StoreLockedError
from mailsync_grpc.model.changes import (
    Backfilled,
    Change,
    EnvelopeAdded,
    EnvelopeMoved,
    EnvelopesRemoved,
    EnvelopeUpdated,
    FlagsChanged,
)
from mailsync_grpc.model.evidence import MoveEvidence
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch, Counter, Store
from mailsync_grpc.store.lmdb import open_store
from tests.support.store import message_of

BATCH = 6


def say(text: str) -> None:
    """Print a line at once, whole even when threads speak at the same time."""
    os.write(sys.stdout.fileno(), f"{text}\n".encode())


def changes_of(folder: Folder, first: int) -> tuple[Change, ...]:
    """One batch: `first` to `first + 5` are stored, the last is flagged and repaired, the one before it removed."""
    key, last = folder.key, message_of(first + BATCH - 1)
    history = tuple(message_of(uid) for uid in range(first, first + 3))
    new = tuple(EnvelopeAdded(key, message_of(uid)) for uid in range(first + 3, first + BATCH))
    flagged = FlagsChanged(key, last.uid, last.envelope_id, last.flags, Flags.of(["\\Flagged"]))
    repaired = message_of(last.uid, "\\Flagged", text="repaired", envelope_id=last.envelope_id)
    removed = EnvelopesRemoved(key, UidSet.of([last.uid - 1]))
    return (Backfilled(key, history), *new, flagged, EnvelopeUpdated(key, repaired), removed)


def kept_uids(first: int) -> set[int]:
    """The UIDs that are stored after such a batch."""
    return set(range(first, first + BATCH)) - {first + BATCH - 2}


def moved_uid(folder: FolderNo, first: int) -> int:
    """The UID that the first message of a batch has in the folder that it is moved to."""
    return folder * 1_000_000 + first


def move_of(folder: Folder, first: int, target: Folder) -> EnvelopeMoved:
    """The first message of a batch goes to another folder."""
    moved = message_of(first)._replace(uid=moved_uid(folder.no, first))
    return EnvelopeMoved(folder.key, first, target.key, moved, MoveEvidence.MESSAGE_ID_SIZE_DATE)


def write_for_ever(store: Store, folder: Folder, progress: FolderProgress, target: Folder) -> None:
    """Commit batches and say so, beginning behind what was stored before."""
    for first in count(progress.cursor + 1, BATCH):
        after = FolderProgress(cursor=first + BATCH - 1)
        changes = (*changes_of(folder, first), move_of(folder, first, target))
        store.apply(Batch(folder.account, changes, ((folder.key, after),)))
        say(f"{folder.no} {first}")


def write_when_told(store: Store) -> None:
    """Allocate a number for each line of the standard input."""
    say("ready")
    for _ in sys.stdin:
        try:
            say(f"wrote {store.allocate(Counter.ACCOUNT)}")
        except StoreLockedError:
            say("refused")


def main(what: str, directory: str) -> None:
    """Do `what` on the store in `directory`."""
    store = open_store(Path(directory), exclusive=what in {"write", "hold", "open"})
    if what == "open":
        store.close()
        return
    if what == "work":
        write_when_told(store)
        return
    (account,) = store.accounts()
    folders = store.folders(account.no)
    match what:
        case "write":
            *written, (target, _) = folders
            for one in written:
                threading.Thread(target=write_for_ever, args=(store, *one, target)).start()
        case "commit":
            folder, progress = folders[0]
            store.apply(Batch(folder.account, changes_of(folder, progress.cursor + 1)))
            store.close()
        case "hold":
            say("held")
            sys.stdin.read()
        case "read":
            with store._environment.read():
                say("reading")
                sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])

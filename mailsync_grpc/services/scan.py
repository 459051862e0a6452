"""The stored state in key order, in pieces: accounts, each followed by its folders and their envelopes.

A scan is many short reads, each consistent in itself, while the store goes on changing. A piece says the revision from
before its first read, so that an event changes what is in it only where it is newer; what changed behind the scan is in
the events since before its first piece. Where a scan is can be said by a `Place`, from which another one goes on. A folder
that was renumbered on the way begins anew, and one that was dropped is empty: events tell of both.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from mailsync_grpc.model.account import Account
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services.paging import MAX_PAGE_BYTES, MAX_PAGE_SIZE
from mailsync_grpc.services.unseen import shown
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.codec.identity import View, join_envelopes
from mailsync_grpc.store.codec.messages import account_message
from mailsync_grpc.store.codec.wire import bytes_tag, chunk
from mailsync_grpc.store.values import EnvelopeRow

_ACCOUNTS, _FOLDERS, _ENVELOPES = bytes_tag(2), bytes_tag(3), bytes_tag(4)
"""Fields of SnapshotChunk."""
_BEYOND: Final = 0xFFFF_FFFF
"""In place of a folder's number: the account is done."""
_ACCOUNTS_AT_ONCE: Final = 64
_NUMBERS: Final = struct.Struct(">IIIIIQ")


class Place(NamedTuple):
    """How far a scan is: after `uid` of `folder`'s `mirror` in `account` (an id); and what was given so far.

    Folders with lower numbers are done, those with higher ones still to come; without an account nothing was given yet.
    """

    account: str = ""
    folder: int = 0
    mirror: int = 0
    uid: int = 0
    accounts: int = 0
    folders: int = 0
    envelopes: int = 0

    def pack(self) -> bytes:
        """Return the place as octets."""
        return _NUMBERS.pack(*self[1:]) + self.account.encode()

    @classmethod
    def unpack(cls, packed: bytes) -> "Place":
        """Return the place of `pack`."""
        return cls(packed[_NUMBERS.size :].decode(), *_NUMBERS.unpack_from(packed))

    def after(self, folder: Folder, rows: list[EnvelopeRow]) -> "Place":
        """Return the place behind these rows of the folder."""
        return self.at(folder, rows[-1].uid if rows else 0, len(rows))

    def at(self, folder: Folder, uid: int, envelopes: int) -> "Place":
        """Return the place behind a UID of the folder, after that many more envelopes."""
        return self._replace(
            folder=folder.no, mirror=folder.mirror, uid=uid, envelopes=self.envelopes + envelopes
        )

    def start_in(self, folder: Folder) -> int:
        """Return the UID after which the folder is still to be read."""
        return self.uid if (self.folder, self.mirror) == (folder.no, folder.mirror) else 0


class Wanted(Protocol):
    """What a scan is of; `account_ids` None stands for every account."""

    @property
    def account_ids(self) -> frozenset[str] | None:
        """The ids of the accounts that may be shown at all."""
        ...

    def shows_account(self, account: Account) -> bool:
        """Whether the account is."""
        ...

    def shows_folder(self, folder: Folder) -> bool:
        """Whether the folder is."""
        ...


class Piece(NamedTuple):
    """Serialized fields 2 to 4 of SnapshotChunk, the revision they were read at, and the place behind them."""

    content: bytes
    read_revision: Revision
    place: Place


class _Draft:
    """A piece that is being filled."""

    def __init__(self, read_revision: Revision, place: Place) -> None:
        self.place = place
        self.items = self.octets = 0
        self._read_revision = read_revision
        self._parts: list[bytes] = []

    @property
    def room(self) -> tuple[int, int]:
        """Items and octets that still fit."""
        return MAX_PAGE_SIZE - self.items, MAX_PAGE_BYTES - self.octets

    @property
    def is_full(self) -> bool:
        """Whether nothing more fits."""
        return min(self.room) <= 0

    def piece(self) -> Piece:
        """Return what was filled."""
        return Piece(b"".join(self._parts), self._read_revision, self.place)

    def add_account(self, account: Account) -> None:
        """Take an account; its folders follow."""
        self._add(_ACCOUNTS, account_message(account).SerializeToString())
        self.place = self.place._replace(
            account=account.id, folder=0, mirror=0, uid=0, accounts=self.place.accounts + 1
        )

    def add_folder(self, store: Store, folder: Folder, progress: FolderProgress) -> None:
        """Take a folder's record."""
        self._add(_FOLDERS, shown(store, folder, progress).SerializeToString())
        self.place = self.place._replace(folders=self.place.folders + 1)

    def add_envelopes(self, folder: Folder, rows: list[EnvelopeRow], view: View) -> None:
        """Take a run of a folder's envelopes."""
        content = join_envelopes(folder.key, rows, view, _ENVELOPES)
        self._parts.append(content)
        self.items += len(rows)
        self.octets += len(content)
        self.place = self.place.after(folder, rows)

    def _add(self, tag: bytes, message: bytes) -> None:
        self._parts.append(chunk(tag, message))
        self.items += 1
        self.octets += len(message)


def pieces(
    store: Store, head: Callable[[], Revision], wanted: Wanted, view: View, place: Place
) -> Iterator[Piece]:
    """Yield the state from `place` on; blocks, holds no transaction between two pieces."""
    draft = _Draft(head(), place)
    for account_id in _account_ids(store, wanted, place):
        # Read here and not with its neighbours: a record must not be older than its piece says.
        account = store.account(account_id)
        if account is None or not wanted.shows_account(account):
            continue
        folders = [entry for entry in store.folders(account.no) if wanted.shows_folder(entry[0])]
        if draft.place.account != account_id:
            draft.add_account(account)
            for folder, progress in folders:
                draft.add_folder(store, folder, progress)
        for folder in rest_of([folder for folder, _ in folders], draft.place):
            more = True
            while more:
                page = store.page(folder, draft.place.start_in(folder), *draft.room, newest_first=False)
                draft.add_envelopes(folder, page.rows, view)
                more = page.more
                if draft.is_full:
                    yield draft.piece()
                    draft = _Draft(head(), draft.place)
        draft.place = draft.place._replace(folder=_BEYOND, mirror=0, uid=0)
        if draft.is_full:
            yield draft.piece()
            draft = _Draft(head(), draft.place)
    if draft.items:
        yield draft.piece()


def rest_of(folders: list[Folder], place: Place) -> list[Folder]:
    """Return the mirrored ones of an account's `folders` whose envelopes are still to be read."""
    return [folder for folder in folders if folder.selected and folder.no >= place.folder]


def _account_ids(store: Store, wanted: Wanted, place: Place) -> Iterator[str]:
    """Yield the ids of the accounts that may still be to come, in order."""
    if place.account and place.folder != _BEYOND:
        yield place.account
    if wanted.account_ids is not None:
        yield from sorted(each for each in wanted.account_ids if each > place.account)
        return
    after = place.account
    while batch := store.accounts(after, _ACCOUNTS_AT_ONCE):
        yield from (account.id for account in batch)
        after = batch[-1].id

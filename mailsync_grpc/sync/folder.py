"""One folder of one account: look, compare, commit.

Every look opens the folder anew with EXAMINE, so that EXISTS and UIDVALIDITY belong to this look, then

- *incremental*: one UID FETCH of the flags from the 200th newest stored UID up, which shows arrivals, and flag changes
  and removals among the newest;
- *full*: one UID FETCH of the flags of the whole folder, which shows everything.

What is found is committed in bounded batches, each with the progress it stands for, so that a crash at any point
resumes without loss or repetition. History found by a folder's first look goes to the pending set and is fetched newest
first by `backfill`; what arrives later is new mail and is announced message by message.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mailsync_grpc.errors import FolderNotSelectableError, ImapProtocolError
from mailsync_grpc.imap.fetch import FlagListing
from mailsync_grpc.model.changes import (
    FlagsChanged,
    FolderChanged,
    FolderChangeKind,
    FolderReset,
    FolderSynced,
)
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Counter
from mailsync_grpc.store.values import FlagBlock
from mailsync_grpc.sync import diff, plan
from mailsync_grpc.sync.arrivals import Arrivals
from mailsync_grpc.sync.commit import Committer, RenumberedError, chunks
from mailsync_grpc.sync.listed import store_listed
from mailsync_grpc.sync.removals import Removals
from mailsync_grpc.sync.window import view_is_cut
from mailsync_grpc.sync.window_keeper import WindowKeeper

BLOCKS_PER_READ = 1_024


@dataclass(slots=True)
class FolderSync:
    """A look at one folder; `state` follows what was committed, `expected` is what EXISTS should be at its beginning.

    `may_reset` tells whether a UIDVALIDITY other than the known one is that of a mailbox that nobody else's record is of.
    """

    state: Committer
    may_reset: Callable[[int], bool]
    expected: int | None = None

    def look(self, full: bool) -> bool:
        """Look at the folder, in full when asked for or never done, and commit what differs; True when it was a full look.

        Raises the errors of the connection and of the store, and RenumberedError; what was committed before stays.
        """
        state = self.state
        self._settle_validity(state.connection.examine(state.folder.raw_name).uid_validity)
        self.expected = state.progress.expected_exists
        full = full or self.expected is None
        if not full:
            self._incremental()
            full = plan.count_differs(state.progress, state.connection.exists)
        if full:
            self._full()
        WindowKeeper(state).settle()
        self._settle_first_sync()
        state.progress = replace(state.progress, as_of=state.now())
        return full

    def _settle_validity(self, answered: int | None) -> None:
        state, folder = self.state, self.state.folder
        match plan.validity(folder, answered):
            case plan.Validity.SAME:
                return
            case plan.Validity.FIRST:
                state.renew(FolderChanged(_numbered(folder, answered, folder.mirror), FolderChangeKind.STATE))
            case plan.Validity.RESET:
                if not self.may_reset(answered or 0):
                    raise RenumberedError(
                        f"{folder.name} is renumbered, or its name is another mailbox's now"
                    )
                mirror = MirrorNo(state.store.allocate(Counter.MIRROR))
                state.renew(FolderReset(_numbered(folder, answered, mirror), folder.key), FolderProgress())
            case plan.Validity.UNUSABLE:
                raise FolderNotSelectableError(
                    f"{folder.display_name!r} has no UIDVALIDITY (RFC 3501 section 2.3.1.1), so its messages"
                    " cannot be told apart between two looks"
                )

    def _settle_first_sync(self) -> None:
        progress = self.state.progress
        if not progress.synced and not progress.pending:
            self.state.commit([FolderSynced(self.state.folder.key, progress.stored)], synced=True)

    # Looks

    def _incremental(self) -> None:
        state = self.state
        newest = state.store.newest_uids(*self._mirror, state.account.settings.flags_window)
        low = newest[0] if newest else state.progress.cursor + 1
        self._apply(self.state.list_flags(f"{low}:*"), low)

    def _full(self) -> None:
        state = self.state
        state.mode = "full"
        listing = self.state.list_flags("1:*")
        if not listing.uids and state.connection.exists:
            raise ImapProtocolError(
                f"{state.folder.display_name!r} holds {state.connection.exists} messages"
                " but the answer to UID FETCH 1:* (FLAGS) shows none"
            )
        if state.progress.expected_exists is None:
            WindowKeeper(state).adopt(UidSet.of(listing.uids))
            store_listed(state)
        else:
            kept = self._apply(listing, 1)
            state.commit([], expected_exists=len(listing.uids) + kept, verified_at=state.now())

    # What the answer means

    def _apply(self, listing: FlagListing, low: int) -> int:
        """Commit what the answer changes; return how many UIDs it omitted although they are still there."""
        with self.state.timed("parse"):
            found = diff.compare(listing.uids, listing.hashes, self._blocks(low), low)
        self._change_flags(found.changed, listing)
        keeper, missing, cut = WindowKeeper(self.state), found.missing, False
        if low == 1 and view_is_cut(self.expected, listing.uids, self.state.connection.exists):
            missing, cut = keeper.hide(missing, listing.uids[0]), True
        known = self.state.progress.pending | self.state.outside if found.unknown else UidSet()
        arrived = [uid for uid in found.unknown if uid not in known]
        omitted = Removals(self.state).settle(missing, len(arrived))
        if low == 1 and self.state.notes.suspicion is None:
            keeper.forget_unlisted(listing.uids, cut)
        Arrivals(self.state).announce(keeper.admit(arrived, cut))
        return omitted

    def _blocks(self, low: int) -> Iterator[FlagBlock]:
        first = diff.first_block(low)
        while True:
            blocks = self.state.store.flag_blocks(*self._mirror, first, BLOCKS_PER_READ)
            yield from blocks
            if len(blocks) < BLOCKS_PER_READ:
                return
            first = blocks[-1].number + 1

    def _change_flags(self, changed: tuple[tuple[int, int, int], ...], listing: FlagListing) -> None:
        state = self.state
        stored = state.store.flag_table(*self._mirror) if changed else {}
        for chunk in chunks(changed, state.account.settings.batch_size):
            ids = {
                known.uid: known.envelope_id
                for known in state.store.known(state.folder, [c[0] for c in chunk])
            }
            state.commit(
                [
                    FlagsChanged(state.folder.key, uid, ids[uid], stored[before], listing.table[after])
                    for uid, before, after in chunk
                ]
            )

    @property
    def _mirror(self) -> tuple[AccountNo, MirrorNo]:
        return self.state.folder.account.no, self.state.folder.mirror


def _numbered(folder: Folder, uid_validity: int | None, mirror: MirrorNo) -> Folder:
    return replace(folder, version=folder.version + 1, uid_validity=uid_validity or 0, mirror=mirror)

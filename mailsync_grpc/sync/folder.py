"""One folder of one account: look, compare, commit.

Every look opens the folder anew with EXAMINE, so that EXISTS and UIDVALIDITY belong to this look, then asks for as
much as `plan` calls for:

- *nothing*, when the mod-sequence and the counters say that there is nothing;
- *changes* since the mod-sequence of the last complete look: arrivals and flag changes anywhere, with QRESYNC removals;
- *the newest*: the flags from the 200th newest stored UID up, which show arrivals, and flag changes and removals among
  the newest; it is all that there is without CONDSTORE;
- *the UIDs* of all messages, by UID SEARCH, when EXISTS still tells of something that was not shown;
- *the whole* folder's flags, which show everything, when that is due or EXISTS is still not explained.

The hints of the EXAMINE that began a complete look (changes, or the whole) are committed after all that it found, so
that what came meanwhile, or was lost in a crash, belongs to the next. What is found is committed in bounded batches, each with the progress it stands for, so that a crash at any point
resumes without loss or repetition. History found by a folder's first look goes to the pending set and is fetched newest
first by `backfill`; what arrives later is new mail and is announced message by message.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mailsync_grpc.errors import FolderNotSelectableError, ImapProtocolError, ImapRefusedError
from mailsync_grpc.imap.fetch import MAX_UID, FlagListing
from mailsync_grpc.imap.listing import Selected
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
from mailsync_grpc.sync.diff import FlagDiff
from mailsync_grpc.sync.listed import store_listed
from mailsync_grpc.sync.plan import Hints, Look
from mailsync_grpc.sync.removals import Removals
from mailsync_grpc.sync.window import view_is_cut
from mailsync_grpc.sync.window_keeper import WindowKeeper

BLOCKS_PER_READ = 1_024
COMPLETE = (Look.CHANGES, Look.WHOLE)
"""What sees every change up to its beginning."""
EVERY_UID = UidSet.span(1, MAX_UID)
NO_FLAGS_LISTED = FlagListing([], [], {})


@dataclass(slots=True)
class FolderSync:
    """A look at one folder; `state` follows what was committed, `expected` is what EXISTS should be at its beginning.

    `may_reset` tells whether a UIDVALIDITY other than the known one is that of a mailbox that nobody else's record is of.
    """

    state: Committer
    may_reset: Callable[[int], bool]
    expected: int | None = None

    def look(self, full: bool, touched: UidSet = UidSet()) -> Look:
        """Look at the folder, in full when asked for or never done, and at what was `touched`, and commit what differs.

        Raises the errors of the connection and of the store, and RenumberedError; what was committed before stays.
        """
        state = self.state
        told = state.connection.examine(state.folder.raw_name)
        self._settle_validity(told.uid_validity)
        self.expected = state.progress.expected_exists
        hints = plan.hints(state.progress, told, state.connection.condstore)
        full = full or self.expected is None
        taken = Look.WHOLE if full else self._incremental(told, hints)
        if taken is Look.WHOLE:
            self._whole()
        elif touched:
            self._touched(touched)
        WindowKeeper(state).settle()
        if taken in COMPLETE and hints != (state.progress.modseq, state.progress.uid_next):
            state.commit([], **hints._asdict())
        self._settle_first_sync()
        state.progress = replace(state.progress, as_of=state.now())
        return taken

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
                state.renew(
                    FolderReset(_numbered(folder, answered, mirror), folder.key),
                    FolderProgress(rebinding=True),
                )
            case plan.Validity.UNUSABLE:
                raise FolderNotSelectableError(
                    f"{folder.display_name!r} has no UIDVALIDITY (RFC 3501 section 2.3.1.1), so its messages"
                    " cannot be told apart between two looks"
                )

    def _settle_first_sync(self) -> None:
        progress = self.state.progress
        if not progress.synced and not progress.pending:
            synced = FolderSynced(self.state.folder.key, progress.stored)
            self.state.commit([synced], synced=True, rebinding=False)

    # Looks

    def _incremental(self, told: Selected, hints: Hints) -> Look:
        """Ask for what the counters call for; WHOLE, with nothing more asked for, when only that can explain them."""
        taken = plan.look(self.state.progress, told, hints, self.state.connection.condstore)
        if taken is Look.CHANGES and not self._changes():
            taken = Look.NEWEST
        if taken is Look.NEWEST:
            self._newest()
        if self._unexplained and self.state.notes.suspicion is None:
            self._search()
        return Look.WHOLE if self._unexplained else taken

    @property
    def _unexplained(self) -> bool:
        return plan.count_differs(self.state.progress, self.state.connection.exists)

    def _changes(self) -> bool:
        """Take what changed since the last complete look; False when the server refuses to tell."""
        try:
            listing, vanished = self.state.list_changes()
        except ImapRefusedError:
            return False
        listed = UidSet.of(listing.uids)
        found = diff.compare(listing.uids, listing.hashes, self._blocks(listed), diff.NOT_JUDGED)
        gone = diff.among(vanished - listed, self._blocks(vanished))
        self._apply(replace(found, missing=gone), listing)
        return True

    def _touched(self, uids: UidSet) -> None:
        """Compare messages that are known to have changed, wherever in the folder they are."""
        listing = self.state.list_named(uids)
        found = diff.compare(listing.uids, listing.hashes, self._blocks(uids), diff.NOT_JUDGED)
        gone = diff.among(uids - UidSet.of(listing.uids), self._blocks(uids))
        self._apply(replace(found, missing=gone), listing)

    def _newest(self) -> None:
        state = self.state
        newest = state.store.newest_uids(*self._mirror, state.account.settings.flags_window)
        low = newest[0] if newest else state.progress.cursor + 1
        self._compare(state.list_flags(f"{low}:*"), low)

    def _search(self) -> None:
        """List the UIDs of all messages; what does not add up to EXISTS is left to the comparison of the whole."""
        connection = self.state.connection
        if not plan.searchable(connection.exists):
            return
        try:
            present = self.state.list_uids()
        except ImapRefusedError:
            return
        if len(present) == connection.exists:
            found = diff.compare_uids(present, self._blocks(EVERY_UID))
            omitted = self._apply(found, NO_FLAGS_LISTED, list(present))
            self.state.commit([], expected_exists=len(present) + omitted)

    def _whole(self) -> None:
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
            self._verify(listing)

    def _verify(self, listing: FlagListing) -> None:
        state, notes = self.state, self.state.notes
        expected = len(listing.uids) + self._compare(listing, 1)
        if notes.suspicion is None:
            gap = state.connection.exists - expected
            expected += plan.settled_gap(notes.gap, gap)
            notes.gap = gap
        state.commit([], expected_exists=expected, verified_at=state.now())

    # What the answer means

    def _compare(self, listing: FlagListing, low: int) -> int:
        """Commit what a listing of all from `low` up shows; return how many it omitted although they are there."""
        with self.state.timed("parse"):
            blocks = self._blocks(UidSet.span(low, MAX_UID))
            found = diff.compare(listing.uids, listing.hashes, blocks, low)
        return self._apply(found, listing, listing.uids if low == 1 else None)

    def _apply(self, found: FlagDiff, listing: FlagListing, complete: list[int] | None = None) -> int:
        """Commit what was found; return how many of the missing are still there.

        `complete` are all UIDs of the folder, ascending, where the answer told them.
        """
        outside = self.state.outside if found.unknown else UidSet()
        found = diff.unsettled(found, self.state.progress, outside)
        self._change_flags(found.changed, listing)
        Removals(self.state).take_back(listing.uids if complete is None else complete)
        keeper, missing, cut = WindowKeeper(self.state), found.missing, False
        if complete and view_is_cut(self.expected, complete, self.state.connection.exists):
            missing, cut = keeper.hide(missing, complete[0]), True
        omitted = Removals(self.state).settle(missing, len(found.unknown))
        if complete is not None and self.state.notes.suspicion is None:
            keeper.forget_unlisted(complete, cut)
        Arrivals(self.state).announce(keeper.admit(list(found.unknown), cut))
        return omitted

    def _blocks(self, uids: UidSet) -> Iterator[FlagBlock]:
        """Yield the stored blocks that hold `uids`, and some between them."""
        for first, last in diff.blocks_of(uids):
            while first <= last:
                limit = min(BLOCKS_PER_READ, last - first + 1)
                blocks = self.state.store.flag_blocks(*self._mirror, first, limit)
                yield from (block for block in blocks if block.number <= last)
                if len(blocks) < limit:
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

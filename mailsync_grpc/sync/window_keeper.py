"""Keeping one folder's mirror inside its account's window: `window` decides, this reads, asks and commits.

What a window leaves out is remembered by UID (`Store.outside`), so that it is neither new mail at the next look nor
missing from the count. A message that leaves is evicted: dropped here with its event and moved to those outside in the
same commit, while nothing goes to the mail server. What a wider window takes in becomes pending as history.

A changed setting is applied by the next look, which is a full one, and `FolderProgress.window` follows when all of it
is done; each step may be repeated, so a crash in between only repeats some.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from mailsync_grpc.errors import ImapRefusedError
from mailsync_grpc.model.changes import EnvelopesEvicted
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.model.window import Window
from mailsync_grpc.store.values import Summary
from mailsync_grpc.sync import window as windows
from mailsync_grpc.sync.commit import Committer, chunks

SLICE = 5_000
"""Stored messages read at once, and evicted in one commit at most."""


@dataclass(slots=True)
class WindowKeeper:
    """The window of the folder that `state` is about."""

    state: Committer

    # The first look, and a changed setting

    def adopt(self, listed: UidSet) -> None:
        """Take up the history that a folder's first look lists, as far as it may be inside."""
        inside = self._may_be_inside(listed)
        if self._window.newest:
            inside = inside.highest(self._window.newest)
        self.state.commit(
            [],
            cursor=max(listed.highest(1), default=0),
            pending=inside,
            expected_exists=len(listed),
            verified_at=self.state.now(),
            window=self._window,
            outside=listed - inside,
        )

    def settle(self) -> None:
        """Apply the window to what is stored and pending, at the end of a look."""
        if self.state.progress.window != self._window:
            self._change()
        self.balance()

    def _change(self) -> None:
        progress, state = self.state.progress, self.state
        waiting = progress.pending | state.outside
        inside = self._may_be_inside(waiting)
        state.commit([], pending=inside, arriving=progress.arriving & inside, outside=waiting - inside)
        self.evict_older()
        self.balance()
        state.commit([], window=self._window)

    def _may_be_inside(self, uids: UidSet) -> UidSet:
        """Return those of `uids` that are to be fetched, which then decides; the newest are told by `balance`."""
        found = self._searched()
        return uids if found is None else uids & found

    def _searched(self) -> UidSet | None:
        """Return the UIDs that the server takes for as new as the window's bound; None for no bound or a refusal.

        Minimal mode knows no date, so there the search alone decides and is not asked wider.
        """
        state, bound = self.state, self.state.bound()
        if bound is None:
            return None
        margin = timedelta() if state.minimal else windows.MARGIN
        with suppress(ImapRefusedError):
            return state.connection.uid_search(windows.search_since(bound, margin))
        return None

    def confine(self) -> None:
        """Leave out pending messages that minimal mode would store without a date, as an account's change of mode finds them.

        What full mode took for perhaps inside was to be decided by the dates that it fetches. Raises RenumberedError.
        """
        if not self.state.minimal or self.state.bound() is None:
            return
        self.state.reopen()
        progress, found = self.state.progress, self._searched()
        beyond = UidSet() if found is None else progress.pending - found
        if beyond:
            self._evict(UidSet(), waiting=beyond)

    # Messages that leave

    def evict_older(self) -> None:
        """Evict what is stored and older than the window's bound; only minimal mode asks the server, of the open folder."""
        bound, inside = self.state.bound(), self._searched() if self.state.minimal else None
        if bound is None or (self.state.minimal and inside is None):
            return
        for stored in self._slices():
            uids = UidSet.of(message.uid for message in stored)
            old = windows.older(stored, bound) if inside is None else uids - inside
            if old := old - self.state.progress.leaving:
                self._evict(old)

    def _slices(self) -> Iterator[list[Summary]]:
        after = 0
        while stored := self._lowest(after, SLICE):
            after = stored[-1].uid
            yield stored

    def _lowest(self, after: int, limit: int) -> list[Summary]:
        folder = self.state.folder
        return self.state.store.summaries(folder.account.no, folder.mirror, after, limit)

    def _evict(self, stored: UidSet, waiting: UidSet = UidSet(), unlisted: int = 0) -> None:
        """Drop what is `stored` and forget what is `waiting`; the server no longer counts `unlisted` of them."""
        state, progress = self.state, self.state.progress
        state.commit(
            [EnvelopesEvicted(state.folder.key, stored)] if stored else [],
            stored=progress.stored - len(stored),
            pending=progress.pending - waiting,
            arriving=progress.arriving - waiting,
            expected_exists=(progress.expected_exists or 0) - unlisted,
            outside=state.outside | stored | waiting,
        )

    # The newest N

    def balance(self) -> None:
        """Evict what is beyond the newest N, or take back as many as are missing; needs no mail server."""
        if not self._window.newest:
            return
        while (excess := self._excess()) > 0 and any(beyond := self._beyond(excess)):
            self._evict(*beyond)
        if excess < 0 and self.state.outside:
            back = self.state.outside.highest(-excess)
            self.state.commit(
                [], pending=self.state.progress.pending | back, outside=self.state.outside - back
            )

    def _excess(self, arrived: int = 0) -> int:
        progress = self.state.progress
        kept = progress.stored - len(progress.leaving) + len(progress.pending) + arrived
        return kept - self._window.newest

    def _beyond(self, excess: int) -> windows.Surplus:
        """Return the lowest `excess` UIDs, or as many of them as one slice tells."""
        slice_ = min(excess, SLICE)
        lowest = self._lowest_stored(slice_)
        count = excess if len(lowest) < slice_ else slice_
        return windows.surplus(count, lowest, self.state.progress.pending)

    def _lowest_stored(self, count: int) -> UidSet:
        """Return the `count` lowest UIDs that are stored and stay."""
        leaving = self.state.progress.leaving
        stored = UidSet.of(message.uid for message in self._lowest(0, count + len(leaving))) - leaving
        return stored - stored.highest(len(stored) - count)

    def admit(self, arrived: list[int], cut: bool) -> list[int]:
        """Return those of `arrived` (ascending) that are new mail inside; what the window leaves out is noted.

        The newest N leave out what is below all of them and announce all that is newer, though it be more than N at
        once: so what is outside stays below what is inside, whichever of it is gone before it is fetched. What a `cut`
        view shows below all that is kept is no arrival but history that came in sight.
        """
        history = windows.below(UidSet.of(arrived), self._lowest_kept()) if cut else UidSet()
        new = UidSet.of(arrived) - history
        beyond = self._left_out(new) if new else UidSet()
        if not (history or beyond):
            return arrived
        progress = self.state.progress
        self.state.commit(
            [],
            cursor=max((progress.cursor, *beyond.highest(1))),
            pending=progress.pending | history,
            expected_exists=(progress.expected_exists or 0) + len(history) + len(beyond),
            outside=self.state.outside | beyond,
        )
        return list(new - beyond)

    def _left_out(self, arrived: UidSet) -> UidSet:
        """Return those of `arrived` that are outside, as far as that can be told before they are fetched."""
        if self._window.newest:
            low = windows.below(arrived, self._lowest_kept())
            return low - low.highest(len(low) - max(0, self._excess(len(arrived))))
        return arrived - self._may_be_inside(arrived) if self.state.minimal else UidSet()

    def _lowest_kept(self) -> int:
        """Return the lowest UID that is stored or pending, 0 when there is none."""
        stored = self._lowest_stored(1)
        return min((uids.ranges[0][0] for uids in (stored, self.state.progress.pending) if uids), default=0)

    # What a complete listing shows

    def hide(self, missing: UidSet, lowest: int) -> UidSet:
        """Evict what a cut view with this lowest UID hides of the stored, and return what else is `missing`.

        It is remembered for when it comes in sight again, which happens when newer messages go.
        """
        hidden = windows.below(missing, lowest) - self.state.progress.leaving
        self.state.notes.view_cut = self.state.notes.view_cut or bool(hidden)
        for chunk in chunks(list(hidden), SLICE):
            self._evict(UidSet.of(chunk), unlisted=len(chunk))
        return missing - hidden

    def forget_unlisted(self, uids: list[int], cut: bool) -> None:
        """Forget what is gone of what is pending or outside; nothing stays outside of a window that takes everything."""
        progress, outside = self.state.progress, self.state.outside
        if not (progress.pending or outside):
            return
        listed = UidSet.of(uids)
        absent = (progress.pending | outside) - listed
        if cut:
            absent -= windows.below(outside, uids[0])
        back = outside & listed if self._window.whole else UidSet()
        if absent or back:
            self.state.commit(
                [],
                pending=(progress.pending | back) - absent,
                arriving=progress.arriving - absent,
                outside=outside - absent - back,
            )

    @property
    def _window(self) -> Window:
        return self.state.account.settings.window

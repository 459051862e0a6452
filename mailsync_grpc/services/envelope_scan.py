"""A folder's envelopes that pass a filter, a page at a time, within a budget.

No index serves filters: rows are read in the order of the listing and looked at one by one, a run of them in each read of
the store, so that no transaction is longer than that. A page ends when it is full or when its budget is used up,
and says the UID up to which it looked; whoever goes on from there is given no envelope twice and has none passed over,
whatever comes and goes meanwhile. Looking is work of the processor alone, so that doing much of it at a time gains
nothing and takes the event loop's turns away: few pages are looked for at a time, further ones wait without a thread.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mailsync_grpc.imap.fetch import MAX_UID
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.envelope_filter import Wanted
from mailsync_grpc.services.paging import MAX_PAGE_BYTES
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.values import EnvelopeRow

_RUN: Final = 256
"""Rows of one read: what the store reads at a time anyway."""


class Budget(NamedTuple):
    """How many rows a page may look at, and for how many seconds: whichever is used up first ends it."""

    rows: int
    seconds: float


SCAN_BUDGET: Final = Budget(10_000, 0.02)
_AT_ONCE: Final = 2


class Turns:
    """Who may look for a page now. Belongs to one event loop."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_AT_ONCE)

    def of(self, wanted: Wanted) -> AbstractAsyncContextManager[None]:
        """Return what to look for a page within; where no row is looked at, there is nothing to wait for."""
        return self._free if wanted.checks else nullcontext()


class Page(NamedTuple):
    """Rows that pass, in the asked order, and the UID up to which rows were looked at, in this page or one before.

    `more` tells that further ones may be, with `incomplete` that the budget was used up before the page was full.
    """

    rows: list[EnvelopeRow]
    last: int | None
    more: bool
    incomplete: bool
    read_revision: Revision


class _Run(NamedTuple):
    """Neighbouring rows, the UID up to which they are all that is wanted (None: that of none), and whether more may be."""

    rows: list[EnvelopeRow]
    through: int | None
    more: bool


@dataclass(slots=True)
class _Draft:
    """A page that is being filled; `is_cut` when a row that passes had no place in it."""

    wanted: Wanted
    size: int
    last: int | None
    rows: list[EnvelopeRow] = field(default_factory=list)
    octets: int = 0
    looked: int = 0
    is_cut: bool = False

    @property
    def is_full(self) -> bool:
        """Whether no further row has a place."""
        return self.is_cut or len(self.rows) == self.size

    def take(self, run: _Run) -> None:
        """Look at the rows of a run, up to one that passes and has no place."""
        for row in run.rows:
            self.looked += 1
            if self.wanted.passes(row):
                if len(self.rows) == self.size or (self.rows and self.octets + row.octets > MAX_PAGE_BYTES):
                    self.is_cut = True
                    return
                self.rows.append(row)
                self.octets += row.octets
            self.last = row.uid
        self.last = run.through or self.last


def page_of(
    core: Core,
    folder: Folder,
    wanted: Wanted,
    after: int | None,
    size: int,
    *,
    newest_first: bool,
    budget: Budget = SCAN_BUDGET,
    clock: Callable[[], float] = time.monotonic,
) -> Page:
    """Return up to `size` of the envelopes that are `wanted` beyond the UID `after`, and up to 1 MiB of them."""
    if wanted.is_all:
        read = core.store.page(folder, after, size, MAX_PAGE_BYTES, newest_first)
        last = read.rows[-1].uid if read.rows else after
        return Page(read.rows, last, read.more, False, read.read_revision)
    # From before the first read: an event that is newer must not be taken for one that the page has.
    revision, end = core.head(), clock() + budget.seconds
    draft = _Draft(wanted, size, after)
    most = min(_RUN, budget.rows if wanted.checks else size)
    for run in _runs(core.store, folder, _beyond(wanted.uids, after, newest_first), most, newest_first):
        draft.take(run)
        more = draft.is_cut or run.more
        if draft.is_full or (more and (draft.looked >= budget.rows or clock() >= end)):
            return Page(draft.rows, draft.last, more, not draft.is_full, revision)
    return Page(draft.rows, draft.last, False, False, revision)


def _beyond(uids: UidSet | None, after: int | None, newest_first: bool) -> list[tuple[int, int]]:
    """Return the ranges still to be read, in the order of the listing."""
    rest = UidSet.span(1, MAX_UID) if uids is None else uids
    if after is not None:
        rest -= UidSet.span(after, MAX_UID) if newest_first else UidSet.span(1, after)
    return list(reversed(rest.ranges)) if newest_first else list(rest.ranges)


def _runs(
    store: Store, folder: Folder, ranges: list[tuple[int, int]], most: int, newest_first: bool
) -> Iterator[_Run]:
    """Yield what is stored of the ranges, up to `most` rows at a time, until neither they nor the folder have more."""
    rest = list(reversed(ranges))
    while rest:
        low, high = rest.pop()
        before = _start(low, high, newest_first)
        read = store.page(folder, before, min(most, high - low + 1), MAX_PAGE_BYTES, newest_first)
        rows = [row for row in read.rows if low <= row.uid <= high]
        if not read.more and len(rows) == len(read.rows):
            yield _Run(rows, None, False)
            return
        end = low if newest_first else high
        through = rows[-1].uid if rows and len(rows) == len(read.rows) else end
        if through != end:
            rest.append((low, through - 1) if newest_first else (through + 1, high))
        yield _Run(rows, through, bool(rest))


def _start(low: int, high: int, newest_first: bool) -> int | None:
    """Return the UID behind which a range begins, None where no UID is."""
    if newest_first:
        return high + 1 if high < MAX_UID else None
    return low - 1

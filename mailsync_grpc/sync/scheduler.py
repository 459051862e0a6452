"""Which account is due next: a heap of times, and lanes.

Pure bookkeeping on the caller's monotonic clock. An account is either waiting with a due time, or running, or unknown.
Polls and backfill slices run in separate lanes with separate room, so that one huge backfill never delays the polls of
others. A nudge makes a waiting account due at once and is remembered for a running one.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum

from mailsync_grpc.model.ids import AccountNo


class Lane(IntEnum):
    """Where a job runs."""

    POLL = 0
    BACKFILL = 1


@dataclass(slots=True)
class Scheduler:
    """A heap of (due time, account) for each lane. Superseded entries stay and are passed over when they surface."""

    room: dict[Lane, int]
    _due: dict[AccountNo, tuple[float, Lane]] = field(default_factory=dict)
    _heaps: dict[Lane, list[tuple[float, AccountNo]]] = field(
        default_factory=lambda: {lane: [] for lane in Lane}
    )
    _running: dict[AccountNo, Lane] = field(default_factory=dict)
    _nudged: set[AccountNo] = field(default_factory=set)

    def put(self, account: AccountNo, due: float, lane: Lane = Lane.POLL) -> None:
        """Make the account due at `due`, whatever was planned before; ends its running."""
        self._running.pop(account, None)
        if account in self._nudged:
            self._nudged.discard(account)
            due, lane = 0.0, Lane.POLL
        self._due[account] = (due, lane)
        heapq.heappush(self._heaps[lane], (due, account))

    def nudge(self, account: AccountNo) -> None:
        """Make the account due at once, after its present job if one runs. A new account becomes known by it."""
        if account in self._running:
            self._nudged.add(account)
        else:
            self.put(account, 0.0)

    def forget(self, account: AccountNo) -> None:
        """Drop the account and whatever was planned for it."""
        self._due.pop(account, None)
        self._running.pop(account, None)
        self._nudged.discard(account)

    def take(self, now: float) -> AccountNo | None:
        """Return an account that is due and whose lane has room, polls first, now running; None when there is none."""
        for lane in self._with_room():
            account = self._pop(lane, now)
            if account is not None:
                del self._due[account]
                self._running[account] = lane
                return account
        return None

    def next_due(self) -> float | None:
        """Return a time before which nothing can be taken; None until something is put, for want of plans or room."""
        return min((heap[0][0] for lane in self._with_room() if (heap := self._heaps[lane])), default=None)

    def _with_room(self) -> list[Lane]:
        taken = Counter(self._running.values())
        return [lane for lane in Lane if taken[lane] < self.room[lane]]

    def _pop(self, lane: Lane, now: float) -> AccountNo | None:
        heap = self._heaps[lane]
        while heap and heap[0][0] <= now:
            due, account = heapq.heappop(heap)
            if self._due.get(account) == (due, lane):
                return account
        return None

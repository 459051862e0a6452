"""Which account is due next: a heap of times, and lanes.

Pure bookkeeping on the caller's monotonic clock. An account is either waiting with a due time, or running, or unknown.
Polls and backfill slices run in separate lanes with separate room, so that one huge backfill never delays the polls of
others. A nudge makes a waiting account due at once and is remembered for a running one.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from mailsync_grpc.model.ids import AccountNo


class Lane(IntEnum):
    """Where a job runs."""

    POLL = 0
    BACKFILL = 1


class Plan(NamedTuple):
    """When an account's next poll is due, and its next slice of backfill if it has any to do; monotonic seconds."""

    poll: float
    backfill: float | None = None


@dataclass(slots=True)
class Scheduler:
    """A heap of (due time, account) for each lane. Superseded entries stay and are passed over when they surface.

    An account that waits for its next slice of backfill is also due for its poll, whichever comes first.
    """

    room: dict[Lane, int]
    _due: dict[AccountNo, dict[Lane, float]] = field(default_factory=dict)
    _heaps: dict[Lane, list[tuple[float, AccountNo]]] = field(
        default_factory=lambda: {lane: [] for lane in Lane}
    )
    _running: dict[AccountNo, Lane] = field(default_factory=dict)
    _nudged: set[AccountNo] = field(default_factory=set)

    def put(self, account: AccountNo, poll: float, backfill: float | None = None) -> None:
        """Plan the account's next poll, and its next slice of backfill if it has any, whatever was planned before.

        Ends its running.
        """
        self._running.pop(account, None)
        if account in self._nudged:
            self._nudged.discard(account)
            poll, backfill = 0.0, None
        self._due[account] = {Lane.POLL: poll}
        if backfill is not None:
            self._due[account][Lane.BACKFILL] = backfill
        for lane, due in self._due[account].items():
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

    def take(self, now: float) -> tuple[AccountNo, Lane] | None:
        """Return an account that is due in a lane with room, polls first, now running; None when there is none."""
        for lane in self._with_room():
            account = self._pop(lane, now)
            if account is not None:
                del self._due[account]
                self._running[account] = lane
                return account, lane
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
            if self._due.get(account, {}).get(lane) == due:
                return account
        return None

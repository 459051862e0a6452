"""Which account is due next: a heap of times, and lanes.

Pure bookkeeping on the caller's monotonic clock. An account is either waiting with a due time, or running, or unknown.
Polls and backfill slices run in separate lanes with separate room, so that one huge backfill never delays the polls of
others. A nudge makes a waiting account due at once and is remembered for a running one.
"""

import heapq
from dataclasses import dataclass, field
from enum import IntEnum

from mailsync_grpc.model.ids import AccountNo


class Lane(IntEnum):
    """Where a job runs."""

    POLL = 0
    BACKFILL = 1


@dataclass(slots=True)
class Scheduler:
    """A heap of (due time, account). Superseded entries stay in the heap and are passed over when they surface."""

    room: dict[Lane, int]
    _due: dict[AccountNo, tuple[float, Lane]] = field(default_factory=dict)
    _heap: list[tuple[float, AccountNo]] = field(default_factory=list)
    _running: dict[AccountNo, Lane] = field(default_factory=dict)
    _nudged: set[AccountNo] = field(default_factory=set)
    _blocked: list[tuple[float, AccountNo]] = field(default_factory=list)

    def put(self, account: AccountNo, due: float, lane: Lane = Lane.POLL) -> None:
        """Make the account due at `due`, whatever was planned before; ends its running."""
        self._running.pop(account, None)
        if account in self._nudged:
            self._nudged.discard(account)
            due, lane = 0.0, Lane.POLL
        self._due[account] = (due, lane)
        heapq.heappush(self._heap, (due, account))

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
        """Return an account that is due and whose lane has room, now running; None when there is none."""
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            due, account = entry
            planned = self._due.get(account)
            if planned is None or planned[0] != due:
                continue
            lane = planned[1]
            if sum(1 for running in self._running.values() if running is lane) >= self.room[lane]:
                self._blocked.append(entry)
                continue
            del self._due[account]
            self._running[account] = lane
            self._unblock()
            return account
        self._unblock()
        return None

    def next_due(self) -> float | None:
        """Return a time before which nothing becomes due; None when nothing is planned."""
        return self._heap[0][0] if self._heap else None

    @property
    def running(self) -> int:
        """How many jobs run."""
        return len(self._running)

    @property
    def known(self) -> set[AccountNo]:
        """Accounts that are planned or running."""
        return self._due.keys() | self._running.keys()

    def _unblock(self) -> None:
        for entry in self._blocked:
            heapq.heappush(self._heap, entry)
        self._blocked.clear()

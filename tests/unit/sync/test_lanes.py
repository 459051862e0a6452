"""Backfills leave polls on time: the scheduler on simulated threads and a simulated clock."""

import heapq
from dataclasses import dataclass, field

from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.sync.scheduler import Lane, Plan, Scheduler

INTERVAL, POLL_SECONDS, SLICE = 30.0, 0.1, 5.0


@dataclass
class Simulation:
    """Accounts numbered from 0, of which the first `backfilling` have a history without end; `late` is the worst delay."""

    backfilling: int
    polling: int
    threads: int
    now: float = 0.0
    late: float = 0.0
    next_poll: list[float] = field(default_factory=list)
    ends: list[tuple[float, AccountNo]] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = self.backfilling + self.polling
        self.due = Scheduler({Lane.POLL: self.threads, Lane.BACKFILL: self.threads // 2})
        self.next_poll = [INTERVAL * number / count for number in range(count)]
        for number in range(count):
            self._plan(AccountNo(number))

    def run(self, seconds: float) -> None:
        while self.now < seconds:
            while len(self.ends) < self.threads and (job := self.due.take(self.now)) is not None:
                self._begin(*job)
            self.now = self._next_time()
            while self.ends and self.ends[0][0] <= self.now:
                self._plan(heapq.heappop(self.ends)[1])

    def _plan(self, account: AccountNo) -> None:
        self.due.put(
            account, *Plan(self.next_poll[account], self.now if account < self.backfilling else None)
        )

    def _begin(self, account: AccountNo, lane: Lane) -> None:
        self.late = max(self.late, self.now - self.next_poll[account])
        if self.now >= self.next_poll[account]:
            self.next_poll[account] = self.now + INTERVAL
        left = self.next_poll[account] - self.now
        heapq.heappush(
            self.ends, (self.now + (POLL_SECONDS if lane is Lane.POLL else min(SLICE, left)), account)
        )

    def _next_time(self) -> float:
        times = [end for end, _ in self.ends]
        due = self.due.next_due() if len(self.ends) < self.threads else None
        return min([*times, due] if due is not None else times)


def test_a_backfill_of_500_000_messages_leaves_every_poll_on_time() -> None:
    """At 2,000 messages a second it takes 250 s, in slices of 5 s."""
    simulation = Simulation(backfilling=1, polling=200, threads=4)
    simulation.run(300.0)
    assert simulation.late <= POLL_SECONDS


def test_more_backfills_than_there_is_room_for_leave_polls_on_time_their_own_too() -> None:
    simulation = Simulation(backfilling=50, polling=200, threads=8)
    simulation.run(300.0)
    assert simulation.late <= 2 * POLL_SECONDS

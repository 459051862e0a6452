"""Rates over the last minute: true from the first seconds on, and forgetful of what is older."""

import pytest

from mailsync_grpc.services.rates import EVERY, WINDOW, Counts, Rates
from tests.support.store import ManualClock


class Counting:
    """Counts that the test sets."""

    def __init__(self) -> None:
        self.counts = Counts(1_000, 50_000)

    def __call__(self) -> Counts:
        return self.counts

    def grow(self, committed: int, delivered: int) -> None:
        self.counts = Counts(self.counts.committed + committed, self.counts.delivered + delivered)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def counting() -> Counting:
    return Counting()


def test_what_was_counted_before_the_first_reading_is_no_rate(clock: ManualClock, counting: Counting) -> None:
    rates = Rates(counting, clock)
    assert rates.per_second() == (0.0, 0.0)
    clock.now += 2
    counting.grow(4, 10)
    assert rates.per_second() == (2.0, 5.0)


def test_a_burst_counts_for_a_minute_and_is_then_forgotten(clock: ManualClock, counting: Counting) -> None:
    rates = Rates(counting, clock)
    counting.grow(600, 6_000)
    seen = []
    for _ in range(int(2 * WINDOW / EVERY)):
        clock.now += EVERY
        rates.sample()
        seen.append(rates.per_second())
    minute = int(WINDOW / EVERY)
    assert seen[minute - 1] == (600 / WINDOW, 6_000 / WINDOW)
    assert seen[minute] == seen[-1] == (0.0, 0.0)


def test_an_even_flow_has_its_rate_at_any_time(clock: ManualClock, counting: Counting) -> None:
    rates = Rates(counting, clock)
    for _ in range(100):
        clock.now += EVERY
        counting.grow(5, 15)
        rates.sample()
        assert rates.per_second() == (1.0, 3.0)

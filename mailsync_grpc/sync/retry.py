"""When to try again: back-off with full jitter, as values.

Nothing here sleeps or reads a clock. The caller adds the delay to its own monotonic time and counts the attempts; a
count goes back to zero only after a whole successful cycle, not after a successful login, so that a server that
accepts and then fails is not hammered.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

Random = Callable[[], float]
"""Returns a number from 0 to 1."""

NETWORK_BASE = 2.0
NETWORK_CAP = 600.0
AUTH_DELAYS = (900.0, 3_600.0, 21_600.0)
"""Seconds before refused credentials are tried again: seldom, since many servers lock a user out after a few."""


Delay = Callable[[int, Random], float]
"""Returns the seconds to wait after so many failures in a row, from 1."""


@dataclass(slots=True)
class Backoff:
    """Failures in a row and the time before which nothing is tried.

    Each kind of failure, known by its delay, is counted by itself until a success: a server that was away for an hour
    and then refuses the password has refused it once. `failures` counts the latest kind.
    """

    failures: int = 0
    until: float = 0.0
    counts: Counter[Delay] = field(default_factory=Counter)

    def fail(self, now: float, delay: Delay, random: Random) -> None:
        """Count a failure and wait as `delay` says."""
        self.counts[delay] += 1
        self.failures = self.counts[delay]
        self.until = now + delay(self.failures, random)

    def waits(self, now: float) -> bool:
        """Whether nothing is to be tried yet."""
        return now < self.until

    def clear(self) -> None:
        """Start anew after a success or an edit."""
        self.failures, self.until = 0, 0.0
        self.counts.clear()


def network_delay(attempt: int, random: Random) -> float:
    """Return the seconds to wait after the `attempt`-th failure in a row (from 1): full jitter under a doubling cap.

    At least a tenth of the cap, so that a run of small draws cannot become a storm.
    """
    cap = min(NETWORK_CAP, NETWORK_BASE * 2.0 ** min(attempt, 16))
    return cap * (0.1 + 0.9 * random())


def auth_delay(attempt: int, random: Random) -> float:
    """Return the seconds to wait after credentials were refused `attempt` times in a row (from 1), ± 10 %."""
    return AUTH_DELAYS[min(attempt, len(AUTH_DELAYS)) - 1] * (0.9 + 0.2 * random())


def auth_resumed(age: float, now: float) -> Backoff:
    """Return the back-off of credentials that were first refused `age` seconds ago and not changed since.

    Attempts before are taken to have come when they were due.
    """
    failures, due = 1, AUTH_DELAYS[0]
    while due <= age:
        failures += 1
        due += AUTH_DELAYS[min(failures, len(AUTH_DELAYS)) - 1]
    return Backoff(failures, now + due - age, Counter({auth_delay: failures}))


def at_once(_attempt: int, _random: Random) -> float:
    """Return no seconds: for what a new login cures."""
    return 0.0


def longest(interval: float) -> float:
    """Return the longest that `jittered` makes of an interval."""
    return jittered(interval, lambda: 1.0)


def jittered(interval: float, random: Random) -> float:
    """Return `interval` ± 10 %, so that accounts registered together do not poll together."""
    return interval * (0.9 + 0.2 * random())

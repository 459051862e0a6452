"""Whether many messages that a folder shows no more are gone: a brake on mass disappearance, as values.

A server whose index is being rebuilt, or whose disk is mounted late, may show a part of a folder, in every answer and in
EXISTS alike. Nothing in one look tells that from a folder that was emptied, and only time does; so what would remove
more than a fifth of a folder and more than 50 messages is believed when three looks agree, 10 s apart and each on a
connection of its own, and only of the messages that none of them showed. A look in between can acquit but not convict.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from mailsync_grpc.model.uidset import UidSet

SHARE = 0.2
COUNT = 50
LOOKS = 3
PAUSE = 10.0
"""Seconds between two looks that count."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Messages that `looks` looks in a row missed, the last that counts at `last` (monotonic seconds) on `connection`.

    `connection` is compared by identity only.
    """

    missing: UidSet
    looks: int
    last: float
    connection: object

    @property
    def due(self) -> float:
        """When the next look that counts may be made."""
        return self.last + PAUSE


class Sight(NamedTuple):
    """What one look missed: `missing` at first, of which `unshown` were not shown when asked for again either.

    `shortfall` is by how many messages EXISTS is less than expected, which a look at the newest ones cannot see.
    """

    missing: UidSet
    unshown: UidSet
    shortfall: int
    at: float
    connection: object


class Result(Enum):
    """What a look did to the brake; values are labels of a metric."""

    UNTOUCHED = "untouched"
    HELD = "held"
    CONFIRMED = "confirmed"
    RELEASED = "released"


class Verdict(NamedTuple):
    """The messages that are gone, and what stays in doubt."""

    gone: UidSet
    suspicion: Suspicion | None
    result: Result


def judge(suspicion: Suspicion | None, sight: Sight, stored: int) -> Verdict:
    """Return what a look at a folder of `stored` messages means; it must have been a look at the whole suspicion."""
    if suspicion is None:
        if not (sight.unshown and _heavy(max(len(sight.missing), sight.shortfall), stored)):
            return Verdict(sight.unshown, None, Result.UNTOUCHED)
        return Verdict(UidSet(), Suspicion(sight.unshown, 1, sight.at, sight.connection), Result.HELD)
    agreed = _agreed(suspicion, sight)
    if not agreed.missing:
        return Verdict(UidSet(), None, Result.RELEASED)
    if agreed.looks < LOOKS:
        return Verdict(UidSet(), agreed, Result.HELD)
    return Verdict(agreed.missing, None, Result.CONFIRMED)


def _heavy(missing: int, stored: int) -> bool:
    return missing > COUNT and missing > SHARE * stored


def _agreed(suspicion: Suspicion, sight: Sight) -> Suspicion:
    common = suspicion.missing - (suspicion.missing - sight.unshown)
    if sight.connection is suspicion.connection:
        # The first look may go on from the newest messages to all of them.
        return replace(suspicion, missing=sight.unshown if suspicion.looks == 1 else common)
    if sight.at < suspicion.due:
        return replace(suspicion, missing=common)
    return Suspicion(common, suspicion.looks + 1, sight.at, sight.connection)

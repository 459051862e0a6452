"""Which messages of a folder are mirrored, and how much of each.

A window never touches the mail server: a message that leaves it is dropped here and told as evicted. At most one bound
is set; a window without any takes everything.

A sliding window counts calendar units in UTC: first the months, a year being twelve, to the same day of that month or
to its last one where it is shorter (31 March less a month is 28 or 29 February), then the days.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum

MAX_DAYS, MAX_MONTHS, MAX_YEARS = 36_525, 1_200, 100
"""The longest spans that slide: a century in each unit."""
MAX_NEWEST = 10_000_000


class SyncMode(IntEnum):
    """How much of each message is mirrored. Values are those of `mailsync.v1.SyncMode`."""

    FULL_METADATA = 1
    MINIMAL = 2


@dataclass(frozen=True, slots=True)
class Window:
    """A fixed date, a span that slides, or a number of messages.

    `since` is seconds since 1970 UTC: messages whose INTERNALDATE is at or after it. `days`, `months` and `years` are
    calendar units before now that add up. `newest` is that many messages of the highest UIDs of each folder.
    """

    since: int = 0
    days: int = 0
    months: int = 0
    years: int = 0
    newest: int = 0

    @property
    def whole(self) -> bool:
        """Whether everything is inside."""
        return self == EVERYTHING

    @property
    def slides(self) -> bool:
        """Whether messages leave as time goes on."""
        return bool(self.days or self.months or self.years)

    def bound(self, now: float) -> int | None:
        """Return the INTERNALDATE, in seconds since 1970, that the oldest message inside may have at `now`.

        None for windows that are not by date.
        """
        if self.since:
            return self.since
        return _before(now, 12 * self.years + self.months, self.days) if self.slides else None


def _before(now: float, months: int, days: int) -> int:
    moment = datetime.fromtimestamp(int(now), UTC)
    years, month = divmod(12 * moment.year + moment.month - 1 - months, 12)
    day = min(moment.day, monthrange(years, month + 1)[1])
    return int((moment.replace(year=years, month=month + 1, day=day) - timedelta(days)).timestamp())


EVERYTHING = Window()

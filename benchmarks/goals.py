"""Every figure that the project has set itself, and what each is measured against.

A row of the benchmark is one of these, measured or listed with the reason why it is not. `foundation` is the figure
that the first release holds, `goal` the one aimed at; both are ratios to the reference unless a unit is named.
"""

from dataclasses import dataclass
from enum import Enum


class Better(Enum):
    """Which way a figure should go."""

    LOWER = "≤"
    HIGHER = "≥"


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure: its name, its reference, what is held and what is aimed at."""

    name: str
    reference: str
    foundation: float | None
    goal: float
    better: Better = Better.LOWER
    unit: str = ""

    def met(self, figure: float) -> bool:
        """Whether `figure` is as good as the goal."""
        return self._reaches(figure, self.goal)

    def held(self, figure: float) -> bool | None:
        """Whether `figure` is as good as the first release's; None when that one has set itself none."""
        return None if self.foundation is None else self._reaches(figure, self.foundation)

    def _reaches(self, figure: float, bound: float) -> bool:
        return figure <= bound if self.better is Better.LOWER else figure >= bound


_WIRE = "raw wire: the same commands, answers read and not parsed"

FIRST_SYNC = Goal("first sync, warm index, all processes", _WIRE, 7.0, 2.0)
FIRST_SYNC_ONE = Goal("first sync, warm index, one worker", _WIRE, None, 2.5)
FIRST_SYNC_COLD = Goal("first sync, cold index, all processes", _WIRE, None, 1.3)
FIRST_SYNC_CPU = Goal("CPU a message of the first sync", "plain imapclient loop into sqlite", 1 / 4, 1 / 10)
FIRST_SYNC_READ = Goal("the same", "plain imapclient loop that keeps nothing", 1 / 4, 1 / 10)
FIRST_PAGE = Goal(
    "newest 100 listed after the account's creation", "a folder of 200 messages", None, 1.0, unit="s"
)
FULL_COMPARE = Goal("full comparison, nothing changed", _WIRE, 2.5, 1.15)
FULL_COMPARE_CHANGED = Goal("full comparison, 1 % of flags changed", _WIRE, None, 2.0)
QUIET_POLL = Goal("poll of two quiet folders of 100,000", "none, in ms of CPU", None, 2.0, unit="ms")
CHANGES = Goal("look by mod-sequence, 1 % of flags changed", "full comparison of the same", None, 0.5)
POLL = Goal("poll of 200 unchanged folders", "none, in ms of CPU", None, 1.5, unit="ms")
MANY_ACCOUNTS = Goal("first sync of many accounts, two workers", "one worker", None, 1.6, Better.HIGHER)
IDLE_ACCOUNTS = Goal("2,000 idle accounts polled every 30 s", "none, in cores", None, 0.5, unit="cores")
LIST_PAGES = Goal("pages of 1,000 envelopes a second", "building protobuf objects", 5.0, 15.0, Better.HIGHER)
LIST_BACKFILL = Goal("p99 of a page during a backfill", "the same when idle", None, 3.0)
WATCH = Goal("CPU a delivery, burst to 1,000 streams", "one event a write", 1 / 10, 1 / 30)
WATCH_DELAY_HALF = Goal("commit to delivery, p50, 100 streams", "none, in ms", None, 10.0, unit="ms")
WATCH_DELAY = Goal("commit to delivery, p99, 100 streams", "none, in ms", None, 50.0, unit="ms")
IDLE_STREAM = Goal("memory of an idle stream", "none, in KiB", None, 40.0, unit="KiB")
STALLED_READER = Goal("memory of a stalled reader", "none, in MB", None, 1.0, unit="MB")
SNAPSHOT = Goal("CPU of a snapshot", "reading and joining its envelopes' bytes from the store", None, 2.0)
DETECTION = Goal("detection delay without poll interval, p99", "none, in ms", None, 150.0, unit="ms")
CONTENT_HIT = Goal(
    "rate of a cached attachment of 10 MB", "streaming the plain file over gRPC", None, 0.5, Better.HIGHER
)
CONTENT_MISS = Goal("rate of the same, not cached", _WIRE, None, 0.8, Better.HIGHER)
CONTENT_LINK = Goal("rate of the same over a link of 400 Mbit/s", _WIRE, None, 0.8, Better.HIGHER)
CONTENT_FAR = Goal("rate of the same with a delay of 20 ms besides", _WIRE, None, 0.8, Better.HIGHER)
CONTENT_MEMORY = Goal(
    "memory of 20 parallel downloads of 50 MB over idle", "none, in MB", None, 100.0, unit="MB"
)
DISK = Goal("disk a message, all indexes", "none, in octets", None, 800.0, unit="octets")
MEMORY = Goal("memory of a full comparison of 500,000 over idle", "none, in MB", 150.0, 40.0, unit="MB")
START = Goal("start-up, 10,000 accounts, 10 M envelopes", "none, in seconds", None, 2.0, unit="s")

GOALS = tuple(value for value in globals().values() if isinstance(value, Goal))

"""Measuring on a machine that is never quiet: ratios of neighbours, medians, and CPU beside wall time.

Two things measured a minute apart differ by what else the machine did meanwhile; two measured one after the other
mostly do not. So ours and its references are taken in rounds (A B A B …), each round gives one ratio, and a row shows
the median of the ratios with the least and the greatest.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


class Usage(NamedTuple):
    """Seconds that something took: by the clock, and of CPU over all the processes that belong to it."""

    wall: float
    cpu: float

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(self.wall - earlier.wall, self.cpu - earlier.cpu)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of pairwise ratios, with the least and the greatest."""

    least: float
    middle: float
    greatest: float


class Stopwatch:
    """What this process, or the process `pid` with all its descendants, has used while a block ran."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self.usage = Usage(0.0, 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure the block; `usage` then holds it."""
        start = self._now()
        yield
        self.usage = self._now() - start

    def _now(self) -> Usage:
        cpu = time.process_time() if self._pid is None else cpu_of(family(self._pid))
        return Usage(time.perf_counter(), cpu)


def timed(action: Callable[[], object]) -> Usage:
    """Return what `action` takes in this process."""
    watch = Stopwatch()
    with watch.running():
        action()
    return watch.usage


def ratio(ours: Sequence[float], reference: Sequence[float]) -> Ratio:
    """Return how many times the reference ours is, pair by pair."""
    each = [a / b for a, b in zip(ours, reference, strict=True)]
    return Ratio(min(each), median(each), max(each))


def family(pid: int) -> list[int]:
    """Return `pid` and all its living descendants."""
    parents = {int(path.name): _parent_of(path) for path in _PROC.iterdir() if path.name.isdigit()}
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def cpu_of(pids: Sequence[int]) -> float:
    """Return the seconds of CPU that processes have used so far, ended children they waited for included."""
    return sum(sum(map(int, _stat(_PROC / str(pid))[11:15])) for pid in pids) / _TICK


def memory_of(pid: int) -> float:
    """Return the kibibytes that a process has in memory for itself: files it has mapped, such as the store's, left out."""
    status = (_PROC / str(pid) / "status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least of `values` that `share` of them do not pass."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


def _parent_of(process: Path) -> int:
    try:
        return int(_stat(process)[1])
    except OSError:
        return 0  # ended while we looked


def _stat(process: Path) -> list[str]:
    """Return the fields of proc_pid_stat(5) from the third on; the second, a name, may hold anything."""
    return (process / "stat").read_text().rpartition(")")[2].split()


def load() -> float:
    """Return how many tasks ran or waited for a CPU over the last minute, ours included."""
    return os.getloadavg()[0]

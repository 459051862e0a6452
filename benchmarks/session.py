"""A run of the benchmark: what every row measures with, and how often."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.measure import Usage, timed
from benchmarks.place import Place
from benchmarks.raw_wire import RawWire

PAIRS, QUICK_PAIRS = 5, 3
MESSAGES, QUICK_MESSAGES = 100_000, 20_000


@dataclass(frozen=True, slots=True)
class Session:
    """Where to measure and how many pairs; `quick` leaves out what takes minutes."""

    place: Place
    pairs: int
    quick: bool
    begun: float = field(default_factory=time.monotonic)

    def tell(self, what: str) -> None:
        """Say on stderr what is being measured."""
        print(f"[{time.monotonic() - self.begun:4.0f} s] {what}", file=sys.stderr, flush=True)

    def raw(self, *commands: bytes) -> Usage:
        """Time the raw wire: `commands` after a login and EXAMINE, or without any those of a whole first sync."""
        mailbox = self.place.mailbox
        with RawWire(mailbox.host, mailbox.port, mailbox.user, mailbox.password) as wire:
            return timed(lambda: wire.run(commands or self.place.commands))

    def rounds(self, *actions: Callable[[], Usage]) -> list[list[Usage]]:
        """Run the actions in turn, A B A B, and return what each took in every round."""
        taken = [[action() for action in actions] for _ in range(self.pairs)]
        return [list(column) for column in zip(*taken, strict=True)]

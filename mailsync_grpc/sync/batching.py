"""How many messages to ask for at once, and which one a server cannot give: pure bookkeeping over one folder's batches.

A batch that takes longer than `SLOW` or fails halves the next one, a good one in half that time doubles it, up to what
the account asks for. Some servers answer NO to any FETCH that touches a damaged message, or send for it what breaks the
protocol or a cap; halving leaves such a message alone in its batch, and failing twice alone it is poison: left out from
then on. Whether it is kept as a PARTIAL record is for the caller to judge, who must see that the server gives other
messages. What is known here is lost with the process, which costs asking again.
"""

from collections import Counter
from dataclasses import dataclass, field

from mailsync_grpc.model.uidset import UidSet

SLOW = 10.0
"""Seconds that the answer to one batch should take at most, so that polls and cancellations need not wait longer."""
SMALLEST = 25
"""A batch is made no smaller for slowness: it is then the server that is slow, and not the batch that is big."""
_MANY = 1 << 32
_CHANCES = 2


@dataclass(slots=True)
class Batching:
    """What the batches of one folder taught: how many messages to ask for at once, and which failed alone how often."""

    limit: int = _MANY
    _alone: Counter[int] = field(default_factory=Counter)

    def failed(self, uids: UidSet) -> None:
        """Note that the server refused or broke the answer for `uids`."""
        if len(uids) > 1:
            self.limit = len(uids) // 2
        else:
            self.limit = 1
            self._alone.update(uids)

    def answered(self, messages: int, seconds: float) -> None:
        """Note that a batch of so many messages was answered in this time."""
        if seconds > SLOW:
            self.limit = min(self.limit, max(messages // 2, SMALLEST))
        elif seconds <= SLOW / 2:
            self.limit = min(self.limit * 2, _MANY)

    @property
    def poison(self) -> UidSet:
        """Messages that had all their chances."""
        return UidSet.of(uid for uid, failures in self._alone.items() if failures >= _CHANCES)

    def forgive(self, uids: UidSet) -> None:
        """Give `uids` new chances: it was not their fault, or they are settled."""
        for uid in uids:
            self._alone.pop(uid, None)

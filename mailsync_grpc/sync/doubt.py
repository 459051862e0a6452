"""Finding the one message for which a server fails a whole batch: pure bookkeeping, halving until it stands alone.

Some servers answer NO to any FETCH that touches a damaged message, or send for it what breaks the protocol or a cap. A
failed batch halves the next one and a good one doubles it, so a message that fails is soon asked for alone; failing
twice alone it is poison: left out from then on. Whether it is kept as a PARTIAL record is for the caller to judge, who
must see that the server gives other messages. What is doubted is lost with the process, which costs asking again.
"""

from collections import Counter
from dataclasses import dataclass, field

from mailsync_grpc.model.uidset import UidSet

_CHANCES = 2


@dataclass(slots=True)
class Doubt:
    """What the batches of one folder taught: how many messages to ask for at once, and which failed alone how often."""

    limit: int = 1 << 32
    _alone: Counter[int] = field(default_factory=Counter)

    def failed(self, uids: UidSet) -> None:
        """Note that the server refused or broke the answer for `uids`."""
        if len(uids) > 1:
            self.limit = len(uids) // 2
        else:
            self.limit = 1
            self._alone.update(uids)

    def succeeded(self) -> None:
        """Note that a batch was answered."""
        self.limit = min(self.limit * 2, 1 << 32)

    @property
    def poison(self) -> UidSet:
        """Messages that had all their chances."""
        return UidSet.of(uid for uid, failures in self._alone.items() if failures >= _CHANCES)

    def forgive(self, uids: UidSet) -> None:
        """Give `uids` new chances: it was not their fault, or they are settled."""
        for uid in uids:
            self._alone.pop(uid, None)

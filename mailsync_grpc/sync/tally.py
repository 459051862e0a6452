"""What became of each message of a change, gathered while it is made."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.model.intent import Outcome, Refused
from mailsync_grpc.model.uidset import UidSet


@dataclass(slots=True)
class Tally:
    """Begins with what was found out before, perhaps by a process that is dead."""

    done: UidSet = UidSet()
    moved: dict[int, int] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    uid_validity: int = 0

    @classmethod
    def of(cls, outcome: Outcome) -> "Tally":
        """Return the tally that `outcome` was made of."""
        return cls(outcome.done, dict(outcome.moved), list(outcome.refused), outcome.uid_validity)

    @property
    def outcome(self) -> Outcome:
        """What is known so far."""
        moved = tuple(sorted(self.moved.items()))
        return Outcome(self.done, moved, tuple(self.refused), self.uid_validity)

    def left_of(self, uids: UidSet) -> UidSet:
        """Return those of `uids` of which nothing is known yet."""
        for refused in self.refused:
            uids -= refused.uids
        return uids - self.done

    def succeed(self, uids: UidSet) -> None:
        """Note messages that were changed as was asked for."""
        self.done |= uids

    def place(self, pairs: Iterable[tuple[int, int]], uid_validity: int = 0) -> None:
        """Note where messages went, 0 where it is not known."""
        for old, new in pairs:
            self.moved[old] = new or self.moved.get(old, 0)
        self.uid_validity = uid_validity or self.uid_validity

    def refuse(self, uids: UidSet, error: type[MailsyncError] | MailsyncError, message: str = "") -> None:
        """Note messages that were not changed, and why."""
        if uids:
            self.refused.append(Refused(uids, error.reason, message or str(error)))

"""Which messages of a folder are mirrored, and how much of each.

A window never touches the mail server: a message that leaves it is dropped here and told as evicted. At most one bound
is set; a window without any takes everything.
"""

from dataclasses import dataclass
from enum import IntEnum


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


EVERYTHING = Window()

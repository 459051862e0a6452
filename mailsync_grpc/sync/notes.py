"""What a worker remembers of a folder between two turns; all of it can be lost with the process."""

from dataclasses import dataclass, field
from typing import NamedTuple

from mailsync_grpc.sync.batching import Batching
from mailsync_grpc.sync.brake import Suspicion
from mailsync_grpc.sync.repair import Repair
from mailsync_grpc.sync.retry import Backoff


class Verified(NamedTuple):
    """The last full comparison by both clocks: `verified_at` as stored (ms since 1970), and monotonic seconds."""

    stored: int
    at: float


@dataclass(slots=True)
class FolderNotes:
    """Of one mirror, so that a folder that was renumbered starts anew.

    `suspicion` are the messages whose disappearance waits for further looks, which are then whole ones.
    From `evict_at` on (monotonic seconds) a sliding window is held against what is stored. `gap` is by how many messages
    EXISTS differed from what the last full comparison found. `repair` are
    records to be fetched once more. `view_cut` tells that the server was seen to hide its oldest messages.
    """

    backoff: Backoff = field(default_factory=Backoff)
    batching: Batching = field(default_factory=Batching)
    report_batching: Batching = field(default_factory=Batching)
    verified: Verified | None = None
    gap: int = 0
    suspicion: Suspicion | None = None
    evict_at: float = 0.0
    repair: Repair | None = None
    view_cut: bool = False

    @property
    def look_due(self) -> float | None:
        """When the folder is to be looked at whatever the account's interval, None when that decides."""
        return None if self.suspicion is None else max(self.suspicion.due, self.backoff.until)

    def distrusts(self, connection: object, now: float) -> bool:
        """Whether the look that is due now needs another connection than this one."""
        suspicion, due = self.suspicion, self.look_due
        return suspicion is not None and due is not None and due <= now and suspicion.connection is connection

"""What a worker remembers of a folder between two turns; all of it can be lost with the process."""

from dataclasses import dataclass, field

from mailsync_grpc.sync.brake import Suspicion
from mailsync_grpc.sync.doubt import Doubt
from mailsync_grpc.sync.retry import Backoff


@dataclass(slots=True)
class FolderNotes:
    """Of one mirror, so that a folder that was renumbered starts anew.

    `suspicion` are the messages whose disappearance waits for further looks, which are then whole ones.
    """

    backoff: Backoff = field(default_factory=Backoff)
    doubt: Doubt = field(default_factory=Doubt)
    report_doubt: Doubt = field(default_factory=Doubt)
    suspicion: Suspicion | None = None

    @property
    def look_due(self) -> float | None:
        """When the folder is to be looked at whatever the account's interval, None when that decides."""
        return None if self.suspicion is None else max(self.suspicion.due, self.backoff.until)

    def distrusts(self, connection: object, now: float) -> bool:
        """Whether the look that is due now needs another connection than this one."""
        suspicion, due = self.suspicion, self.look_due
        return suspicion is not None and due is not None and due <= now and suspicion.connection is connection

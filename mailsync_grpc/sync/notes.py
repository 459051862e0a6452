"""What a worker remembers of a folder between two turns; all of it can be lost with the process."""

from dataclasses import dataclass, field

from mailsync_grpc.sync.doubt import Doubt
from mailsync_grpc.sync.retry import Backoff


@dataclass(slots=True)
class FolderNotes:
    """Of one mirror, so that a folder that was renumbered starts anew."""

    backoff: Backoff = field(default_factory=Backoff)
    doubt: Doubt = field(default_factory=Doubt)

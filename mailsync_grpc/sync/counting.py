"""What the metrics learn of committed changes."""

from collections.abc import Sequence

from mailsync_grpc import metrics
from mailsync_grpc.model.changes import (
    Backfilled,
    Change,
    EnvelopeAdded,
    EnvelopeMoved,
    EnvelopesEvicted,
    EnvelopesRemoved,
    FlagsChanged,
)

LATEST_ARRIVAL = 3_600.0
"""Seconds; mail announced later than this after its INTERNALDATE did not arrive just now."""


def count(changes: Sequence[Change], now: float) -> None:
    """Count the messages of `changes`, committed at `now` (seconds since 1970), and how late new mail is told."""
    for change in changes:
        match change:
            case EnvelopeAdded(message=message):
                metrics.SYNC_MESSAGES.labels(kind="added").inc()
                arrived = message.envelope.internal_date
                # An old INTERNALDATE tells of an import or a copy, not of how late we are.
                if arrived is not None and now - arrived < LATEST_ARRIVAL:
                    metrics.DETECTION_DELAY.observe(max(0.0, now - arrived))
            case EnvelopeMoved():
                metrics.SYNC_MESSAGES.labels(kind="moved").inc()
            case Backfilled(messages=messages):
                metrics.SYNC_MESSAGES.labels(kind="backfilled").inc(len(messages))
            case FlagsChanged():
                metrics.SYNC_MESSAGES.labels(kind="flags").inc()
            case EnvelopesRemoved(uids=uids):
                metrics.SYNC_MESSAGES.labels(kind="removed").inc(len(uids))
            case EnvelopesEvicted(uids=uids):
                metrics.SYNC_MESSAGES.labels(kind="evicted").inc(len(uids))
            case _:
                pass

"""What is counted of changes of mail servers: how each ended, and how long its caller had to wait for that."""

from mailsync_grpc import metrics
from mailsync_grpc.errors import OutcomeUnknownError
from mailsync_grpc.model.intent import Intent, Outcome

UNSENT = "unsent"


def word_for(outcome: Outcome) -> str:
    """Return how a change ended that was begun: done, partial (of some messages only), refused, or unknown."""
    reasons = {outcome.error_reason, *(refused.reason for refused in outcome.refused)} - {""}
    if OutcomeUnknownError.reason in reasons:
        return "unknown"
    if outcome.done and reasons:
        return "partial"
    return "refused" if reasons else "done"


def count(intent: Intent, word: str, now: int) -> None:
    """Count a change whose outcome is known now, milliseconds since 1970."""
    kind = intent.kind.name.lower()
    metrics.CHANGES.labels(kind, word).inc()
    metrics.CHANGE_SECONDS.labels(kind).observe(max(0, now - intent.create_time) / 1_000)

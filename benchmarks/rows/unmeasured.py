"""Rows that cannot be measured yet, each with what is missing: they are listed, not left out."""

from benchmarks import goals
from benchmarks.result import Row, unmeasured
from benchmarks.session import Session

REASONS = (
    (goals.POLL, "needs an account of 200 folders: comes with the work on many accounts"),
    (goals.MANY_ACCOUNTS, "needs 400,000 messages and minutes: comes with the work on many accounts"),
    (goals.IDLE_ACCOUNTS, "needs 2,000 mailboxes on one server: comes with the work on many accounts"),
    (goals.START, "needs a store of ten million envelopes: comes with the work on many accounts"),
)


def rows(_session: Session) -> list[Row]:
    """List them."""
    return [unmeasured(goal, reason) for goal, reason in REASONS]

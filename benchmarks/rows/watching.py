"""Watching: what one delivery of an event costs the service when a burst goes to many streams."""

from benchmarks import goals
from benchmarks.result import Row, unmeasured
from benchmarks.session import Session


def rows(_session: Session) -> list[Row]:
    """List the row."""
    return [unmeasured(goals.WATCH, "x")]

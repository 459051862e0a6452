"""Sending a change and reading what the server says of it, with the points at which a crash test ends the process."""

from typing import TypeVar

from mailsync_grpc.imap.changing import Pending
from mailsync_grpc.store import failpoints

T = TypeVar("T")


def sent(change: Pending[T]) -> T:
    """Return what the server says of a change that was just sent. Raises ImapRefusedError."""
    failpoints.hit("change_sent")
    told = change.read()
    failpoints.hit("change_answered")
    return told

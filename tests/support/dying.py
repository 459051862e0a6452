"""A worker that dies at a commit, without a process: the exception that nothing in the sync catches."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from unittest.mock import patch

from mailsync_grpc.store.base import Applied, Batch, Store


class Crash(BaseException):
    """Stands for the end of the process: nothing in the sync may catch it."""


@contextmanager
def dying_after(store: Store, commits: int) -> Iterator[None]:
    """Let the store's `apply` raise Crash after so many batches that were committed."""
    apply, left = store.apply, count(commits, -1)

    def dying(batch: Batch) -> Applied:
        if next(left) <= 0:
            raise Crash
        return apply(batch)

    with patch.object(store, "apply", dying):
        yield

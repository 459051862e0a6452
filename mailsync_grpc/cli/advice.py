"""What to do about a position that the service does not serve: a second line behind its own message."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from mailsync_grpc.cli.failures import CommandError, Failure, failure_of

Advice = Callable[[Failure], str]
"""What to do about a failed call; empty when there is nothing to add."""

RESYNC = {"REVISION_COMPACTED", "REVISION_IN_FUTURE", "STORE_EPOCH_CHANGED"}


@contextmanager
def advised(advice: Advice) -> Iterator[None]:
    """Say what to do behind what went wrong. CommandError with both; what there is no advice for stays as it is."""
    try:
        yield
    except grpc.RpcError as error:
        failure = failure_of(error)
        if hint := advice(failure):
            raise CommandError("\n".join([*failure.lines(), f"  {hint}"])) from None
        raise

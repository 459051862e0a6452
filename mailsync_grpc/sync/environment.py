"""What every account of a worker shares: the store, the way to a mail server, time and chance."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from mailsync_grpc.errors import StoreCorruptError
from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.ids import RandomBytes
from mailsync_grpc.store.base import Store
from mailsync_grpc.sync.retry import Random


class Spool(Protocol):
    """Where messages wait that callers want to be appended."""

    def pieces(self, name: str) -> AbstractContextManager[Iterator[bytes]]:
        """Return the octets of a message, piece by piece. Raises StoreCorruptError when it is not there whole."""
        ...

    def remove(self, name: str) -> None:
        """Remove a message if it is there."""
        ...


class NoSpool:
    """The spool of who appends nothing."""

    def pieces(self, name: str) -> AbstractContextManager[Iterator[bytes]]:
        """Raise, since nothing is there."""
        raise StoreCorruptError(f"there is no spool with a message {name}")

    def remove(self, name: str) -> None:
        """Remove nothing."""


@dataclass(frozen=True, slots=True)
class Environment:
    """`clock` is monotonic seconds, `now` milliseconds since 1970."""

    store: Store
    connect: Callable[[Account], Connection]
    clock: Callable[[], float]
    now: Callable[[], int]
    random: RandomBytes
    draw: Random
    stopping: Callable[[], bool]
    spool: Spool = field(default_factory=NoSpool)

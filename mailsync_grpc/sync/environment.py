"""What every account of a worker shares: the store, the way to a mail server, time and chance."""

from collections.abc import Callable
from dataclasses import dataclass

from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.ids import RandomBytes
from mailsync_grpc.store.base import Store
from mailsync_grpc.sync.retry import Random


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

"""Other processes on a data directory, and what a test may look at inside an open LMDB store."""

import subprocess
import time
from collections.abc import Callable

from mailsync_grpc.store.environment import Environment
from mailsync_grpc.store.lmdb import LmdbStore

Spawn = Callable[[str], "subprocess.Popen[str]"]
"""Starts another process on the data directory; see `store_child` for what it may be asked to do."""


def said(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def environment_of(store: LmdbStore) -> Environment:
    return store._environment

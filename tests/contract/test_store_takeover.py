"""A server that takes a data directory over fences off what is left of the one before it."""

import subprocess
from pathlib import Path

from mailsync_grpc.store.base import Counter
from mailsync_grpc.store.lmdb import open_store
from tests.support.store_process import Spawn, said


def asked_to_write(child: "subprocess.Popen[str]") -> str:
    assert child.stdin is not None
    child.stdin.write("write\n")
    child.stdin.flush()
    return said(child)


def test_a_worker_that_outlived_its_server_writes_no_more_once_another_has_started(
    data_dir: Path, spawn: Spawn
) -> None:
    """As when a server was killed: its lock is free, its worker is still in a turn begun on an older state."""
    killed = open_store(data_dir, exclusive=True)
    orphan = spawn("work")
    assert (said(orphan), asked_to_write(orphan)) == ("ready", "wrote 1")
    killed.close()
    server = open_store(data_dir, exclusive=True)
    worker = spawn("work")
    assert (said(worker), asked_to_write(orphan), asked_to_write(worker)) == ("ready", "refused", "wrote 2")
    assert server.allocate(Counter.ACCOUNT) == 3
    server.close()

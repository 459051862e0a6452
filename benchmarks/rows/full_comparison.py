"""A full comparison of a folder that is mirrored already: EXAMINE, UID and flags of every message, compare, commit.

Ours is the worker's own step (`sync.folder`) over a durable store, called in this process, so that neither the
scheduler's nor the caller's waiting is measured. Its memory is measured in a process of its own.
"""

import multiprocessing
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from statistics import median

from benchmarks import goals
from benchmarks.measure import Usage, ratio
from benchmarks.mirrored import as_in_a_worker, connected, mirrored
from benchmarks.result import Row
from benchmarks.session import Session
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.sync.worker import relax_collector
from tests.support.mail import Mailbox

_LISTING = (b'EXAMINE "INBOX"', b"UID FETCH 1:* (UID FLAGS)")
_CHANGED_SHARE = 0.01
_AIM = 500_000


def rows(session: Session) -> list[Row]:
    """Measure with nothing changed, with 1 % changed, the memory it takes, and the store's size."""
    session.tell("full comparison")
    mailbox = session.place.mailbox
    with tempfile.TemporaryDirectory(prefix="mailsync-bench-") as directory:
        with (
            as_in_a_worker(),
            mirrored(mailbox, Path(directory)) as mirror,
            connected(mailbox.user, mailbox.password, mirror.store) as look,
        ):
            octets = mirror.store.stats().bytes_used / session.place.messages
            unchanged, wire = session.rounds(lambda: look(True), lambda: session.raw(*_LISTING))
            changed, wire_changed = session.rounds(
                lambda: _after_a_change(session, look), lambda: session.raw(*_LISTING)
            )
        megabytes = _memory(mailbox, Path(directory))
    size = f"{session.place.messages:,} messages"
    return [
        _row(goals.FULL_COMPARE, unchanged, wire, f"{size}, in this process, committed durably"),
        _row(goals.FULL_COMPARE_CHANGED, changed, wire_changed, size),
        Row(
            goals.MEMORY,
            megabytes * _AIM / session.place.messages,
            megabytes,
            None,
            "MB",
            f"peak over idle for {size}, taken as proportional",
        ),
        Row(goals.DISK, octets, note=f"{size}, events of their first sync included"),
    ]


def _row(goal: goals.Goal, looks: list[Usage], wire: list[Usage], note: str) -> Row:
    figure = ratio([usage.wall for usage in looks], [usage.wall for usage in wire])
    cpu = median(usage.cpu for usage in looks) * 1e3
    milliseconds = [median(usage.wall for usage in column) * 1e3 for column in (looks, wire)]
    return Row(goal, figure, milliseconds[0], milliseconds[1], "ms", f"{note}; {cpu:.0f} ms of CPU")


def _after_a_change(session: Session, look: Callable[[bool], Usage]) -> Usage:
    session.place.change_flags(_CHANGED_SHARE)
    return look(True)


def _memory(mailbox: Mailbox, directory: Path) -> float:
    """Return the megabytes by which a full comparison raises the peak of a process that did nothing else."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    child = spawn.Process(target=_measure_memory, args=(mailbox.user, mailbox.password, directory, there))
    child.start()
    there.close()
    try:
        return float(here.recv())
    finally:
        child.join()


def _measure_memory(user: str, password: str, directory: Path, answer: Pipe) -> None:
    store = open_store(directory, exclusive=True)
    relax_collector()
    with connected(user, password, store) as look:
        before = _kilobytes("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # proc_pid_clear_refs(5): the peak begins anew
        look(True)
        answer.send((_kilobytes("VmHWM") - before) / 1024)
    store.close()


def _kilobytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name))

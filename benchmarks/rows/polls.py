"""Polls of large folders on a server with mod-sequences: when nothing changed, and when flags did.

The quiet poll is a whole turn of the account as a worker takes it (`sync.account`), over two folders; the look by
mod-sequence is the worker's own step, beside the same step made in full. Runs last, since it fills a second folder.
"""

import tempfile
from pathlib import Path
from statistics import median

from benchmarks import goals
from benchmarks.measure import ratio, timed
from benchmarks.mirrored import as_in_a_worker, connected, mirrored
from benchmarks.result import Row
from benchmarks.session import Session
from tests.support.mirror import Mirror

_CHANGED_SHARE = 0.01
_POLLS = 30
"""Of which one in ten lists the folders too."""


def rows(session: Session) -> list[Row]:
    """Measure the poll of a quiet account and the look at changed flags."""
    session.tell("polls")
    mailbox = session.place.mailbox
    mailbox.copy("1:*", "Sent")
    with (
        tempfile.TemporaryDirectory(prefix="mailsync-bench-") as directory,
        as_in_a_worker(),
        mirrored(mailbox, Path(directory)) as mirror,
    ):
        quiet = _quiet(session, mirror)
        with connected(mailbox.user, mailbox.password, mirror.store) as look:

            def changed(full: bool) -> float:
                session.place.change_flags(_CHANGED_SHARE)
                return look(full).wall

            pairs = [(changed(False), changed(True)) for _ in range(session.pairs)]
    by_modseq, whole = ([pair[n] for pair in pairs] for n in range(2))
    note = f"{session.place.messages:,} messages"
    ours, reference = (median(column) * 1e3 for column in (by_modseq, whole))
    return [quiet, Row(goals.CHANGES, ratio(by_modseq, whole), ours, reference, "ms", note)]


def _quiet(session: Session, mirror: Mirror) -> Row:
    head, taken = mirror.head, []
    for _ in range(_POLLS):
        mirror.clock.skipped += mirror.settings.poll_interval * 1.2
        taken.append(timed(lambda: mirror.sync.turn(nudged=False)))
    assert mirror.head == head
    cpu, wall = (median(column) * 1e3 for column in ([u.cpu for u in taken], [u.wall for u in taken]))
    note = f"INBOX and Sent of {session.place.messages:,} messages each; {wall:.1f} ms by the clock"
    return Row(goals.QUIET_POLL, cpu, cpu, None, "ms", note)

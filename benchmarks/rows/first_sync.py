"""The first sync of a large folder: a fresh service, from CreateAccount to the event that the folder is complete.

Ours is `mailsync serve` with one worker and a durable store, all its processes counted. The raw wire is a connection
that repeats the commands; the plain loop is imapclient's search and `fetch` of the same metadata in batches, for the newest
messages of the folder, into sqlite as a program keeps it, and once more without keeping anything.
"""

from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import goals
from benchmarks.measure import Usage, ratio, timed
from benchmarks.ours import ours
from benchmarks.plain_loop import fetch_metadata, keep_metadata
from benchmarks.result import Row, unmeasured
from benchmarks.session import Session

_LOOP_MESSAGES = 10_000


def rows(session: Session) -> list[Row]:
    """Measure the wall time with a warm index, and the CPU beside it."""
    session.tell(f"first sync of {session.place.messages:,} messages")
    place = session.place
    loop_messages = min(_LOOP_MESSAGES, place.messages)
    mailbox = place.mailbox

    def loop() -> Usage:
        with TemporaryDirectory() as directory:
            return timed(lambda: keep_metadata(mailbox, loop_messages, f"{directory}/kept.db"))

    def read() -> Usage:
        return timed(lambda: fetch_metadata(mailbox, loop_messages))

    synced, wire, looped, reads = session.rounds(lambda: _first_sync(session), session.raw, loop, read)
    wall = ratio([usage.wall for usage in synced], [usage.wall for usage in wire])
    our_cpu = [usage.cpu / place.messages * 1e6 for usage in synced]
    loop_cpu = [usage.cpu / loop_messages * 1e6 for usage in looped]
    read_cpu = [usage.cpu / loop_messages * 1e6 for usage in reads]
    seconds = median(usage.wall for usage in synced), median(usage.wall for usage in wire)
    note = f"{place.messages:,} messages, mailsync serve with one worker, durable commits, CreateAccount to FOLDER_SYNCED"
    return [
        Row(goals.FIRST_SYNC, wall, *seconds, "s", note),
        Row(goals.FIRST_SYNC_ONE, wall, *seconds, "s", "the row above: a folder is synced by one worker"),
        Row(goals.FIRST_SYNC_CPU, ratio(our_cpu, loop_cpu), median(our_cpu), median(loop_cpu), "µs", note),
        Row(goals.FIRST_SYNC_READ, ratio(our_cpu, read_cpu), median(our_cpu), median(read_cpu), "µs", note),
    ]


def cold_rows(session: Session) -> list[Row]:
    """Measure with an index cache that the server has to fill anew each time."""
    if session.quick:
        return [unmeasured(goals.FIRST_SYNC_COLD, "left out by --quick")]
    session.tell("first sync, cold index")
    synced, wire = session.rounds(lambda: _first_sync(session, cold=True), lambda: _cold_wire(session))
    wall = ratio([usage.wall for usage in synced], [usage.wall for usage in wire])
    seconds = median(usage.wall for usage in synced), median(usage.wall for usage in wire)
    return [Row(goals.FIRST_SYNC_COLD, wall, *seconds, "s")]


def first_page_rows(session: Session) -> list[Row]:
    """Measure how soon the newest messages of the large folder are listed, beside those of a small one."""
    session.tell("first page")
    with ours(session.place.small) as service:
        large, small = session.rounds(
            lambda: service.first_page(session.place.mailbox), lambda: service.first_page(session.place.small)
        )
    seconds = median(usage.wall for usage in large)
    note = f"the folder holds {session.place.messages:,} messages"
    return [Row(goals.FIRST_PAGE, seconds, seconds, median(usage.wall for usage in small), "s", note)]


def _first_sync(session: Session, *, cold: bool = False) -> Usage:
    with ours(session.place.small) as service:
        if cold:
            session.place.forget_cache()
        return service.first_sync(session.place.mailbox)


def _cold_wire(session: Session) -> Usage:
    session.place.forget_cache()
    return session.raw()

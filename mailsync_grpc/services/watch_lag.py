"""How far the open event streams are behind, by the label that their callers gave: what a scrape shows of them.

Callers choose labels and each is a time series for good, so their number is bounded: the first different ones that are
seen since the start keep their own, all further ones share one. A stream lags by the revisions from its cursor to the
log's head and, in seconds, by the age of the first event after its cursor, whatever its filter will make of that event;
a piece that is being written counts as covered. Below the log's floor that event is gone, and the age of the oldest kept
one stands for it: the stream lags by that at least.

Scrapes run in threads of their own while the streams move on, so a reading begins with a copy.
"""

import threading
from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

from mailsync_grpc.errors import RevisionCompactedError
from mailsync_grpc.metrics import StreamLag, WatchReading
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.watch import Stream

OTHER: Final = "other"
"""The label of all streams whose own came too late."""


class Standing(NamedTuple):
    """When a stream was opened (seconds since 1970), its label, and the revision up to which it has covered the log."""

    start_time: float
    label: str
    cursor: Revision


class Labels:
    """The first `limit` different labels. That of streams without one, which is empty, takes no place."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._own: set[str] = set()

    def shown(self, label: str) -> str:
        """Return what a label is shown as: itself, or OTHER when all places were taken before."""
        if label and label not in self._own:
            if len(self._own) >= self._limit:
                return OTHER
            self._own.add(label)
        return label

    def seen(self) -> Iterable[str]:
        """Return the labels that have a place."""
        return sorted(self._own)


def lags(
    standings: Iterable[Standing], labels: Labels, head: Revision, age_after: Callable[[Revision], float]
) -> dict[str, StreamLag]:
    """Return the lag by label, also of labels without a stream any more.

    `age_after` tells the age in seconds of the first event after a revision; it is asked once a label at most.
    """
    cursors: dict[str, list[Revision]] = {}
    for standing in sorted(standings):
        cursors.setdefault(labels.shown(standing.label), []).append(standing.cursor)
    found = {label: StreamLag(0, 0, 0.0) for label in labels.seen()}
    for label, each in cursors.items():
        slowest = min(each)
        behind = max(0, head - slowest)
        found[label] = StreamLag(len(each), behind, age_after(slowest) if behind else 0.0)
    return found


class WatchLag:
    """Reads the lag of `streams`, those open now. May be called from any thread."""

    def __init__(self, core: Core, streams: Collection[Stream]) -> None:
        self._core = core
        self._streams = streams
        self._labels = Labels(core.config.watch.max_labels)
        self._reading = threading.Lock()

    def read(self) -> WatchReading:
        """Return what a scrape shows."""
        with self._reading:
            # The head first: a stream that has moved on since is not behind. `list` copies a set in one step.
            head = self._core.head()
            standings = [
                Standing(stream.start_time, stream.label, stream.cursor.revision)
                for stream in list(self._streams)
            ]
            found = lags(standings, self._labels, head, self._age_after)
        return WatchReading(self._core.config.watch.max_streams, found)

    def _age_after(self, revision: Revision) -> float:
        try:
            records = self._core.store.log(revision, 1, 1).records
            committed = records[0].commit_time if records else 0
        except RevisionCompactedError:
            committed = self._core.store.stats().log_oldest_time
        return max(0.0, self._core.clock() - committed / 1_000) if committed else 0.0

"""What no log may tell, whoever reads it: the same message twice, the end of one that was not there, flags of none."""

from collections import defaultdict
from collections.abc import Iterable

from mailsync_grpc.model.ids import EnvelopeRef, parse_envelope
from mailsync_grpc.v1 import envelope_pb2, event_pb2

_BEYOND = 1 << 32


class Telling:
    """Folds events message by message: each UID of a numbering comes once, may change, and goes at most once.

    What was there at the first look is told as history, what came after it as new mail, even in between. With a window
    what is taken in later is history, too.
    A folder that is deselected or renumbered begins anew; so does one that was removed, under another id.
    """

    def __init__(self) -> None:
        self.present: dict[str, set[int]] = defaultdict(set)
        self._history: dict[str, set[int]] = defaultdict(set)
        self._new: dict[str, set[int]] = defaultdict(set)
        self._synced: set[str] = set()
        self._windowed = False

    def fold(self, events: Iterable[event_pb2.Event]) -> None:
        """Take in the next events; AssertionError where they contradict what was told before."""
        for event in events:
            self._fold_folder(event)
            self._fold_arrival(event)
            self._fold_stored(event)

    def _fold_folder(self, event: event_pb2.Event) -> None:
        match event.WhichOneof("payload"):
            case "account_changed":
                self._windowed |= event.account_changed.account.sync.HasField("window")
            case "folder_synced":
                assert event.folder not in self._synced, event
                self._synced.add(event.folder)
            case "folder_reset" | "folder_removed":
                self._begin_anew(event.folder)
            case "folder_changed" if event.folder_changed.change == event_pb2.FOLDER_CHANGE_DESELECTED:
                self._begin_anew(event.folder)

    def _fold_arrival(self, event: event_pb2.Event) -> None:
        match event.WhichOneof("payload"):
            case "envelope_added":
                self._arrive(event, {event.envelope_added.envelope.uid}, self._new)
            case "envelope_moved":
                self._leave(event, event.envelope_moved.from_folder, {event.envelope_moved.from_uid})
                self._arrive(event, {event.envelope_moved.envelope.uid}, self._new)
            case "backfilled":
                self._arrive(event, _uids(event.backfilled.uids), self._history)

    def _fold_stored(self, event: event_pb2.Event) -> None:
        match event.WhichOneof("payload"):
            case "flags_changed":
                assert event.flags_changed.uid in self.present[event.folder], event
            case "envelope_updated":
                assert event.envelope_updated.envelope.uid in self.present[event.folder], event
            case "bounce" | "complaint" | "auto_reply" as report:
                ref = parse_envelope(getattr(event, report).envelope)
                assert isinstance(ref, EnvelopeRef), event
                assert ref.uid in self.present[event.folder], event
            case "envelopes_removed":
                self._leave(event, event.folder, _uids(event.envelopes_removed.uids))
            case "envelopes_evicted":
                self._evict(event, _uids(event.envelopes_evicted.uids))

    def _arrive(self, event: event_pb2.Event, uids: set[int], told: dict[str, set[int]]) -> None:
        history, new = self._history[event.folder], self._new[event.folder]
        assert not uids & (history | new), event
        told[event.folder] |= uids
        assert self._windowed or max(history, default=0) < min(new, default=_BEYOND), event
        self.present[event.folder] |= uids

    def _leave(self, event: event_pb2.Event, folder: str, uids: set[int]) -> None:
        assert uids <= self.present[folder], event
        self.present[folder] -= uids

    def _evict(self, event: event_pb2.Event, uids: set[int]) -> None:
        """What left the window may come again, as history, when the window is widened."""
        self._leave(event, event.folder, uids)
        self._history[event.folder] -= uids
        self._new[event.folder] -= uids

    def _begin_anew(self, folder: str) -> None:
        for kept in (self.present, self._history, self._new):
            kept.pop(folder, None)
        self._synced.discard(folder)


def _uids(ranges: Iterable[envelope_pb2.UidRange]) -> set[int]:
    return {uid for one in ranges for uid in range(one.first, one.last + 1)}

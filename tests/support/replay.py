"""A client that folds the event log, and what it must agree with: replay(log) == store.

The replayer knows nothing but events; where an event says "re-read these UIDs" (BACKFILLED, FOLDER_RESET, a folder
selected anew) it lists them, as any client must. `listed` reads the same state from the store directly.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import Revision, parse_folder
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.codec import account_message, folder_message, join_envelope, run_message
from mailsync_grpc.v1 import account_pb2, envelope_pb2, event_pb2, folder_pb2, sync_run_pb2
from tests.support.store import EVERYTHING, all_rows

_Report = event_pb2.Bounce | event_pb2.Complaint | event_pb2.AutoReply
_PAGE = 500
_LAST_UID = 0xFFFFFFFF


@dataclass(slots=True)
class State:
    """Everything a client can know of a store, by resource name; envelopes by folder and UID."""

    accounts: dict[str, account_pb2.Account] = field(default_factory=dict)
    folders: dict[str, folder_pb2.Folder] = field(default_factory=dict)
    envelopes: dict[str, dict[int, envelope_pb2.Envelope]] = field(default_factory=dict)
    runs: dict[str, sync_run_pb2.SyncRun] = field(default_factory=dict)


def listed(store: Store) -> State:
    """Read the state from the store."""
    state = State()
    for account in store.accounts():
        state.accounts[account.name] = account_message(account)
        for folder, progress in store.folders(account.no):
            state.folders[folder.name] = _without_progress(folder_message(folder, progress))
            state.envelopes[folder.name] = _envelopes(store, folder)
        state.runs.update((run.name, _without_counts(run_message(run))) for run in store.runs(account.no))
    return state


def _envelopes(
    store: Store, folder: Folder, first: int = 1, last: int = _LAST_UID
) -> dict[int, envelope_pb2.Envelope]:
    rows = all_rows(store, folder, first, last)
    return {row.uid: envelope_pb2.Envelope.FromString(join_envelope(folder.key, row)) for row in rows}


def _without_progress(folder: folder_pb2.Folder) -> folder_pb2.Folder:
    """Progress is no event: it is compared nowhere."""
    for name in ("counts", "as_of", "verified_at", "state", "uid_next", "highest_modseq"):
        folder.ClearField(name)
    return folder


def _without_counts(run: sync_run_pb2.SyncRun) -> sync_run_pb2.SyncRun:
    run.ClearField("progress")
    return run


class Replayer:
    """Folds a store's log into a state, from the beginning or from where it stopped."""

    def __init__(self, store: Store, position: int = 0) -> None:
        self.state = State()
        self.position = Revision(position)
        self._store = store

    def catch_up(self) -> State:
        """Fold every event up to the head, checking that revisions are dense, and return the state."""
        while records := self._store.log(self.position, _PAGE, EVERYTHING).records:
            for record in records:
                assert record.revision == self.position + 1
                self.position = record.revision
                if record.event:
                    self._fold(event_pb2.Event.FromString(record.event))
        return self.state

    def _fold(self, event: event_pb2.Event) -> None:
        kind = event.WhichOneof("payload")
        assert kind is not None
        getattr(self, f"_{kind}")(event, getattr(event, kind))

    def _envelope_added(self, event: event_pb2.Event, payload: event_pb2.EnvelopeAdded) -> None:
        self.state.envelopes[event.folder][payload.envelope.uid] = payload.envelope

    def _envelope_updated(self, event: event_pb2.Event, payload: event_pb2.EnvelopeUpdated) -> None:
        self.state.envelopes[event.folder][payload.envelope.uid] = payload.envelope

    def _envelope_moved(self, event: event_pb2.Event, payload: event_pb2.EnvelopeMoved) -> None:
        self.state.envelopes[payload.from_folder].pop(payload.from_uid, None)
        self.state.envelopes[event.folder][payload.envelope.uid] = payload.envelope

    def _flags_changed(self, event: event_pb2.Event, payload: event_pb2.FlagsChanged) -> None:
        known = self.state.envelopes[event.folder].get(payload.uid)
        # An envelope that was listed after it had gone again is not there; its removal follows.
        if known is not None:
            known.flags.CopyFrom(payload.flags)

    def _envelopes_evicted(self, event: event_pb2.Event, payload: event_pb2.EnvelopesEvicted) -> None:
        self._drop(event.folder, payload.uids)

    def _envelopes_removed(self, event: event_pb2.Event, payload: event_pb2.EnvelopesRemoved) -> None:
        self._drop(event.folder, payload.uids)

    def _drop(self, folder: str, uids: Iterable[envelope_pb2.UidRange]) -> None:
        envelopes, ranges = self.state.envelopes[folder], list(uids)
        for uid in [uid for uid in envelopes if _within(uid, ranges)]:
            del envelopes[uid]

    def _backfilled(self, event: event_pb2.Event, payload: event_pb2.Backfilled) -> None:
        for one in payload.uids:
            self._read(event.folder, payload.uid_validity, one.first, one.last)

    def _folder_reset(self, event: event_pb2.Event, payload: event_pb2.FolderReset) -> None:
        self.state.envelopes[event.folder] = {}
        self._read(event.folder, payload.new_uid_validity, 1, _LAST_UID)
        self.state.folders[event.folder].uid_validity = payload.new_uid_validity

    def _folder_changed(self, event: event_pb2.Event, payload: event_pb2.FolderChanged) -> None:
        self.state.folders[event.folder] = _without_progress(payload.folder)
        self.state.envelopes.setdefault(event.folder, {})
        if payload.change == event_pb2.FOLDER_CHANGE_DESELECTED:
            self.state.envelopes[event.folder] = {}

    def _folder_removed(self, event: event_pb2.Event, _: event_pb2.FolderRemoved) -> None:
        del self.state.folders[event.folder], self.state.envelopes[event.folder]

    def _folder_synced(self, event: event_pb2.Event, _: event_pb2.FolderSynced) -> None:
        assert event.folder in self.state.folders

    def _bounce(self, event: event_pb2.Event, payload: _Report) -> None:
        """A report changes nothing: the message that it is has its own event."""
        assert payload.envelope.startswith(event.folder)

    _complaint = _auto_reply = _bounce

    def _account_changed(self, event: event_pb2.Event, payload: event_pb2.AccountChanged) -> None:
        self.state.accounts[event.account] = payload.account

    def _account_removed(self, event: event_pb2.Event, _: event_pb2.AccountRemoved) -> None:
        state, prefix = self.state, event.account + "/"
        state.accounts.pop(event.account, None)
        for kept in (state.folders, state.envelopes, state.runs):
            for name in [name for name in kept if name.startswith(prefix)]:
                del kept[name]

    def _sync_run_changed(self, _: event_pb2.Event, payload: event_pb2.SyncRunChanged) -> None:
        self.state.runs[payload.sync_run.name] = _without_counts(payload.sync_run)

    def _read(self, folder_name: str, uid_validity: int, first: int, last: int) -> None:
        """List the UIDs from `first` to `last`."""
        ref = parse_folder(folder_name)
        assert ref is not None
        account = self._store.account(ref.account_id)
        found = self._store.folder(account.no, ref.folder_id) if account else None
        # A folder that was renumbered or removed since has its own event ahead.
        if found and found[0].uid_validity == uid_validity:
            self.state.envelopes[folder_name].update(_envelopes(self._store, found[0], first, last))


def _within(uid: int, ranges: Iterable[envelope_pb2.UidRange]) -> bool:
    return any(one.first <= uid <= one.last for one in ranges)

"""Fetching stored messages once more whose records are not whole: `repair` says which, this asks and commits."""

from collections.abc import Callable
from dataclasses import dataclass

from mailsync_grpc.errors import ImapProtocolError, ImapRefusedError, ImapUnreachableError
from mailsync_grpc.imap.metadata import PARSERS
from mailsync_grpc.model.envelope import Envelope, FetchedMessage, Partial, PartialReason
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync import repair
from mailsync_grpc.sync.commit import Committer, is_husk
from mailsync_grpc.sync.repair import Repair
from mailsync_grpc.sync.updates import updates
from mailsync_grpc.sync.window_keeper import WindowKeeper

ROWS_PER_READ = 5_000
_REFUSED = Partial(PartialReason.REFUSED, "the server lists this message but does not give its metadata")


def look_for_repairs(state: Committer, *, whole: bool) -> None:
    """After a look, a `whole` comparison or not: note what of the folder is to be fetched once more."""
    mark = repair.mark(PARSERS, state.connection.server, state.connection.capabilities)
    if state.minimal:
        state.notes.repair = None
    elif not repair.due(state.progress, state.account.settings, mark, whole=whole):
        return
    elif state.notes.repair is None or state.notes.repair.mark != mark:
        state.notes.repair = found = Repair(mark)
        _scan(state, found)
        if not (found.unfetched or found.unread or found.withheld):
            _finish(state, found)


def _scan(state: Committer, found: Repair) -> None:
    folder, after = state.folder, 0
    while summaries := state.store.summaries(folder.account.no, folder.mirror, after, ROWS_PER_READ):
        found.add(summaries)
        after = summaries[-1].uid


def _finish(state: Committer, done: Repair) -> None:
    state.commit([], tried=done.mark)
    state.notes.repair = None


@dataclass(slots=True)
class Refetch:
    """A slice of one folder's repair."""

    state: Committer
    repair: Repair

    def run(self, more: Callable[[], bool]) -> None:
        """Fetch and commit until all had their chance or `more` says no; at least one batch.

        Raises the errors of the connection and of the store; what was committed before stays.
        """
        self.state.mode = "repair"
        self.state.reopen()
        while batch := self.repair.take(self.state.account.settings.batch_size):
            self._try(batch)
            if not more():
                return
        self._settle_poison()
        # Minimal mode had taken what the server's search took, by days; now the dates are known.
        WindowKeeper(self.state).evict_older()
        _finish(self.state, self.repair)

    def _try(self, batch: UidSet) -> None:
        began = self.state.clock()
        try:
            found = self._fetched(batch)
        except ImapRefusedError:
            self.repair.failed(batch)
            self._check_health()
            return
        except (ImapProtocolError, ImapUnreachableError):
            self.repair.failed(batch)
            raise
        unfetched = self.repair.unfetched
        self._store({m.uid: m.envelope for m in found if repair.better(m.envelope, m.uid in unfetched)})
        self.repair.answered(batch, UidSet.of(m.uid for m in found), self.state.clock() - began)

    def _fetched(self, batch: UidSet) -> list[FetchedMessage]:
        with self.state.timed("fetch"):
            messages = self.state.connection.fetch_metadata(batch)
        return self.state.detailed([message for message in messages if not is_husk(message.envelope)])

    def _store(self, envelopes: dict[int, Envelope]) -> None:
        changes = updates(self.state.store, self.state.folder, envelopes)
        if changes:
            self.state.commit(changes)

    def _check_health(self) -> None:
        if self.repair.ill:
            self.repair.begin_anew()
            raise ImapProtocolError(
                f"{self.state.folder.display_name!r} lists messages but gives none of them"
            )

    def _settle_poison(self) -> None:
        """What was never fetched and cannot be is kept like any message that the server refuses."""
        self._check_health()
        self._store(dict.fromkeys(self.repair.unfetched, Envelope(partial=_REFUSED)))

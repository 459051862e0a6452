"""The state of one folder's sync and the one way it advances: a batch committed with the progress it stands for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from mailsync_grpc import metrics
from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.imap.connection import Connection, PendingFetch
from mailsync_grpc.imap.fetch import FlagChanges, FlagListing
from mailsync_grpc.imap.metadata import parse_metadata
from mailsync_grpc.imap.minimal import NOT_FETCHED, listed_messages, parse_minimal
from mailsync_grpc.imap.report import MAX_OCTETS
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import (
    Change,
    FolderChanged,
    FolderReset,
    NewEnvelope,
)
from mailsync_grpc.model.envelope import Envelope, FetchedMessage
from mailsync_grpc.model.evidence import envelope_id
from mailsync_grpc.model.folder import Folder, FolderKey, FolderProgress
from mailsync_grpc.model.ids import ID_BYTES, RandomBytes
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.model.window import SyncMode
from mailsync_grpc.store.base import Batch, ConflictError, Store
from mailsync_grpc.sync import bounce
from mailsync_grpc.sync.causes import attributed
from mailsync_grpc.sync.counting import count
from mailsync_grpc.sync.moves import Transit
from mailsync_grpc.sync.notes import FolderNotes
from mailsync_grpc.sync.runs import ActiveRun
from mailsync_grpc.sync.window import older

Place = tuple[FolderKey, FolderProgress]
T = TypeVar("T")

_REPORTS_AT_ONCE = 100
"""Messages whose parts are in memory at a time: two of 64 KiB each at the worst."""
_NOTHING = UidSet()


class RenumberedError(MailsyncError):
    """The folder's name shows another UIDVALIDITY, so that UIDs mean other messages: renumbered, or another mailbox."""


@dataclass(slots=True)
class Committer:
    """One folder over one connection: its record and progress as last committed, `notes` of it, and what commits need.

    `clock` returns monotonic seconds, `now` milliseconds since 1970; `random` makes envelope ids. With a `run` that covers
    the folder each commit also writes the run's counts. `mode` labels the metrics; `changed` tells whether any event was committed;
    `listing` is the last list of flags, kept where it says all that is stored of a message. `left_out` are messages that
    were fetched since the last commit and found to be older than the window takes; the next commit moves them outside.
    `transit` is what is on its way between the account's folders. `settled` are changes of the mail server that callers
    asked for: events that they caused carry their request_id.
    """

    store: Store
    connection: Connection
    account: Account
    folder: Folder
    progress: FolderProgress
    notes: FolderNotes
    clock: Callable[[], float]
    now: Callable[[], int]
    random: RandomBytes
    run: ActiveRun | None = None
    transit: Transit = field(default_factory=Transit)
    mode: str = "incremental"
    changed: bool = False
    listing: FlagListing | None = None
    left_out: UidSet = UidSet()
    settled: tuple[Intent, ...] = ()
    _outside: UidSet | None = None

    @property
    def outside(self) -> UidSet:
        """The UIDs that the window leaves out, as last committed; most looks need not know."""
        if self._outside is None:
            self._outside = self.store.outside(self.folder.account.no, self.folder.mirror)
        return self._outside

    def bound(self) -> int | None:
        """Return the INTERNALDATE of the oldest message that the window takes now, None when it is not by date."""
        return self.account.settings.window.bound(self.now() / 1_000)

    def reopen(self) -> None:
        """Open the folder again for what its look found. Raises RenumberedError."""
        if self.connection.examine(self.folder.raw_name).uid_validity != self.folder.uid_validity:
            raise RenumberedError(f"{self.folder.name} was renumbered since its look")

    def commit(
        self,
        changes: Sequence[Change],
        arrived: int = 0,
        *,
        sources: Sequence[Place] = (),
        outside: UidSet | None = None,
        **progress: Any,
    ) -> None:
        """Commit `changes` and the progress fields given, of which `arrived` messages count for the run.

        `sources` are the folders that messages moved here from, with their new progress. `outside` replaces what the
        window leaves out.
        """
        if self.minimal:
            progress["tried"] = 0  # what is stored now has no metadata yet
        after = replace(self.progress, as_of=self.now(), **progress)
        if self.left_out:
            pending, arriving = after.pending - self.left_out, after.arriving - self.left_out
            after = replace(after, pending=pending, arriving=arriving)
            outside = (self.outside if outside is None else outside) | self.left_out
        self._apply(self.folder, changes, after, arrived, outside, sources)

    def renew(self, change: FolderChanged | FolderReset, progress: FolderProgress | None = None) -> None:
        """Commit the folder's next record, and new progress with it."""
        self._apply(change.folder, [change], progress or self.progress, 0, None)
        self.folder, self._outside = change.folder, None

    def list_flags(self, span: str) -> FlagListing:
        """Return UID and flags of the messages in `span`, `n:*`."""
        with self.timed("fetch"):
            listing = self.connection.fetch_flags(span)
        self._keep(listing)
        return listing

    def list_named(self, uids: UidSet) -> FlagListing:
        """Return UID and flags of those of `uids` that are there."""
        with self.timed("fetch"):
            listing = self.connection.fetch_flags(uids)
        self._keep(listing)
        return listing

    def list_changes(self) -> FlagChanges:
        """Return what changed since the last complete look. Raises ImapRefusedError where the server does not tell."""
        with self.timed("fetch"):
            changes = self.connection.fetch_changes(self.progress.modseq)
        self._keep(changes.listing)
        return changes

    def list_uids(self) -> UidSet:
        """Return the UIDs of all messages."""
        self.listing = None
        with self.timed("fetch"):
            return self.connection.uid_search("ALL")

    def _keep(self, listing: FlagListing) -> None:
        if self.minimal and not self.connection.has_lasting_ids:
            self.listing = listing

    @property
    def minimal(self) -> bool:
        """Whether metadata is left to be fetched when someone asks for it."""
        return self.account.settings.mode is SyncMode.MINIMAL

    def request(self, uids: UidSet) -> PendingFetch:
        """Send the FETCH of what is stored of messages; `read` makes them of its answer."""
        connection = self.connection
        return connection.request_minimal(uids) if self.minimal else connection.request_metadata(uids)

    def read(self, answer: bytes, asked: UidSet) -> list[FetchedMessage]:
        """Return the messages of an answer to `request`, by ascending UID."""
        return parse_minimal(answer, asked) if self.minimal else parse_metadata(answer, asked)

    def fetch(self, uids: UidSet) -> list[NewEnvelope]:
        """Return those of `uids` that the server gives, with new ids, ascending; without husks."""
        if self.listing is not None:
            return self.identified(listed_messages(self.listing, uids))
        with self.timed("fetch"):
            messages = self.read(self.request(uids).read(), uids)
        return self.identified(
            self.detailed([message for message in messages if not is_husk(message.envelope)])
        )

    def detailed(self, messages: list[FetchedMessage], unreadable: UidSet = _NOTHING) -> list[FetchedMessage]:
        """Return `messages` with what their parts report, except where the server refuses a part or it is `unreadable`.

        A round trip where there is anything to read; no answer may be under way meanwhile.
        """
        found: list[FetchedMessage] = []
        for chunk in chunks(messages, _REPORTS_AT_ONCE):
            wanted = bounce.wanted(chunk, unreadable)
            if wanted:
                with self.timed("fetch"):
                    chunk = bounce.completed(chunk, self.connection.fetch_sections(wanted, MAX_OCTETS))
            found += chunk
        return found

    def identified(self, messages: list[FetchedMessage]) -> list[NewEnvelope]:
        """Return the messages with an id each, without those that are older than the window takes, which are noted."""
        old = older(messages, self.bound())
        if old:
            self.left_out |= old
            messages = [message for message in messages if message.uid not in old]
        # Drawn at once because a system call a message would show.
        drawn = self.random(ID_BYTES * len(messages))
        randoms = (drawn[start : start + ID_BYTES] for start in range(0, len(drawn), ID_BYTES))
        return [
            NewEnvelope(message.uid, envelope_id(message.envelope, random), message.flags, message.envelope)
            for message, random in zip(messages, randoms, strict=True)
        ]

    def timed(self, phase: str) -> AbstractContextManager[object]:
        """Measure a phase (fetch, parse, commit) of a batch."""
        return metrics.SYNC_BATCH_SECONDS.labels(mode=self.mode, phase=phase).time()

    def _apply(
        self,
        folder: Folder,
        changes: Sequence[Change],
        progress: FolderProgress,
        arrived: int,
        outside: UidSet | None,
        sources: Sequence[Place] = (),
    ) -> None:
        with self.timed("commit"):
            run = self._write(folder, changes, ((folder.key, progress), *sources), arrived, outside)
        self.changed = self.changed or bool(changes)
        count(changes, self.now() / 1_000)
        if self.run is not None and run is not None:
            self.run.record = run
        self.progress = progress
        if outside is not None:
            self._outside, self.left_out = outside, UidSet()

    def _write(
        self,
        folder: Folder,
        changes: Sequence[Change],
        places: tuple[Place, ...],
        arrived: int,
        outside: UidSet | None,
    ) -> SyncRun | None:
        pending = len(places[0][1].pending)
        told = attributed(changes, self.settled)
        while True:
            run = self.run.advanced(folder, arrived, pending, self.now()) if self.run else None
            batch = Batch(
                self.account.key,
                told.changes,
                causes=told.causes,
                progress=places,
                outside=((folder.key, outside),) if outside is not None else (),
                run_progress=(run,) if run else (),
            )
            try:
                self.store.apply(batch)
            except ConflictError:
                if not self._reload_run():
                    raise
            else:
                return run

    def _reload_run(self) -> bool:
        """After a conflict: take the run as the API left it (a cancellation); False when it was not the cause."""
        if self.run is None:
            return False
        stored = self.store.run(self.account.no, self.run.record.no)
        if stored is None or stored.version == self.run.record.version:
            return False
        self.run.record = stored
        return True


def is_husk(envelope: Envelope) -> bool:
    """Whether a server told nothing of the message, as Dovecot does when another session expunged it meanwhile.

    What has a husk is asked for once more in a folder opened anew: there it is gone, or truly as empty as that.
    """
    return envelope.partial is not NOT_FETCHED and not (
        envelope.internal_date
        or envelope.header_date_raw
        or envelope.subject
        or envelope.message_id
        or envelope.from_
        or envelope.to
    )


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield `items` in pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]

"""Fetching a folder's pending messages, newest first, batch by batch.

The next batch is asked for after the tagged answer to the last one and before that one is parsed, so that the server
works while we parse and commit. At most one answer is under way, since two would interleave. A slice ends when the
caller wants the connection for something else, so that a long history holds up no poll of its own account.

A message that the server lists but does not give, or gives as a husk, stays pending until the end of the slice, is
asked for once more, and then is stored, is gone, or is stored as a PARTIAL record: it must not be fetched for ever.
A message that fails the whole batch it is in is found by `batching` and ends the same way.

A batch with messages that report something is held until no answer is under way and their parts can be read. One whose
parts break the connection is found by a search of its own and kept without what they say.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mailsync_grpc.errors import ImapProtocolError, ImapRefusedError, ImapUnreachableError
from mailsync_grpc.imap.connection import PendingFetch
from mailsync_grpc.model.changes import Backfilled, Change, FolderSynced, NewEnvelope
from mailsync_grpc.model.envelope import Envelope, FetchedMessage, Partial, PartialReason
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.batching import Batching
from mailsync_grpc.sync.commit import Committer, Place, is_husk
from mailsync_grpc.sync.identity import Identity

_ENOUGH = 3
"""Messages that tell a server which is ill from a message that is."""
_REFUSED = Partial(PartialReason.REFUSED, "the server lists this message but does not give its metadata")


@dataclass(slots=True)
class Backfill:
    """A slice of one folder's backfill, of its `history` or of what arrived since its first look.

    `batching` and `report_batching` outlive it. `skipped` are the UIDs that were asked for and not given, `held` a batch
    with report parts still to be read.
    """

    state: Committer
    batching: Batching
    report_batching: Batching
    history: bool = True
    skipped: UidSet = UidSet()
    held: list[FetchedMessage] = field(default_factory=list)
    given: bool = False

    def run(self, more: Callable[[], bool]) -> None:
        """Fetch and commit pending messages until none are left or `more` says no; at least one batch.

        Raises the errors of the connection and of the store; what was committed before stays.
        """
        self.state.mode = "backfill"
        self.state.reopen()
        request = self._ask(UidSet())
        while request is not None:
            answer = self._read(request)
            self._settle_held()
            ahead = self._ask(request.uids if answer is not None else UidSet()) if more() else None
            if answer is not None:
                with self._unread(ahead):
                    self._store(request.uids, answer)
            request = ahead
        self._settle_held()
        self._settle_skipped()
        self._settle_poison()

    @contextlib.contextmanager
    def _unread(self, ahead: PendingFetch | None) -> Iterator[None]:
        """Close the connection when what is done meanwhile fails: nobody would read the answer to `ahead`."""
        try:
            yield
        except BaseException:
            if ahead is not None:
                self.state.connection.close()
            raise

    def _ask(self, under_way: UidSet) -> PendingFetch | None:
        poison = self.batching.poison
        if len(poison) >= _ENOUGH and not self.given:
            return None  # it is rather the server that is ill
        progress = self.state.progress
        wanted = progress.pending - progress.arriving if self.history else progress.arriving
        waiting = wanted - under_way - self.skipped - poison
        batch = waiting.highest(min(self.state.account.settings.batch_size, self.batching.limit))
        return self.state.request(batch) if batch else None

    def _read(self, request: PendingFetch) -> bytes | None:
        """Return the answer, None when the server refuses it."""
        began = self.state.clock()
        try:
            with self.state.timed("fetch"):
                answer = request.read()
        except ImapRefusedError:
            self.batching.failed(request.uids)
            return None
        except (ImapProtocolError, ImapUnreachableError):
            self.batching.failed(request.uids)
            raise
        self.batching.answered(len(request.uids), self.state.clock() - began)
        return answer

    def _store(self, asked: UidSet, answer: bytes) -> None:
        with self.state.timed("parse"):
            messages = [
                message for message in self.state.read(answer, asked) if not is_husk(message.envelope)
            ]
        messages = [message for message in messages if message.uid in self.state.progress.pending]
        self.given = self.given or bool(messages)
        self.skipped |= asked - UidSet.of(message.uid for message in messages)
        self.held = messages
        if not any(message.report_parts for message in messages):
            self._settle_held()

    def _settle_held(self) -> None:
        while self.held:
            group = self.held[: self.report_batching.limit]
            found = self.state.identified(self._detailed(group))
            self._commit(found, UidSet.of(message.uid for message in group))
            del self.held[: len(group)]

    def _detailed(self, group: list[FetchedMessage]) -> list[FetchedMessage]:
        uids, poison = UidSet.of(message.uid for message in group), self.report_batching.poison
        began = self.state.clock()
        try:
            detailed = self.state.detailed(group, poison)
        except (ImapProtocolError, ImapUnreachableError):
            self.report_batching.failed(uids - poison)
            raise
        self.report_batching.answered(len(group), self.state.clock() - began)
        self.report_batching.forgive(uids)
        return detailed

    def _commit(self, messages: list[NewEnvelope], settled: UidSet, gone: int = 0) -> None:
        progress = self.state.progress
        pending, stored = progress.pending - settled, progress.stored + len(messages)
        changes, sources = self._told(messages)
        finished = not pending and not progress.synced
        if finished:
            changes.append(FolderSynced(self.state.folder.key, stored))
        self.state.commit(
            changes,
            len(messages),
            sources=sources,
            pending=pending,
            arriving=progress.arriving - settled,
            stored=stored,
            synced=progress.synced or finished,
            rebinding=progress.rebinding and not finished,
            expected_exists=(progress.expected_exists or 0) - gone,
        )

    def _told(self, messages: list[NewEnvelope]) -> tuple[list[Change], list[Place]]:
        """History is told as one range event; mail that came after the first look is told one by one."""
        state, arriving = self.state, self.state.progress.arriving
        history = [message for message in messages if message.uid not in arriving]
        if state.progress.rebinding:
            history = Identity(state).rebound(history)
        told: list[Change] = [Backfilled(state.folder.key, tuple(history))] if history else []
        changes, sources = Identity(state).news([message for message in messages if message.uid in arriving])
        return [*told, *changes], sources

    def _settle_skipped(self) -> None:
        """Ask once more in a folder opened anew, where what is not listed has gone."""
        if self.skipped:
            self.state.reopen()
        while batch := self.skipped.highest(
            min(self.state.account.settings.batch_size, self.report_batching.limit)
        ):
            messages = self.state.read(self.state.request(batch).read(), batch)
            self.given = self.given or bool(messages)
            self._settle(batch, messages)
            self.skipped -= batch

    def _settle_poison(self) -> None:
        poison = self.batching.poison
        self.batching.forgive(poison)
        waiting = poison & self.state.progress.pending
        if waiting:
            self._settle(waiting, [])

    def _settle(self, uids: UidSet, given: list[FetchedMessage]) -> None:
        withheld = self._listed(uids - UidSet.of(message.uid for message in given))
        found = sorted([*given, *withheld], key=lambda message: message.uid)
        if not found and self.state.connection.exists >= (self.state.progress.expected_exists or 0):
            raise ImapProtocolError(
                f"{self.state.folder.display_name!r} counts {self.state.connection.exists} messages"
                f" but shows none of {len(uids)} that it listed"
            )
        if withheld and not (self.given or self._gives_others()):
            raise ImapProtocolError(
                f"{self.state.folder.display_name!r} lists messages but gives none of them"
            )
        self._commit(self.state.identified(self._detailed(found)), uids, len(uids) - len(found))

    def _gives_others(self) -> bool:
        """Whether the server gives a stored message, so that those it withholds are to blame and not the server."""
        folder = self.state.folder
        newest = self.state.store.newest_uids(folder.account.no, folder.mirror, _ENOUGH)
        if not newest:
            # A folder of one or two messages has no others to compare with.
            return len(self.state.progress.pending) < _ENOUGH
        return any(self._gives(uid) for uid in newest)

    def _gives(self, uid: int) -> bool:
        with contextlib.suppress(ImapRefusedError):
            alone = UidSet.span(uid, uid)
            return bool(self.state.read(self.state.request(alone).read(), alone))
        return False

    def _listed(self, uids: UidSet) -> list[FetchedMessage]:
        """Return records of the messages that the server lists and whose metadata it does not give."""
        if not uids:
            return []
        listing = self.state.connection.fetch_flags(uids)
        return [
            FetchedMessage(uid, listing.table[flags], Envelope(partial=_REFUSED))
            for uid, flags in zip(listing.uids, listing.hashes, strict=True)
        ]

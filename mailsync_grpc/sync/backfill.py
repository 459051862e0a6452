"""Fetching a folder's pending messages, newest first, batch by batch.

The next batch is asked for after the tagged answer to the last one and before that one is parsed, so that the server
works while we parse and commit. At most one answer is under way, since two would interleave. A slice ends when the
caller wants the connection for something else, so that a long history holds up no poll of its own account.

A message that the server lists but does not give, or gives as a husk, stays pending until the end of the slice, is
asked for once more, and then is stored, is gone, or is stored as a PARTIAL record: it must not be fetched for ever.
A message that fails the whole batch it is in is found by `doubt` and ends the same way.

A batch with messages that report something is held until no answer is under way and their parts can be read. One whose
parts break the connection is found by a doubt of its own and kept without what they say.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from mailsync_grpc.errors import ImapProtocolError, ImapRefusedError, ImapUnreachableError
from mailsync_grpc.imap.connection import PendingFetch
from mailsync_grpc.model.changes import Backfilled, Change, FolderSynced, NewEnvelope
from mailsync_grpc.model.envelope import Envelope, FetchedMessage, Partial, PartialReason
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync.bounce import announced
from mailsync_grpc.sync.commit import Committer, is_husk
from mailsync_grpc.sync.doubt import Doubt

_ENOUGH = 3
"""Messages that tell a server which is ill from a message that is."""
_REFUSED = Partial(PartialReason.REFUSED, "the server lists this message but does not give its metadata")


@dataclass(slots=True)
class Backfill:
    """A slice of one folder's backfill. `doubt` and `report_doubt` outlive it.

    `skipped` are the UIDs that were asked for and not given, `held` a batch with report parts still to be read.
    """

    state: Committer
    doubt: Doubt
    report_doubt: Doubt
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
                self._store(request.uids, answer)
            request = ahead
        self._settle_held()
        self._settle_skipped()
        self._settle_poison()

    def _ask(self, under_way: UidSet) -> PendingFetch | None:
        poison = self.doubt.poison
        if len(poison) >= _ENOUGH and not self.given:
            return None  # it is rather the server that is ill
        waiting = self.state.progress.pending - under_way - self.skipped - poison
        batch = waiting.highest(min(self.state.account.settings.batch_size, self.doubt.limit))
        return self.state.request(batch) if batch else None

    def _read(self, request: PendingFetch) -> bytes | None:
        """Return the answer, None when the server refuses it."""
        try:
            with self.state.timed("fetch"):
                answer = request.read()
        except ImapRefusedError:
            self.doubt.failed(request.uids)
            return None
        except (ImapProtocolError, ImapUnreachableError):
            self.doubt.failed(request.uids)
            raise
        self.doubt.succeeded()
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
            group = self.held[: self.report_doubt.limit]
            found = self.state.identified(self._detailed(group))
            self._commit(found, UidSet.of(message.uid for message in found))
            del self.held[: len(group)]

    def _detailed(self, group: list[FetchedMessage]) -> list[FetchedMessage]:
        uids, poison = UidSet.of(message.uid for message in group), self.report_doubt.poison
        try:
            detailed = self.state.detailed(group, poison)
        except (ImapProtocolError, ImapUnreachableError):
            self.report_doubt.failed(uids - poison)
            raise
        self.report_doubt.succeeded()
        self.report_doubt.forgive(uids)
        return detailed

    def _commit(self, messages: list[NewEnvelope], settled: UidSet, gone: int = 0) -> None:
        progress = self.state.progress
        pending, stored = progress.pending - settled, progress.stored + len(messages)
        changes = self._announced(messages)
        finished = not pending and not progress.synced
        if finished:
            changes.append(FolderSynced(self.state.folder.key, stored))
        self.state.commit(
            changes,
            len(messages),
            pending=pending,
            arriving=progress.arriving - settled,
            stored=stored,
            synced=progress.synced or finished,
            expected_exists=(progress.expected_exists or 0) - gone,
        )

    def _announced(self, messages: list[NewEnvelope]) -> list[Change]:
        """History is told as one range event; mail that came after the first look is told one by one."""
        arriving = self.state.progress.arriving
        history = tuple(message for message in messages if message.uid not in arriving)
        changes: list[Change] = [Backfilled(self.state.folder.key, history)] if history else []
        for message in messages:
            if message.uid in arriving:
                changes += announced(self.state.folder.key, message)
        return changes

    def _settle_skipped(self) -> None:
        """Ask once more in a folder opened anew, where what is not listed has gone."""
        if self.skipped:
            self.state.reopen()
        while batch := self.skipped.highest(
            min(self.state.account.settings.batch_size, self.report_doubt.limit)
        ):
            messages = self.state.read(self.state.request(batch).read(), batch)
            self.given = self.given or bool(messages)
            self._settle(batch, messages)
            self.skipped -= batch

    def _settle_poison(self) -> None:
        poison = self.doubt.poison
        self.doubt.forgive(poison)
        waiting = poison - (poison - self.state.progress.pending)
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

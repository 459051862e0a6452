"""Which stored records lack metadata that may be had now: those of minimal mode, and those a server or we failed at.

A record that is PARTIAL because a server refused the message, or sent what could not be read, is not asked for again
with every look: nothing would come of it. It is when the server or the software is another one, which a mark of both
tells, kept with the folder's progress. Minimal mode leaves no mark, so that a change to full metadata begins at once.

What the server is known to answer goes in batches, halved like those of a backfill where one fails (`batching`). What it
refused or broke off at goes alone, has one chance, and is given up before it is asked for, lest it fail for ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import xxhash

from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.model.envelope import Envelope, PartialReason
from mailsync_grpc.model.folder import FolderProgress
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.model.window import SyncMode
from mailsync_grpc.store.values import Summary
from mailsync_grpc.sync.batching import Batching

ENOUGH = 3
"""Messages that tell a server which is ill from a message that is."""
_UNREAD = {PartialReason.MALFORMED, PartialReason.TOO_DEEP}
_WITHHELD = {PartialReason.REFUSED, PartialReason.TOO_LARGE}


def mark(parsers: int, server: str, capabilities: Iterable[str]) -> int:
    """Return a number that is another one when the parsers, the server or what it offers is; never 0."""
    return xxhash.xxh3_64_intdigest(repr((parsers, server, sorted(capabilities))).encode()) or 1


def untried(progress: FolderProgress, settings: SyncSettings) -> bool:
    """Whether there may be records whose metadata is wanted and was never asked for."""
    return settings.mode is SyncMode.FULL_METADATA and not progress.tried


def due(progress: FolderProgress, settings: SyncSettings, now: int, *, whole: bool) -> bool:
    """Whether records are to be tried again under mark `now`.

    Another server is taken for another one at a `whole` comparison only: behind one name there may be several.
    """
    outdated = settings.mode is SyncMode.FULL_METADATA and progress.tried != now
    return outdated and (whole or not progress.tried)


@dataclass(slots=True)
class Repair:
    """What is left to be tried of one folder, under `mark`; `given` tells whether the server gave anything at all."""

    mark: int
    unfetched: UidSet = UidSet()
    unread: UidSet = UidSet()
    withheld: UidSet = UidSet()
    given: bool = False
    batching: Batching = field(default_factory=Batching)

    def add(self, summaries: Iterable[Summary]) -> None:
        """Take up the partial ones of some stored envelopes."""
        partial = [(summary.uid, summary.partial) for summary in summaries if summary.partial is not None]
        self.unfetched |= UidSet.of(uid for uid, reason in partial if reason is PartialReason.NOT_FETCHED)
        self.unread |= UidSet.of(uid for uid, reason in partial if reason in _UNREAD)
        self.withheld |= UidSet.of(uid for uid, reason in partial if reason in _WITHHELD)

    def take(self, size: int) -> UidSet:
        """Return the messages to ask for next, newest first, at most `size`; empty when all had their chance."""
        batch = (self.unfetched | self.unread) - self.batching.poison
        if batch:
            return batch.highest(min(size, self.batching.limit))
        alone = self.withheld.highest(1)
        self.withheld -= alone
        return alone

    def failed(self, uids: UidSet) -> None:
        """Note that the answer for `uids` was refused or broke off."""
        if not uids - (self.unfetched | self.unread):
            self.batching.failed(uids)

    def answered(self, asked: UidSet, given: UidSet, seconds: float) -> None:
        """Note an answer. What was asked for and not given may have gone, or is asked for once more, alone."""
        self.batching.answered(len(asked), seconds)
        self.given = self.given or bool(given)
        omitted = asked - given
        self.withheld |= omitted - (omitted - self.unfetched)
        self.unfetched -= asked
        self.unread -= asked

    @property
    def ill(self) -> bool:
        """Whether it is rather the server that fails than the messages; they stay to be fetched."""
        poison = self.batching.poison
        left = self.unfetched - poison
        return not self.given and bool(self.unfetched) and (len(poison) >= ENOUGH or not left)

    def begin_anew(self) -> None:
        """Give every message new chances: it was the server's fault."""
        self.batching = Batching()


def better(envelope: Envelope, unfetched: bool) -> bool:
    """Whether what a server gave now says more than what is stored."""
    return unfetched or envelope.partial is None

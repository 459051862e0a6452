"""Flags and labels added and removed on the mail server. When it is not known what was sent before, that is repeated.

The answer to STORE says little, since servers may drop flags that they do not keep; so the flags are read afterwards, and a
message has succeeded when it has them as was asked for. Labels come last, since a message may leave the folder by them;
then it has succeeded when it is gone.
"""

from dataclasses import dataclass

from mailsync_grpc.errors import (
    EnvelopeNotFoundError,
    ImapRefusedError,
    ModseqConflictError,
    OutcomeUnknownError,
)
from mailsync_grpc.imap.changes import LABELLED_RANGES
from mailsync_grpc.imap.commands import MAX_RANGES
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync import labels
from mailsync_grpc.sync.change_messages import NOT_THERE, UNKNOWN, MessageChange
from mailsync_grpc.sync.sending import sent

_CHANGED = "the message was changed since the mod-sequence given"
_KEPT = "the server took the command and did not keep the flags or labels"


@dataclass(slots=True)
class FlagChange(MessageChange):
    """A change of flags and labels."""

    def carry_out(self, resumed: bool) -> None:
        """Add and remove flags and labels, and see what the messages have then."""
        intent, modified = self.intent, UidSet()
        if resumed and intent.unchanged_since:
            # Our own first try is a change since then.
            self.tally.succeed(self._flagged(self.left)[0])
        labelled = intent.add.labels or intent.remove.labels
        for piece in self.left.chunks(LABELLED_RANGES if labelled else MAX_RANGES):
            try:
                modified |= self._store_flags(piece)
            except ImapRefusedError as error:
                self.tally.refuse(piece, error)
        if resumed:  # perhaps by the first half of our own first try
            self.tally.refuse(modified & self.left, OutcomeUnknownError, UNKNOWN)
        self.tally.refuse(modified & self.left, ModseqConflictError, _CHANGED)
        flagged, other = self._flagged(self.left)
        self.tally.succeed(flagged)
        self.tally.refuse(other, ImapRefusedError, _KEPT)
        self._tally_taken()
        self.tally.refuse(self.left, EnvelopeNotFoundError, NOT_THERE)

    def _tally_taken(self) -> None:
        """Note what is gone from the folder by the labels that it got or lost."""
        if self.left and labels.take_away(self.intent, self.folder(self.intent.folder)):
            gone = self.left - self.connection.present(self.left)
            self.tally.succeed(gone)
            self.tally.place((uid, 0) for uid in gone)

    def _store_flags(self, piece: UidSet) -> UidSet:
        """Send all changes; the first decides which messages were changed meanwhile, since it is a change itself."""
        intent, modified, unless = self.intent, UidSet(), self.intent.unchanged_since
        flag, label = self.connection.store, self.connection.label
        for change, sign, names in (
            (flag, "+", intent.add.names),
            (flag, "-", intent.remove.names),
            (label, "+", intent.add.labels),
            (label, "-", intent.remove.labels),
        ):
            if names and piece:
                modified |= sent(change(piece, sign, names, unless)) & piece
                piece, unless = piece - modified, 0
        return modified

    def _flagged(self, uids: UidSet) -> tuple[UidSet, UidSet]:
        """Return those of `uids` that have the flags as asked for, and those that have not; without what is gone."""
        if not uids:
            return UidSet(), UidSet()
        listing = self.connection.fetch_flags(uids)
        own = labels.own_labels(self.folder(self.intent.folder))
        right = {number: self._as_asked(flags, own) for number, flags in listing.table.items()}
        pairs = list(zip(listing.uids, listing.hashes, strict=True))
        flagged = UidSet.of(uid for uid, number in pairs if right[number])
        return flagged, UidSet.of(listing.uids) - flagged

    def _as_asked(self, flags: Flags, own: frozenset[str]) -> bool:
        remove = self.intent.remove
        flagged = not self.intent.add.minus(flags).names and remove.minus(flags).names == remove.names
        return flagged and labels.as_asked(self.intent, flags, own)

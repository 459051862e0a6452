"""Flags and labels added and removed on the mail server. When it is not known what was sent before, what is missing is.

The answer to STORE says little, since servers may drop flags that they do not keep; so the flags are read afterwards, and a
message has succeeded when it has them as was asked for. What takes messages out of the folder comes last, since nothing
reaches them after that; by it they have succeeded when they are gone. Under a condition every STORE but the first holds each message to the mod-sequence that
the answer to the one before gave it (RFC 7162 section 3.1.3), so that no change of others between them is written over.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mailsync_grpc.errors import (
    EnvelopeNotFoundError,
    ImapRefusedError,
    ModseqConflictError,
    OutcomeUnknownError,
)
from mailsync_grpc.imap.changes import MAX_LABELS
from mailsync_grpc.imap.changing import Pending
from mailsync_grpc.imap.told import Stored
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync import labels
from mailsync_grpc.sync.change_messages import NOT_THERE, UNKNOWN, MessageChange, pieces
from mailsync_grpc.sync.sending import sent

_CHANGED = "the message was changed since the mod-sequence given"
_KEPT = "the server took the command and did not keep the flags or labels"


@dataclass(slots=True)
class FlagChange(MessageChange):
    """A change of flags and labels."""

    def carry_out(self, resumed: bool) -> None:
        """Add and remove flags and labels, and see what the messages have then."""
        modified = UidSet()
        if resumed:
            # What our own first try did is nothing to send again, and a change since the mod-sequence given.
            self._see()
        for piece in pieces(self.left, self._beside):
            try:
                modified |= self._store_flags(piece)
            except ImapRefusedError as error:
                self.tally.refuse(piece, error)
        if resumed:  # perhaps by the first half of our own first try
            self.tally.refuse(modified & self.left, OutcomeUnknownError, UNKNOWN)
        self.tally.refuse(modified & self.left, ModseqConflictError, _CHANGED)
        self.tally.refuse(self._see(), ImapRefusedError, _KEPT)
        self.tally.refuse(self.left, EnvelopeNotFoundError, NOT_THERE)

    def _see(self) -> UidSet:
        """Note what is as was asked for, or gone by that; return what is there and is not."""
        flagged, other = self._flagged(self.left)
        self.tally.succeed(flagged)
        self._tally_taken(self.left - other)
        return other

    def _tally_taken(self, missed: UidSet) -> None:
        """Note those of `missed` that are gone from the folder by the flags and labels that they got or lost."""
        if missed and any(flags != NO_FLAGS for flags in self._taking()):
            gone = missed - self.connection.present(missed)
            self.tally.succeed(gone)
            self.tally.place((uid, 0) for uid in gone)

    def _taking(self) -> tuple[Flags, Flags]:
        return labels.taking(self.intent, self.folder(self.intent.folder))

    def _store_flags(self, piece: UidSet) -> UidSet:
        """Send all changes and return what was left alone: by the first, or changed by others since the one before."""
        intent, (aside, lost) = self.intent, self._taking()
        allowed = {intent.unchanged_since: piece}
        for add, remove in ((intent.add.minus(aside), intent.remove.minus(lost)), (aside, lost)):
            for send, sign, names in (
                (self.connection.store, "+", add.names),
                (self.connection.store, "-", remove.names),
                (self.connection.label, "+", add.labels),
                (self.connection.label, "-", remove.labels),
            ):
                if names:
                    allowed = self._stored(allowed, send, sign, names)
        for uids in allowed.values():
            piece -= uids
        return piece

    def _stored(
        self,
        allowed: Mapping[int, UidSet],
        send: Callable[[UidSet, str, Iterable[str], int], Pending[Stored]],
        sign: str,
        names: Iterable[str],
    ) -> dict[int, UidSet]:
        """Change the messages by the mod-sequence that they may have; return those changed by the one they have now."""
        after: dict[int, UidSet] = defaultdict(UidSet)
        for unless, together in allowed.items():
            # Some of a few long ranges may be many short ones.
            for uids in pieces(together, self._beside):
                for modseq, changed in sent(send(uids, sign, names, unless)).allowed(uids, unless).items():
                    after[modseq] |= changed
        return after

    @property
    def _beside(self) -> int:
        """Octets of the flags or labels of one command."""
        add, remove = self.intent.add, self.intent.remove
        return max(add.octets, remove.octets, MAX_LABELS if add.labels or remove.labels else 0)

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
        flagged = not self.intent.add.minus(flags).names and len(remove.minus(flags).names) == len(
            remove.names
        )
        return flagged and labels.as_asked(self.intent, flags, own)

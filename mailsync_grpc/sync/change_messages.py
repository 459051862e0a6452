r"""Flags, copies, moves and deletions on the mail server: what is checked before, sent, and found out after a crash.

`begin` sends nothing that changes anything. It opens the folder, refuses what would be half done (another UIDVALIDITY, no
UIDPLUS where messages are to be removed, RFC 4315) and says what is to be recorded. `perform` sends the commands, a
bounded line of UIDs each; a line that is refused says so of its messages and stops no other. When it is not known what
was sent before, flags and deletions are simply repeated, copies and moves are first looked for in the target (`traces`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from mailsync_grpc.errors import (
    EnvelopeNotFoundError,
    FolderNotFoundError,
    FolderNotSelectableError,
    ImapRefusedError,
    MailsyncError,
    ModseqConflictError,
    OutcomeUnknownError,
    UidValidityChangedError,
)
from mailsync_grpc.imap.changing import ChangingConnection
from mailsync_grpc.imap.commands import MAX_RANGES
from mailsync_grpc.model.flags import DELETED, Flags
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.intent import Intent, IntentKind, IntentState, Outcome
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.codec.envelope import decode_print
from mailsync_grpc.sync.appeared import appeared
from mailsync_grpc.sync.sending import sent
from mailsync_grpc.sync.tally import Tally
from mailsync_grpc.sync.traces import Findings, Print, judge, prints

_REMOVING = (IntentKind.MOVE, IntentKind.EXPUNGE)
_NOT_THERE = "the folder holds no message with this UID"
_UNKNOWN = "the connection broke, and the mailbox does not show whether the server made the change"
_KEPT = "the server took the command and did not keep the flags"
_STAYED = "the server took the command and the message is still there"


@dataclass(slots=True)
class MessageChange:
    """One intent about messages, over one connection; `tally` is what is known of it."""

    store: Store
    connection: ChangingConnection
    intent: Intent
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        """Take up what is known."""
        self.tally = Tally.of(self.intent.outcome)

    # Before

    def begin(self) -> Intent:
        """Return the intent as it is to be recorded before the first command. Raises what refuses it as a whole."""
        self._require_means()
        intent = replace(self.intent, version=self.intent.version + 1, state=IntentState.BEGUN, sent=True)
        if intent.target:
            intent = self._with_target(intent)
        self._open()
        present = self.connection.present(intent.uids)
        self.tally.refuse(intent.single - present, EnvelopeNotFoundError, _NOT_THERE)
        return replace(intent, uids=present, outcome=self.tally.outcome)

    def _require_means(self) -> None:
        kind, offered = self.intent.kind, self.connection.capabilities
        if self.intent.unchanged_since and not self.connection.condstore:
            raise ImapRefusedError(
                "the server has no mod-sequences (CONDSTORE, RFC 7162); nothing was changed"
            )
        moves = kind is IntentKind.MOVE and "MOVE" in offered
        if kind in _REMOVING and not moves and "UIDPLUS" not in offered:
            raise ImapRefusedError(
                "the server cannot expunge single messages (UIDPLUS, RFC 4315); nothing was changed"
            )

    def _with_target(self, intent: Intent) -> Intent:
        target = self._folder(intent.target)
        status = self.connection.status(target.raw_name)
        if status is None:
            raise FolderNotSelectableError(f"the server tells nothing of {target.name}; nothing was changed")
        validity = status.uid_validity or 0
        if target.uid_validity and validity != target.uid_validity:
            raise UidValidityChangedError(f"{target.name} is another mailbox now; list the folders again")
        return replace(intent, target_validity=validity, uid_next=status.uid_next or 0)

    def _folder(self, number: FolderNo) -> Folder:
        found = self.store.folder_by_no(self.intent.account.no, number)
        if found is None:
            raise FolderNotFoundError(f"number {number} of {self.intent.account.id}")
        return found[0]

    def _open(self) -> None:
        folder = self._folder(self.intent.folder)
        if self.connection.select(folder.raw_name).uid_validity != self.intent.uid_validity:
            raise UidValidityChangedError(f"{folder.name} was renumbered by its server; list it again")

    # After

    def perform(self, resumed: bool) -> Outcome:
        """Send what is left to be done and return what became of it; `resumed`: some of it may have been sent."""
        if resumed:
            self._open()
        match self.intent.kind:
            case IntentKind.MODIFY_FLAGS:
                self._modify(resumed)
            case IntentKind.COPY:
                self._copy(resumed)
            case IntentKind.MOVE:
                self._move(resumed)
            case _:
                self._expunge(self._left)
        return self.tally.outcome

    def known(self) -> Outcome:
        """Return what is known so far."""
        return self.tally.outcome

    def give_up(self, error: MailsyncError) -> Outcome:
        """Return the outcome when the folder cannot be asked any more: of what is left nobody knows."""
        self.tally.refuse(self._left, OutcomeUnknownError, f"{_UNKNOWN}: {error}")
        return self.tally.outcome

    @property
    def _left(self) -> UidSet:
        return self.tally.left_of(self.intent.uids)

    def _pieces(self, uids: UidSet) -> Iterator[UidSet]:
        return uids.chunks(MAX_RANGES)

    # Flags

    def _modify(self, resumed: bool) -> None:
        intent, modified = self.intent, UidSet()
        if resumed and intent.unchanged_since:
            # Our own first try is a change since then.
            self.tally.succeed(self._flagged(self._left)[0])
        for piece in self._pieces(self._left):
            try:
                modified |= self._store_flags(piece)
            except ImapRefusedError as error:
                self.tally.refuse(piece, error)
        self.tally.refuse(
            modified & self._left, ModseqConflictError, "the message was changed since the mod-sequence given"
        )
        flagged, other = self._flagged(self._left)
        self.tally.succeed(flagged)
        self.tally.refuse(other, ImapRefusedError, _KEPT)
        self.tally.refuse(self._left, EnvelopeNotFoundError, _NOT_THERE)

    def _store_flags(self, piece: UidSet) -> UidSet:
        """Send both changes; the first decides which messages were changed meanwhile, since it is a change itself."""
        intent, modified, unless = self.intent, UidSet(), self.intent.unchanged_since
        for sign, flags in (("+", intent.add.names), ("-", intent.remove.names)):
            if flags and piece:
                modified |= sent(self.connection.store(piece, sign, flags, unless)) & piece
                piece, unless = piece - modified, 0
        return modified

    def _flagged(self, uids: UidSet) -> tuple[UidSet, UidSet]:
        """Return those of `uids` that have the flags as asked for, and those that have not; without what is gone."""
        if not uids:
            return UidSet(), UidSet()
        listing = self.connection.fetch_flags(uids)
        right = {number: self._as_asked(flags) for number, flags in listing.table.items()}
        pairs = list(zip(listing.uids, listing.hashes, strict=True))
        flagged = UidSet.of(uid for uid, number in pairs if right[number])
        return flagged, UidSet.of(listing.uids) - flagged

    def _as_asked(self, flags: Flags) -> bool:
        remove = self.intent.remove
        return not self.intent.add.minus(flags).names and len(remove.minus(flags).names) == len(remove.names)

    # Copies

    def _copy(self, resumed: bool) -> None:
        if resumed:
            found = self._find(self._left)
            self._note_there(found)
            self.tally.refuse(found.unknown, OutcomeUnknownError, _UNKNOWN)
        for piece in self._pieces(self._left):
            self._copy_piece(piece)
        self._look_up_places()

    def _copy_piece(self, piece: UidSet) -> bool:
        """Copy a line of messages; False when the server refuses it."""
        try:
            copied = sent(self.connection.copy(piece, self._folder(self.intent.target).raw_name))
        except ImapRefusedError as error:
            self.tally.refuse(piece, error)
            return False
        told = dict(copied.pairs)
        if told:
            # What was not copied had gone before; of a server that tells nothing everything is taken to be.
            self.tally.refuse(piece - UidSet.of(told), EnvelopeNotFoundError, _NOT_THERE)
            piece &= UidSet.of(told)
        self.tally.place(((uid, told.get(uid, 0)) for uid in piece), copied.uid_validity)
        if self.intent.kind is IntentKind.COPY:
            self.tally.succeed(piece)
        return True

    def _look_up_places(self) -> None:
        """Find by their looks the copies of which the server did not tell the UIDs."""
        unplaced = UidSet.of(uid for uid, new in self.tally.moved.items() if not new)
        if unplaced and not self.tally.uid_validity:
            self.tally.place(self._find(unplaced).there, self.intent.target_validity)

    # Moves

    def _move(self, resumed: bool) -> None:
        if resumed:
            self._resume_move()
        for piece in self._pieces(self._left - UidSet.of(self.tally.moved)):
            if "MOVE" in self.connection.capabilities:
                self._move_piece(piece)
            else:
                self._copy_piece(piece)
        self._remove_copied()
        self._look_up_places()

    def _move_piece(self, piece: UidSet) -> None:
        try:
            moved = sent(self.connection.move(piece, self._folder(self.intent.target).raw_name))
        except ImapRefusedError as error:
            # Of several messages some may have gone before it failed (RFC 6851 section 3.3).
            self.tally.refuse(self.connection.present(piece), error)
            self.tally.refuse(self._left & piece, OutcomeUnknownError, _UNKNOWN)
            return
        stayed = self.connection.present(piece)
        self.tally.refuse(stayed, ImapRefusedError, _STAYED)
        told = dict(moved.pairs)
        self.tally.place(((uid, told.get(uid, 0)) for uid in piece - stayed), moved.uid_validity)
        self.tally.succeed(piece - stayed)

    def _resume_move(self) -> None:
        left = self._left - UidSet.of(self.tally.moved)
        present = self.connection.present(left)
        found = self._find(left, present)
        self._note_there(found)
        # What is gone and nowhere to be found may have been taken by somebody else.
        self.tally.refuse(found.unknown | (found.absent - present), OutcomeUnknownError, _UNKNOWN)

    def _remove_copied(self) -> None:
        """Remove the originals of what is in the target."""
        copied = self._left & UidSet.of(self.tally.moved)
        present = self.connection.present(copied) if copied else copied
        self.tally.succeed(copied - present)
        if present and "UIDPLUS" not in self.connection.capabilities:
            self.tally.refuse(present, OutcomeUnknownError, _UNKNOWN)
        elif present:
            self._expunge(present)

    # Deletions

    def _expunge(self, uids: UidSet) -> None:
        for piece in self._pieces(uids):
            try:
                sent(self.connection.store(piece, "+", (DELETED,)))
                sent(self.connection.expunge(piece))
            except ImapRefusedError as error:
                self.tally.refuse(self.connection.present(piece), error)
                continue
            self.tally.refuse(self.connection.present(piece), ImapRefusedError, _STAYED)
        self.tally.succeed(self._left & uids)

    # Traces in the target

    def _note_there(self, found: Findings) -> None:
        self.tally.place(found.there, self.intent.target_validity)
        if self.intent.kind is IntentKind.COPY:
            self.tally.succeed(UidSet.of(uid for uid, _ in found.there))

    def _find(self, uids: UidSet, present: UidSet | None = None) -> Findings:
        """Look in the target for what `uids` would have become; the source is open again afterwards."""
        if not uids:
            return Findings()
        wanted = self._looks_of(uids)
        found = appeared(self.connection, self._folder(self.intent.target), self.intent)
        self._open()
        if found is None:
            return Findings(unknown=uids)
        return judge(wanted, found, uids if present is None else present)

    def _looks_of(self, uids: UidSet) -> dict[int, Print | None]:
        """Return what messages look like, as the server says or, of those that are gone, as the mirror remembers."""
        told = prints(self.connection.fetch_metadata(uids))
        folder = self._folder(self.intent.folder)
        return {uid: told.get(uid) or self._remembered(folder, uid) for uid in uids}

    def _remembered(self, folder: Folder, uid: int) -> Print | None:
        row = self.store.envelope(folder, uid) if folder.uid_validity == self.intent.uid_validity else None
        return Print(*decode_print(row.basic)) if row and row.basic else None

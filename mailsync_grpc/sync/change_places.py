r"""Messages copied, moved and deleted on the mail server, and what was done of it after a crash.

Copies and moves of which it is not known whether they were sent are first looked for in the target (`traces`); a deletion is
simply repeated. Where a server has no MOVE (RFC 6851), a move is a copy, the mark \Deleted, and UID EXPUNGE of what was copied.
Only the UIDs that were asked for are ever expunged.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mailsync_grpc.errors import EnvelopeNotFoundError, ImapRefusedError, OutcomeUnknownError
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.intent import IntentKind
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.codec.envelope import decode_print
from mailsync_grpc.sync.appeared import appeared
from mailsync_grpc.sync.change_messages import NOT_THERE, UNKNOWN, MessageChange, pieces
from mailsync_grpc.sync.expunging import STAYED, expunge
from mailsync_grpc.sync.sending import sent
from mailsync_grpc.sync.traces import Findings, Print, judge, prints


@dataclass(slots=True)
class PlaceChange(MessageChange):
    """A change of where messages are, or whether."""

    def carry_out(self, resumed: bool) -> None:
        """Copy, move or delete."""
        match self.intent.kind:
            case IntentKind.COPY:
                self._copy(resumed)
            case IntentKind.MOVE:
                self._move(resumed)
            case _:
                expunge(self.connection, self.left, self.tally)

    @property
    def _target(self) -> bytes:
        return self.folder(self.intent.target).raw_name

    # Copies

    def _copy(self, resumed: bool) -> None:
        if resumed:
            found = self._find(self.left)
            doubtful = found.unknown | self._doubtful(found)
            self._note_there(found)
            self.tally.refuse(doubtful, OutcomeUnknownError, UNKNOWN)
        for piece in pieces(self.left, len(self._target)):
            self._copy_piece(piece)
        self._look_up_places()

    def _copy_piece(self, piece: UidSet) -> None:
        try:
            copied = sent(self.connection.copy(piece, self._target))
        except ImapRefusedError as error:
            if stayed := self._stayed(piece, error):
                self.tally.refuse(piece - stayed, EnvelopeNotFoundError, NOT_THERE)
                for left in pieces(stayed, len(self._target)):
                    self._copy_piece(left)
            else:
                self.tally.refuse(piece, error)
            return
        told = dict(copied.pairs)
        if told:
            piece = self._told_of(piece, told)
        self.tally.place(((uid, told.get(uid, 0)) for uid in piece), copied.uid_validity)
        if self.intent.kind is IntentKind.COPY:
            self.tally.succeed(piece)

    def _stayed(self, piece: UidSet, error: ImapRefusedError) -> UidSet:
        """Return what a refused command is to be sent again for: the others, when it was refused since some had gone (RFC 5530)."""
        stayed = self.connection.present(piece) if error.code == "EXPUNGEISSUED" else piece
        return stayed if stayed != piece else UidSet()

    def _told_of(self, uids: UidSet, told: Mapping[int, int]) -> UidSet:
        """Return those of `uids` that COPYUID names; the others had gone before."""
        self.tally.refuse(uids - UidSet.of(told), EnvelopeNotFoundError, NOT_THERE)
        return uids & UidSet.of(told)

    def _look_up_places(self) -> None:
        """Find by their looks the copies of which the server did not tell the UIDs."""
        unplaced = UidSet.of(uid for uid, new in self.tally.moved.items() if not new)
        if unplaced:
            self.tally.place(self._find(unplaced).there, self.intent.target_validity)

    # Moves

    def _move(self, resumed: bool) -> None:
        if resumed:
            self._resume_move()
        for piece in pieces(self.left - UidSet.of(self.tally.moved), len(self._target)):
            if "MOVE" in self.connection.capabilities:
                self._move_piece(piece)
            else:
                self._copy_piece(piece)
        self._remove_copied()
        self._look_up_places()

    def _move_piece(self, piece: UidSet) -> None:
        try:
            moved = sent(self.connection.move(piece, self._target))
        except ImapRefusedError as error:
            # Of several messages some may have gone before it failed (RFC 6851 section 3.3).
            stayed = self._stayed(piece, error)
            self.tally.refuse(self.connection.present(piece - stayed), error)
            self.tally.refuse(piece - stayed & self.left, OutcomeUnknownError, UNKNOWN)
            for left in pieces(stayed, len(self._target)):
                self._move_piece(left)
            return
        stayed = self.connection.present(piece)
        self.tally.refuse(stayed, ImapRefusedError, STAYED)
        told, gone = dict(moved.pairs), piece - stayed
        if told:
            gone = self._told_of(gone, told)
        self.tally.place(((uid, told.get(uid, 0)) for uid in gone), moved.uid_validity)
        self.tally.succeed(gone)

    def _resume_move(self) -> None:
        left = self.left - UidSet.of(self.tally.moved)
        present = self.connection.present(left)
        found = self._find(left, present)
        # What is gone and nowhere to be found may have been taken by somebody else.
        doubtful = found.unknown | (found.absent - present)
        if "MOVE" not in self.connection.capabilities:
            doubtful |= self._doubtful(found)
        self._note_there(found)
        self.tally.refuse(doubtful, OutcomeUnknownError, UNKNOWN)

    def _remove_copied(self) -> None:
        """Remove the originals of what is in the target."""
        copied = self.left & UidSet.of(self.tally.moved)
        present = self.connection.present(copied) if copied else copied
        self.tally.succeed(copied - present)
        if present and "UIDPLUS" not in self.connection.capabilities:
            self.tally.refuse(present, OutcomeUnknownError, UNKNOWN)
        elif present:
            expunge(self.connection, present, self.tally)

    # Traces in the target

    def _note_there(self, found: Findings) -> None:
        self.tally.place(found.there, self.intent.target_validity)
        if self.intent.kind is IntentKind.COPY:
            self.tally.succeed(UidSet.of(uid for uid, _ in found.there))

    def _doubtful(self, found: Findings) -> UidSet:
        """Return what is not there of commands that others show to have been made: it may come yet, or was taken away."""
        there, doubtful = UidSet.of(uid for uid, _ in found.there), UidSet()
        for piece in pieces(self.left - UidSet.of(self.tally.moved), len(self._target)):
            if there & piece:
                doubtful |= found.absent & piece
        return doubtful

    def _find(self, uids: UidSet, present: UidSet | None = None) -> Findings:
        """Look in the target for what `uids` would have become; the source is open again afterwards."""
        if not uids:
            return Findings()
        wanted = self._looks_of(uids)
        found = appeared(self.connection, self.folder(self.intent.target), self.intent)
        self.open()
        if found is None:
            return Findings(unknown=uids)
        return judge(wanted, found, uids if present is None else present)

    def _looks_of(self, uids: UidSet) -> dict[int, Print | None]:
        """Return what messages look like, as the server says or, of those that are gone, as the mirror remembers."""
        told = prints(self.connection.fetch_metadata(uids))
        folder = self.folder(self.intent.folder)
        return {uid: told.get(uid) or self._remembered(folder, uid) for uid in uids}

    def _remembered(self, folder: Folder, uid: int) -> Print | None:
        row = self.store.envelope(folder, uid) if folder.uid_validity == self.intent.uid_validity else None
        return Print(*decode_print(row.basic)) if row and row.basic else None

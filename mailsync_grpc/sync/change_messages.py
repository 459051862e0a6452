"""Changes of messages on the mail server: what is checked and recorded before the first command, whatever it is.

`begin` sends nothing that changes anything. It opens the folder, refuses what would be half done (another UIDVALIDITY, no
UIDPLUS where messages are to be removed, RFC 4315) and says what is to be recorded. `perform` sends the commands, a
bounded line of UIDs each; a line that is refused says so of its messages and stops no other (`change_flags`,
`change_places`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from mailsync_grpc.errors import (
    EnvelopeNotFoundError,
    FolderNotFoundError,
    FolderNotSelectableError,
    ImapRefusedError,
    MailsyncError,
    OutcomeUnknownError,
    UidValidityChangedError,
)
from mailsync_grpc.imap.changing import ChangingConnection
from mailsync_grpc.imap.commands import ranges_beside
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.intent import Intent, IntentKind, IntentState, Outcome
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Store
from mailsync_grpc.sync.tally import Tally

_REMOVING = (IntentKind.MOVE, IntentKind.EXPUNGE)
NOT_THERE = "the folder holds no message with this UID"
MAX_TOGETHER = 500
"""Messages of one command: copying thousands takes some servers longer than any client waits for an answer."""
UNKNOWN = "the connection broke, and the mailbox does not show whether the server made the change"


@dataclass(slots=True)
class MessageChange(ABC):
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
        self.open()
        present = self.connection.present(intent.uids)
        self.tally.refuse(intent.single - present, EnvelopeNotFoundError, NOT_THERE)
        return replace(intent, uids=present, outcome=self.tally.outcome)

    def _require_means(self) -> None:
        kind, offered = self.intent.kind, self.connection.capabilities
        if self.intent.unchanged_since and not self.connection.condstore:
            raise ImapRefusedError(
                "the server has no mod-sequences (CONDSTORE, RFC 7162); nothing was changed"
            )
        labels = (*self.intent.add.labels, *self.intent.remove.labels)
        if labels and not self.connection.has_labels:
            raise ImapRefusedError(
                "the server has no labels (X-GM-EXT-1, which is Gmail's); use keywords; nothing was changed"
            )
        moves = kind is IntentKind.MOVE and "MOVE" in offered
        if kind in _REMOVING and not moves and "UIDPLUS" not in offered:
            raise ImapRefusedError(
                "the server cannot expunge single messages (UIDPLUS, RFC 4315); nothing was changed"
            )

    def _with_target(self, intent: Intent) -> Intent:
        target = self.folder(intent.target)
        status = self.connection.status(target.raw_name)
        if status is None:
            raise FolderNotSelectableError(f"the server tells nothing of {target.name}; nothing was changed")
        validity = status.uid_validity or 0
        if target.uid_validity and validity != target.uid_validity:
            raise UidValidityChangedError(f"{target.name} is another mailbox now; list the folders again")
        return replace(intent, target_validity=validity, uid_next=status.uid_next or 0)

    def folder(self, number: FolderNo) -> Folder:
        """Return a folder of the account. Raises FolderNotFoundError."""
        found = self.store.folder_by_no(self.intent.account.no, number)
        if found is None:
            raise FolderNotFoundError(f"number {number} of {self.intent.account.id}")
        return found[0]

    def open(self) -> None:
        """Open the folder that holds the messages. Raises UidValidityChangedError."""
        folder = self.folder(self.intent.folder)
        if self.connection.select(folder.raw_name).uid_validity != self.intent.uid_validity:
            raise UidValidityChangedError(f"{folder.name} was renumbered by its server; list it again")

    # After

    def perform(self, resumed: bool) -> Outcome:
        """Send what is left to be done and return what became of it; `resumed`: some of it may have been sent."""
        if resumed:
            self.open()
        self.carry_out(resumed)
        return self.tally.outcome

    @abstractmethod
    def carry_out(self, resumed: bool) -> None:
        """Send what is left to be done of the open folder, and tally what became of it."""

    def known(self) -> Outcome:
        """Return what is known so far."""
        return self.tally.outcome

    def give_up(self, error: MailsyncError) -> Outcome:
        """Return the outcome when the folder cannot be asked any more: of what is left nobody knows."""
        self.tally.refuse(self.left, OutcomeUnknownError, f"{UNKNOWN}: {error}")
        return self.tally.outcome

    @property
    def left(self) -> UidSet:
        """The messages of which nothing is known yet."""
        return self.tally.left_of(self.intent.uids)


def pieces(uids: UidSet, beside: int) -> Iterator[UidSet]:
    """Yield a set of UIDs in pieces that fit in one command each, with so many octets of flags or of a folder's name."""
    return uids.chunks(ranges_beside(beside), MAX_TOGETHER)

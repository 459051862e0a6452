r"""A message added to a folder on the mail server, and whether it was there already after a crash.

The message is read from the spool piece by piece. When it is not known whether it was sent, it is looked for among what came to
the folder since (`traces`); one without a Message-ID cannot be told from others of its size, and is not sent twice.
"""

from dataclasses import dataclass, replace

from mailsync_grpc.errors import (
    FolderNotFoundError,
    FolderNotSelectableError,
    ImapRefusedError,
    MailsyncError,
    OutcomeUnknownError,
    StoreCorruptError,
    UidValidityChangedError,
)
from mailsync_grpc.imap.changing import ChangingConnection
from mailsync_grpc.imap.told import Appended, append_limit
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.intent import Intent, IntentState, Outcome
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Store
from mailsync_grpc.sync.appeared import appeared
from mailsync_grpc.sync.environment import Spool
from mailsync_grpc.sync.sending import sent
from mailsync_grpc.sync.traces import Findings, Print, judge

_UNKNOWN = "the connection broke, and the folder does not show whether the server took the message"
_IT = 1
"""The message to come, among those that are looked for."""


@dataclass(slots=True)
class AppendChange:
    """One intent to add a message, over one connection."""

    store: Store
    connection: ChangingConnection
    intent: Intent
    spool: Spool

    def begin(self) -> Intent:
        """Return the intent as it is to be recorded before the first command. Raises what refuses it."""
        folder = self._folder()
        self._require_room()
        status = self.connection.status(folder.raw_name)
        if status is None:
            raise FolderNotSelectableError(f"the server tells nothing of {folder.name}; nothing was added")
        validity = status.uid_validity or 0
        if folder.uid_validity and validity != folder.uid_validity:
            raise UidValidityChangedError(f"{folder.name} is another mailbox now; list the folders again")
        return replace(
            self.intent,
            version=self.intent.version + 1,
            state=IntentState.BEGUN,
            sent=True,
            target_validity=validity,
            uid_next=status.uid_next or 0,
        )

    def _require_room(self) -> None:
        limit = append_limit(self.connection.capabilities)
        if limit is not None and self.intent.size > limit:
            raise ImapRefusedError(
                f"the server takes messages of {limit} octets (APPENDLIMIT, RFC 7889); nothing was sent"
            )

    def perform(self, resumed: bool) -> Outcome:
        """Send the message unless it is there."""
        found = self._find() if resumed else Findings(absent=UidSet.span(_IT, _IT))
        if found.unknown:
            return Outcome.failed(OutcomeUnknownError(_UNKNOWN))
        if not found.there:
            try:
                told = self._append()
            except (ImapRefusedError, StoreCorruptError) as error:
                return Outcome.failed(error)
            if told.uid:
                return Outcome(uid=told.uid, uid_validity=told.uid_validity)
            found = self._find()
        uid = found.there[0][1] if found.there else 0
        return Outcome(uid=uid, uid_validity=self.intent.target_validity if uid else 0)

    def known(self) -> Outcome:
        """Return nothing: a message is there or it is not."""
        return self.intent.outcome

    def give_up(self, error: MailsyncError) -> Outcome:
        """Return that nobody knows."""
        return Outcome.failed(OutcomeUnknownError(f"{_UNKNOWN}: {error}"))

    def _folder(self) -> Folder:
        found = self.store.folder_by_no(self.intent.account.no, self.intent.target)
        if found is None:
            raise FolderNotFoundError(f"number {self.intent.target} of {self.intent.account.id}")
        return found[0]

    def _append(self) -> Appended:
        intent, raw_name = self.intent, self._folder().raw_name
        with self.spool.pieces(intent.spool) as octets:
            append = self.connection.append(raw_name, intent.add.names, intent.date, intent.size, octets)
        return sent(append)

    def _find(self) -> Findings:
        """Look for the message among what came to the folder since this was begun."""
        found = appeared(self.connection, self._folder(), self.intent)
        if found is None:
            return Findings(unknown=UidSet.span(_IT, _IT))
        return judge({_IT: Print(self.intent.message_id, self.intent.size)}, found)

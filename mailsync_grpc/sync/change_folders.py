r"""Folders created, renamed, deleted and subscribed to on the mail server, and what became of it after a crash.

`begin` lists the folders and refuses what the listing contradicts: a name that is taken, a folder that is gone or whose
name is another mailbox's. After a crash the listing tells what was done, since it said before that it was not: a folder
that was to be created is there, one that was to go is not. A subscription is simply repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mailsync_grpc.errors import (
    FolderExistsError,
    FolderNotFoundError,
    ImapRefusedError,
    MailsyncError,
    OutcomeUnknownError,
    UidValidityChangedError,
)
from mailsync_grpc.imap.changing import ChangingConnection, Pending
from mailsync_grpc.imap.listing import ListedFolder
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.intent import Intent, IntentKind, IntentState, Outcome
from mailsync_grpc.store.base import Store
from mailsync_grpc.sync.naming import as_shown, new_name
from mailsync_grpc.sync.sending import sent

_CREATING = (IntentKind.CREATE_FOLDER, IntentKind.RENAME_FOLDER)
_UNKNOWN = "the connection broke, and the listing does not show whether the server made the change"
Listing = Mapping[bytes, ListedFolder]


@dataclass(slots=True)
class FolderChange:
    """One intent about a folder, over one connection."""

    store: Store
    connection: ChangingConnection
    intent: Intent

    def begin(self) -> Intent:
        """Return the intent as it is to be recorded before the first command. Raises what refuses it."""
        intent, listed = self.intent, self._listing()
        if intent.special_use and "CREATE-SPECIAL-USE" not in self.connection.capabilities:
            raise ImapRefusedError("the server takes no special use for a new folder (RFC 6154 section 3)")
        if intent.kind is not IntentKind.CREATE_FOLDER:
            intent = replace(intent, target_validity=self._require_same(listed))
        if intent.kind in _CREATING:
            intent = self._named(intent)
            if intent.raw_name in listed:
                raise FolderExistsError(intent.path)
        return replace(intent, version=intent.version + 1, state=IntentState.BEGUN, sent=True)

    def perform(self, resumed: bool) -> Outcome:
        """Send the change unless the listing shows that it was made."""
        if resumed:
            made = self._made(self._listing())
            if made is None:
                return Outcome.failed(OutcomeUnknownError(_UNKNOWN))
            if made:
                return Outcome()
        try:
            sent(self._send())
        except ImapRefusedError as error:
            exists = error.code == "ALREADYEXISTS"
            return Outcome.failed(FolderExistsError(self.intent.path) if exists else error)
        return Outcome()

    def known(self) -> Outcome:
        """Return nothing: a folder's change is made as a whole."""
        return self.intent.outcome

    def give_up(self, error: MailsyncError) -> Outcome:
        """Return that nobody knows."""
        return Outcome.failed(OutcomeUnknownError(f"{_UNKNOWN}: {error}"))

    def _listing(self) -> Listing:
        return {entry.raw_name: entry for entry in self.connection.list_folders()}

    def _folder(self) -> Folder:
        found = self.store.folder_by_no(self.intent.account.no, self.intent.folder)
        if found is None:
            raise FolderNotFoundError(f"number {self.intent.folder} of {self.intent.account.id}")
        return found[0]

    def _require_same(self, listed: Listing) -> int:
        """Return the folder's UIDVALIDITY, 0 for none. Raises unless its name is there and still its own mailbox's."""
        folder = self._folder()
        entry = listed.get(folder.raw_name)
        if entry is None:
            raise FolderNotFoundError(folder.name)
        try:
            validity = self._validity(entry)
        except ImapRefusedError:
            if folder.uid_validity:
                raise
            return 0  # one that may not be read can be subscribed to
        if validity and folder.uid_validity and validity != folder.uid_validity:
            raise UidValidityChangedError(f"{folder.name} is another mailbox now; list the folders again")
        return validity

    def _validity(self, entry: ListedFolder) -> int:
        status = self.connection.status(entry.raw_name) if entry.selectable else None
        return (status.uid_validity or 0) if status is not None else 0

    def _is_another(self, entry: ListedFolder) -> bool:
        """Whether a name is another mailbox's than when the change was begun, as far as that can be known."""
        before = self.intent.target_validity
        return bool(before) and self._validity(entry) not in {0, before}

    def _named(self, intent: Intent) -> Intent:
        """Return the intent with its path as it will be shown, and the name on the wire for it."""
        folders = [folder for folder, _ in self.store.folders(intent.account.no)]
        path = as_shown(intent.path, folders)
        return replace(intent, path=path, raw_name=new_name(path, folders, self.connection.namespaces()))

    def _made(self, listed: Listing) -> bool | None:
        """Whether the listing shows that the change was made, None when it shows neither before nor after."""
        intent = self.intent
        match intent.kind:
            case IntentKind.CREATE_FOLDER:
                return intent.raw_name in listed
            case IntentKind.RENAME_FOLDER:
                return self._renamed(self._folder(), listed)
            case IntentKind.DELETE_FOLDER:
                return self._deleted(self._folder(), listed)
        return False

    def _renamed(self, folder: Folder, listed: Listing) -> bool | None:
        old, new = listed.get(folder.raw_name), self.intent.raw_name in listed
        if old is None:
            return True if new else None
        return None if new or self._is_another(old) else False

    def _deleted(self, folder: Folder, listed: Listing) -> bool:
        entry = listed.get(folder.raw_name)
        if entry is None or self._is_another(entry):
            return True
        # One that has others below it stays as a name that holds no messages, as it may have been before.
        return folder.selectable and not entry.selectable

    def _send(self) -> Pending[None]:
        intent, connection = self.intent, self.connection
        match intent.kind:
            case IntentKind.CREATE_FOLDER:
                return connection.create(intent.raw_name, intent.special_use)
            case IntentKind.RENAME_FOLDER:
                return connection.rename(self._folder().raw_name, intent.raw_name)
            case IntentKind.DELETE_FOLDER:
                return connection.delete(self._folder().raw_name)
        return connection.subscribe(self._folder().raw_name, on=intent.kind is IntentKind.SUBSCRIBE)

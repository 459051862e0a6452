"""FolderService, changes of folders on the mail server: each call is an intent that a sync worker carries out."""

from dataclasses import dataclass
from typing import Final
from unicodedata import category

from mailsync_grpc.errors import AccountPausedError, InvalidFieldError
from mailsync_grpc.imap.folder_names import INBOX
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.intent import Intent, IntentKind
from mailsync_grpc.services import fields
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.folders import check_etag
from mailsync_grpc.services.intents import Asking
from mailsync_grpc.services.lookup import find_folder
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.unseen import shown
from mailsync_grpc.v1 import folder_pb2
from mailsync_grpc.v1 import folder_service_pb2 as pb

_MAX_PATH: Final = 1_000
_USES: Final = {
    folder_pb2.SPECIAL_USE_UNSPECIFIED: "",
    folder_pb2.SPECIAL_USE_ALL: "\\All",
    folder_pb2.SPECIAL_USE_ARCHIVE: "\\Archive",
    folder_pb2.SPECIAL_USE_DRAFTS: "\\Drafts",
    folder_pb2.SPECIAL_USE_FLAGGED: "\\Flagged",
    folder_pb2.SPECIAL_USE_IMPORTANT: "\\Important",
    folder_pb2.SPECIAL_USE_JUNK: "\\Junk",
    folder_pb2.SPECIAL_USE_SENT: "\\Sent",
    folder_pb2.SPECIAL_USE_TRASH: "\\Trash",
}


@dataclass(frozen=True, slots=True)
class FolderChanges:
    """Serves the changes of `mailsync.v1.FolderService`."""

    core: Core
    asking: Asking

    async def create_folder(
        self, request: pb.CreateFolderRequest, _context: Context
    ) -> pb.CreateFolderResponse:
        """Create a folder."""
        account_id = fields.account_id(request.parent, "parent")
        if request.special_use not in _USES:
            raise InvalidFieldError({"special_use": "a use that a new folder can have"})

        def decide() -> Intent:
            account = _unpaused(self.core.account(account_id))
            self._check_path(account, request.path, "path")
            return Intent(
                account.key,
                0,
                0,
                IntentKind.CREATE_FOLDER,
                path=request.path,
                special_use=_USES[request.special_use],
                selected=request.selected,
            )

        intent = await self.asking.once(request, decide)
        return pb.CreateFolderResponse(folder=await self._shown(intent), visible_revision=intent.visible)

    async def rename_folder(
        self, request: pb.RenameFolderRequest, _context: Context
    ) -> pb.RenameFolderResponse:
        """Rename a folder, and with it those below it."""

        def decide() -> Intent:
            account, folder = self._changeable(request.name)
            check_etag(folder, request.etag)
            self._check_path(account, request.new_path, "new_path")
            if (request.new_path + folder.delimiter).startswith(folder.display_name + folder.delimiter):
                raise InvalidFieldError({"new_path": "another path, and not one below the folder itself"})
            return _intent(IntentKind.RENAME_FOLDER, folder, request.new_path)

        intent = await self.asking.once(request, decide)
        return pb.RenameFolderResponse(folder=await self._shown(intent), visible_revision=intent.visible)

    async def delete_folder(
        self, request: pb.DeleteFolderRequest, _context: Context
    ) -> pb.DeleteFolderResponse:
        """Delete a folder and its messages."""

        def decide() -> Intent:
            _, folder = self._changeable(request.name)
            check_etag(folder, request.etag)
            return _intent(IntentKind.DELETE_FOLDER, folder)

        intent = await self.asking.once(request, decide)
        return pb.DeleteFolderResponse(visible_revision=intent.visible)

    async def subscribe(self, request: pb.SubscribeRequest, _context: Context) -> pb.SubscribeResponse:
        """Subscribe to a folder."""
        intent = await self._subscribed(IntentKind.SUBSCRIBE, request)
        return pb.SubscribeResponse(folder=await self._shown(intent), visible_revision=intent.visible)

    async def unsubscribe(self, request: pb.UnsubscribeRequest, _context: Context) -> pb.UnsubscribeResponse:
        """End the subscription to a folder."""
        intent = await self._subscribed(IntentKind.UNSUBSCRIBE, request)
        return pb.UnsubscribeResponse(folder=await self._shown(intent), visible_revision=intent.visible)

    async def _subscribed(
        self, kind: IntentKind, request: pb.SubscribeRequest | pb.UnsubscribeRequest
    ) -> Intent:
        def decide() -> Intent:
            account, folder, _ = find_folder(self.core, request.name)
            _unpaused(account)
            return _intent(kind, folder)

        return await self.asking.once(request, decide)

    def _changeable(self, name: str) -> tuple[Account, Folder]:
        account, folder, _ = find_folder(self.core, name)
        if folder.display_name == INBOX:
            # RENAME of INBOX would move its messages instead (RFC 3501 section 6.3.5).
            raise InvalidFieldError({"name": "a folder other than INBOX"})
        return _unpaused(account), folder

    def _check_path(self, account: Account, path: str, field: str) -> None:
        delimiters = {folder.delimiter for folder, _ in self.core.store.folders(account.no)}
        levels = [level for one in delimiters if one for level in path.split(one)] or [path]
        faults = fields.Violations()
        faults.unless(0 < len(path) <= _MAX_PATH, field, f"1 to {_MAX_PATH} characters")
        faults.unless(not any(category(char) == "Cc" for char in path), field, "no control characters")
        faults.unless(all(levels), field, "no empty level: no delimiter at either end, nor two in a row")
        faults.raise_any()

    async def _shown(self, intent: Intent) -> folder_pb2.Folder | None:
        """Return the folder as it is now; None when it is gone since."""
        return await self.core.run(self._find, intent)

    def _find(self, intent: Intent) -> folder_pb2.Folder | None:
        for folder, progress in self.core.store.folders(intent.account.no):
            made = intent.kind is IntentKind.CREATE_FOLDER and folder.raw_name == intent.raw_name
            if made or folder.no == intent.folder:
                return shown(self.core.store, folder, progress)
        return None


def _unpaused(account: Account) -> Account:
    if account.paused:
        raise AccountPausedError(f"{account.name} is paused; resume it first")
    return account


def _intent(kind: IntentKind, folder: Folder, path: str = "") -> Intent:
    return Intent(folder.account, 0, 0, kind, folder=folder.no, path=path)

"""FolderService: the folders of an account as a tree, and which of them are mirrored."""

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mailsync_grpc.errors import (
    EtagMismatchError,
    FolderNotFoundError,
    FolderNotSelectableError,
    InvalidFieldError,
)
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import Change, FolderChanged, FolderChangeKind, SyncRunChanged
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo, Selection
from mailsync_grpc.model.run import RunKind, SyncRun
from mailsync_grpc.services import fields
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.folder_tree import in_tree_order, tree_key
from mailsync_grpc.services.lookup import find_folder
from mailsync_grpc.services.paging import MAX_PAGE_SIZE, PageTokens, page_size
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.requests import Decision, Mutations
from mailsync_grpc.services.tokens import Position, ResumeTokens
from mailsync_grpc.services.unseen import shown
from mailsync_grpc.store.base import Batch, Counter
from mailsync_grpc.store.codec.messages import folder_etag
from mailsync_grpc.v1 import folder_pb2
from mailsync_grpc.v1 import folder_service_pb2 as pb

Entry = tuple[Folder, FolderProgress]


@dataclass(frozen=True, slots=True)
class FolderService:
    """Serves `mailsync.v1.FolderService`."""

    core: Core
    mutations: Mutations
    page_tokens: PageTokens
    resume_tokens: ResumeTokens

    async def list_folders(self, request: pb.ListFoldersRequest, _context: Context) -> pb.ListFoldersResponse:
        """Return a page of an account's folders in tree order."""
        return await self.core.run(self._list, request)

    def _list(self, request: pb.ListFoldersRequest) -> pb.ListFoldersResponse:
        account_id = fields.account_id(request.parent, "parent")
        size = page_size(request.page_size, MAX_PAGE_SIZE)
        key = self.page_tokens.open(request, request.page_token)
        revision = self.core.head()
        account = self.core.account(account_id)
        after = tree_key(tuple(json.loads(key))) if key is not None else ()
        rest = [
            entry
            for entry in in_tree_order(self.core.store.folders(account.no))
            if tree_key(entry[0].path) > after and (entry[0].selected or not request.selected_only)
        ]
        response = pb.ListFoldersResponse(
            folders=[self._message(*entry) for entry in rest[:size]], read_revision=revision
        )
        if len(rest) > size:
            last = json.dumps(rest[size - 1][0].path)
            response.next_page_token = self.page_tokens.seal(request, last.encode())
        if key is None:
            position = Position(revision, self.core.store.log_check(revision))
            response.resume_token = self.resume_tokens.of_list(position, account.id)
        return response

    def _message(self, folder: Folder, progress: FolderProgress) -> folder_pb2.Folder:
        return shown(self.core.store, folder, progress)

    async def get_folder(self, request: pb.GetFolderRequest, _context: Context) -> pb.GetFolderResponse:
        """Return one folder."""

        def read() -> pb.GetFolderResponse:
            revision = self.core.head()
            _, folder, progress = find_folder(self.core, request.name)
            return pb.GetFolderResponse(folder=self._message(folder, progress), read_revision=revision)

        return await self.core.run(read)

    async def update_folder(
        self, request: pb.UpdateFolderRequest, _context: Context
    ) -> pb.UpdateFolderResponse:
        """Select or deselect one folder."""
        if list(request.update_mask.paths) != ["selected"]:
            raise InvalidFieldError({"update_mask": "selected, the only field that can be changed"})

        def decide() -> Decision[pb.UpdateFolderResponse]:
            account, folder, progress = find_folder(self.core, request.folder.name, "folder.name")
            check_etag(folder, request.folder.etag)
            wanted = Selection.SELECTED if request.folder.selected else Selection.DESELECTED
            batch, changed = self._decide(account, {folder.id: wanted}, [(folder, progress)])
            entry = changed[0] if changed else (folder, progress)
            return Decision(batch, pb.UpdateFolderResponse(folder=self._message(*entry)))

        return await self.mutations.once(request, pb.UpdateFolderResponse, lambda: self.core.run(decide))

    async def select_folders(
        self, request: pb.SelectFoldersRequest, _context: Context
    ) -> pb.SelectFoldersResponse:
        """Select and deselect several folders at once."""
        account_id = fields.account_id(request.parent, "parent")

        def decide() -> Decision[pb.SelectFoldersResponse]:
            account = self.core.account(account_id)
            entries = self.core.store.folders(account.no)
            batch, changed = self._decide(account, _wishes(account, request, entries), entries)
            messages = [self._message(*entry) for entry in in_tree_order(changed)]
            return Decision(batch, pb.SelectFoldersResponse(folders=messages, sync_run=_run_started(batch)))

        return await self.mutations.once(request, pb.SelectFoldersResponse, lambda: self.core.run(decide))

    def _decide(
        self, account: Account, wishes: dict[bytes, Selection], entries: list[Entry]
    ) -> tuple[Batch | None, list[Entry]]:
        """Return the batch that makes the wishes true, None when they are, and the folders as they are after it."""
        changes: list[Change] = []
        changed: list[Entry] = []
        fresh: list[bytes] = []
        for before, progress in entries:
            after = _chosen(before, wishes.get(before.id, before.selection))
            if after is before:
                continue
            if before.selected and not after.selected:
                # Under a new mirror the old rows are out of reach at once, and purged in the background.
                after = replace(after, mirror=MirrorNo(self.core.store.allocate(Counter.MIRROR)))
                progress = FolderProgress()
            elif after.selected and not before.selected:
                fresh.append(after.id)
            kind = FolderChangeKind.SELECTED if after.selected else FolderChangeKind.DESELECTED
            changes.append(FolderChanged(after, kind))
            changed.append((after, progress))
        if fresh and not account.paused:
            changes.append(SyncRunChanged(self._run(account, tuple(fresh))))
        return (Batch(account.key, tuple(changes)) if changes else None), changed

    def _run(self, account: Account, folders: tuple[bytes, ...]) -> SyncRun:
        number = self.core.store.allocate(Counter.SYNC_RUN)
        return SyncRun(
            account.key, number, 1, RunKind.INITIAL, folders=folders, create_time=self.core.now_ms()
        )


def _run_started(batch: Batch | None) -> str:
    runs = (
        change.run.name for change in (batch.changes if batch else ()) if isinstance(change, SyncRunChanged)
    )
    return next(runs, "")


def _wishes(
    account: Account, request: pb.SelectFoldersRequest, entries: list[Entry]
) -> dict[bytes, Selection]:
    """Return what each named folder is to be; both lists may not name the same one."""
    known = {folder.id: folder for folder, _ in entries}
    wishes = dict.fromkeys(known, Selection.DEFAULT) if request.reset_to_default else {}
    selected = _named(account, request.select, "select", known)
    deselected = _named(account, request.deselect, "deselect", known)
    if selected & deselected:
        raise InvalidFieldError({"deselect": "folders that select does not name"})
    wishes |= dict.fromkeys(selected, Selection.SELECTED) | dict.fromkeys(deselected, Selection.DESELECTED)
    return wishes


def _named(account: Account, names: Iterable[str], field: str, known: dict[bytes, Folder]) -> set[bytes]:
    found = set()
    for name in names:
        ref = fields.folder_ref(name, field)
        if ref.account_id != account.id:
            raise InvalidFieldError({field: f"folders of {account.name}"})
        if ref.folder_id not in known:
            raise FolderNotFoundError(name)
        found.add(ref.folder_id)
    return found


def _chosen(folder: Folder, selection: Selection) -> Folder:
    """Return the folder's next version under `selection`, or this very one when that is what it has."""
    if selection is folder.selection:
        return folder
    if selection is Selection.SELECTED and not folder.selectable:
        raise FolderNotSelectableError(f"{folder.name} cannot hold messages")
    return replace(folder, version=folder.version + 1, selection=selection)


def check_etag(folder: Folder, etag: str) -> None:
    """Raise EtagMismatchError unless the folder still has this etag; an empty one is any."""
    if etag and not hmac.compare_digest(etag.encode(), folder_etag(folder).encode()):
        raise EtagMismatchError(
            f"{folder.name} was edited since it was read; read it again and repeat the edit"
        )

"""AccountService, sync runs: ask for one, follow it, cancel it.

A run is a durable row that a sync worker finds in the event log; asking is all this side does. Rate and remaining time
are worked out from the run's own counts when it is read.
"""

from dataclasses import dataclass, replace

from google.protobuf.duration_pb2 import Duration

from mailsync_grpc.errors import (
    AccountPausedError,
    FolderNotFoundError,
    FolderNotSelectableError,
    InvalidFieldError,
    SyncRunNotFoundError,
)
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import SyncRunChanged
from mailsync_grpc.model.run import RunKind, RunState, SyncRun
from mailsync_grpc.services import fields
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.paging import PageTokens, page_size
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.requests import Decision, Mutations
from mailsync_grpc.store.base import Batch, Counter
from mailsync_grpc.store.codec.messages import run_message
from mailsync_grpc.v1 import account_service_pb2 as pb
from mailsync_grpc.v1 import sync_run_pb2


@dataclass(frozen=True, slots=True)
class SyncRunService:
    """Serves the sync runs' part of `mailsync.v1.AccountService`."""

    core: Core
    mutations: Mutations
    page_tokens: PageTokens

    async def start_sync(self, request: pb.StartSyncRequest, _context: Context) -> pb.StartSyncResponse:
        """Ask for a synchronisation now, or find the pending one that covers it."""
        account_id = fields.account_id(request.name)

        def decide() -> Decision[pb.StartSyncResponse]:
            account = self.core.account(account_id)
            if account.paused:
                raise AccountPausedError(f"{account.name} is paused; resume it first")
            folders = self._folders(account, request)
            pending = covering(self.core.store.runs(account.no), folders, request.full)
            if pending is not None:
                return Decision(None, pb.StartSyncResponse(sync_run=described(pending, self.core.now_ms())))
            run = SyncRun(
                account.key,
                self.core.store.allocate(Counter.SYNC_RUN),
                1,
                RunKind.REQUESTED,
                full=request.full,
                folders=folders,
                create_time=self.core.now_ms(),
            )
            batch = Batch(account.key, (SyncRunChanged(run),))
            return Decision(batch, pb.StartSyncResponse(sync_run=run_message(run)))

        return await self.mutations.once(request, pb.StartSyncResponse, lambda: self.core.run(decide))

    def _folders(self, account: Account, request: pb.StartSyncRequest) -> tuple[bytes, ...]:
        """Return the ids of the folders asked for, each once, in order."""
        found: dict[bytes, None] = {}
        for name in request.folders:
            ref = fields.folder_ref(name, "folders")
            if ref.account_id != account.id:
                raise InvalidFieldError({"folders": f"folders of {account.name}"})
            known = self.core.store.folder(account.no, ref.folder_id)
            if known is None:
                raise FolderNotFoundError(name)
            if not known[0].selected:
                raise FolderNotSelectableError(f"{name} is not mirrored; select it first")
            found[ref.folder_id] = None
        return tuple(found)

    async def get_sync_run(self, request: pb.GetSyncRunRequest, _context: Context) -> pb.GetSyncRunResponse:
        """Return one sync run."""

        def read() -> pb.GetSyncRunResponse:
            revision = self.core.head()
            _, run = self._run(request.name)
            return pb.GetSyncRunResponse(sync_run=described(run, self.core.now_ms()), read_revision=revision)

        return await self.core.run(read)

    def _run(self, name: str) -> tuple[Account, SyncRun]:
        ref = fields.run_ref(name)
        account = self.core.account(ref.account_id)
        run = self.core.store.run(account.no, ref.run)
        if run is None:
            raise SyncRunNotFoundError(name)
        return account, run

    async def list_sync_runs(
        self, request: pb.ListSyncRunsRequest, _context: Context
    ) -> pb.ListSyncRunsResponse:
        """Return a page of an account's sync runs, newest first."""
        account_id = fields.account_id(request.parent, "parent")
        size = page_size(request.page_size)
        key = self.page_tokens.open(request, request.page_token)

        def read() -> pb.ListSyncRunsResponse:
            revision, now = self.core.head(), self.core.now_ms()
            runs = self.core.store.runs(self.core.account(account_id).no)
            rest = [run for run in runs if key is None or run.no < int(key)]
            page = rest[:size]
            token = self.page_tokens.seal(request, b"%d" % page[-1].no) if len(rest) > size else ""
            return pb.ListSyncRunsResponse(
                sync_runs=[described(run, now) for run in page], next_page_token=token, read_revision=revision
            )

        return await self.core.run(read)

    async def cancel_sync_run(
        self, request: pb.CancelSyncRunRequest, _context: Context
    ) -> pb.CancelSyncRunResponse:
        """Stop a sync run after its current batch."""

        def decide() -> Decision[pb.CancelSyncRunResponse]:
            account, run = self._run(request.name)
            after = cancelled(run, self.core.now_ms())
            batch = Batch(account.key, (SyncRunChanged(after),)) if after is not run else None
            return Decision(batch, pb.CancelSyncRunResponse(sync_run=described(after, self.core.now_ms())))

        return await self.mutations.once(request, pb.CancelSyncRunResponse, lambda: self.core.run(decide))


def covering(runs: list[SyncRun], folders: tuple[bytes, ...], full: bool) -> SyncRun | None:
    """Return a pending run that does everything asked for; no folders means all selected ones."""
    for run in runs:
        all_of_them = not run.folders or (bool(folders) and set(folders) <= set(run.folders))
        if run.state is RunState.PENDING and all_of_them and (run.full or not full):
            return run
    return None


def cancelled(run: SyncRun, now: int) -> SyncRun:
    """Return the run's next version as cancelled: at once when pending, by its worker when running."""
    if run.state is RunState.PENDING:
        return replace(run, version=run.version + 1, state=RunState.CANCELLED, end_time=now)
    if run.state is RunState.RUNNING and not run.cancel_requested:
        return replace(run, version=run.version + 1, cancel_requested=True)
    return run


def described(run: SyncRun, now: int) -> sync_run_pb2.SyncRun:
    """Return the run's message; one whose worker tells no rate has the rate since its start."""
    message = run_message(run)
    seconds = ((run.end_time or now) - run.start_time) / 1000 if run.start_time else 0.0
    if run.rate or seconds <= 0 or not run.messages_done:
        return message
    rate = run.messages_done / seconds
    message.progress.messages_per_second = rate
    if run.state is RunState.RUNNING and run.messages_total >= run.messages_done:
        remaining = (run.messages_total - run.messages_done) / rate
        message.progress.remaining.CopyFrom(Duration(seconds=int(remaining)))
    return message

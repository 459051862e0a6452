"""AccountService, accounts: create them after a login, read, edit, pause and delete them.

An account and the sync run that begins with it are one commit; a login that fails keeps nothing. Edits check the etag
of what people edit, not of the account's state, so that a poll in between does not get in their way.
"""

import asyncio
import hmac
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from mailsync_grpc.errors import (
    AccountExistsError,
    EtagMismatchError,
    InvalidFieldError,
    PermissionDeniedError,
)
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connecting import endpoint_of
from mailsync_grpc.imap.endpoint import Endpoint
from mailsync_grpc.model.account import Account, AccountState
from mailsync_grpc.model.changes import AccountChanged, AccountRemoved, SyncRunChanged
from mailsync_grpc.model.ids import ACCOUNT_ID, ID_BYTES, AccountNo, account_name, encode_id
from mailsync_grpc.model.run import RunKind, SyncRun
from mailsync_grpc.services import fields
from mailsync_grpc.services.account_fields import AccountDraft, edited, new_account, read_account, with_draft
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.folder_tree import found_folders
from mailsync_grpc.services.login import Greeted, TryLogin
from mailsync_grpc.services.paging import PageTokens, page_size
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.requests import Decision, Mutations
from mailsync_grpc.services.tokens import Position, ResumeTokens
from mailsync_grpc.store.base import Batch, Counter
from mailsync_grpc.store.codec.messages import account_etag, account_message
from mailsync_grpc.v1 import account_service_pb2 as pb

_SCAN = 1_000

Switched = TypeVar("Switched", pb.PauseAccountResponse, pb.ResumeAccountResponse)


@dataclass(frozen=True, slots=True)
class AccountService:
    """Serves the accounts' part of `mailsync.v1.AccountService`."""

    core: Core
    mutations: Mutations
    page_tokens: PageTokens
    resume_tokens: ResumeTokens
    try_login: TryLogin
    forget_content: Callable[[AccountNo], Awaitable[None]]

    async def create_account(
        self, request: pb.CreateAccountRequest, _context: Context
    ) -> pb.CreateAccountResponse:
        """Register an account after a login, or only try."""

        async def work() -> Decision[pb.CreateAccountResponse]:
            draft = self._draft(request)
            _require_within_reach(draft, request.account_id)
            await self.core.run(self._refuse_existing, request.account_id)
            greeted = await self._log_in(_endpoint(draft), Password(draft.username, draft.password or ""))
            if request.validate_only:
                return Decision(None, _tried(draft, greeted, request.account_id or "new"))
            return await self.core.run(self._create, draft, greeted, request.account_id)

        return await self.mutations.once(request, pb.CreateAccountResponse, work)

    def _draft(self, request: pb.CreateAccountRequest) -> AccountDraft:
        faults = fields.Violations()
        right = not request.account_id or ACCOUNT_ID.fullmatch(request.account_id) is not None
        faults.unless(right, "account_id", "[a-z0-9-]{1,63}, or empty")
        return read_account(request.account, self.core.config.imap, faults=faults)

    def _refuse_existing(self, account_id: str) -> None:
        if account_id and self.core.store.account(account_id) is not None:
            raise AccountExistsError(account_name(account_id))

    async def _log_in(self, endpoint: Endpoint, credentials: Password) -> Greeted:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.core.imap_threads, self.try_login, endpoint, credentials)

    def _create(
        self, draft: AccountDraft, greeted: Greeted, account_id: str
    ) -> Decision[pb.CreateAccountResponse]:
        now = self.core.now_ms()
        no = AccountNo(self.core.store.allocate(Counter.ACCOUNT))
        sealed = self.core.vault.seal_password(no, draft.password or "")
        account = new_account(draft, no, account_id or encode_id(os.urandom(ID_BYTES)), sealed, now)
        account = replace(account, capabilities=greeted.capabilities)
        number = self.core.store.allocate(Counter.SYNC_RUN)
        run = SyncRun(account.key, number, 1, RunKind.INITIAL, create_time=now)
        response = pb.CreateAccountResponse(account=account_message(account), sync_run=run.name)
        return Decision(Batch(account.key, (AccountChanged(account), SyncRunChanged(run))), response)

    async def get_account(self, request: pb.GetAccountRequest, _context: Context) -> pb.GetAccountResponse:
        """Return one account."""
        account_id = fields.account_id(request.name)

        def read() -> pb.GetAccountResponse:
            revision = self.core.head()
            account = self.core.account(account_id)
            return pb.GetAccountResponse(account=account_message(account), read_revision=revision)

        return await self.core.run(read)

    async def list_accounts(
        self, request: pb.ListAccountsRequest, _context: Context
    ) -> pb.ListAccountsResponse:
        """Return a page of accounts, in order of name."""
        return await self.core.run(self._list, request)

    def _list(self, request: pb.ListAccountsRequest) -> pb.ListAccountsResponse:
        size = page_size(request.page_size)
        key = self.page_tokens.open(request, request.page_token)
        revision = self.core.head()
        response = pb.ListAccountsResponse(read_revision=revision)
        if key is None and not request.states:
            position = Position(revision, self.core.store.log_check(revision))
            response.resume_token = self.resume_tokens.of_list(position, None)
        after = (key or b"").decode()
        while batch := self.core.store.accounts(after, _SCAN):
            for account in batch:
                after = account.id
                if not (current().allows(account) and _wanted(account, request)):
                    continue
                if len(response.accounts) == size:
                    last = response.accounts[-1].name.removeprefix("accounts/")
                    response.next_page_token = self.page_tokens.seal(request, last.encode())
                    return response
                response.accounts.append(account_message(account))
        return response

    async def update_account(
        self, request: pb.UpdateAccountRequest, _context: Context
    ) -> pb.UpdateAccountResponse:
        """Change settings or credentials; a changed login is tried first."""
        account_id = fields.account_id(request.account.name, "account.name")

        async def work() -> Decision[pb.UpdateAccountResponse]:
            account = await self.core.run(self.core.account, account_id)
            _check_etag(account, request.account.etag)
            merged = edited(account, request.account, request.update_mask)
            draft = read_account(merged, self.core.config.imap, account.username)
            _require_labels(draft)
            after = await self._edited(account, draft)
            response = pb.UpdateAccountResponse(account=account_message(after))
            return Decision(Batch(account.key, (AccountChanged(after),)), response)

        return await self.mutations.once(request, pb.UpdateAccountResponse, work)

    async def _edited(self, account: Account, draft: AccountDraft) -> Account:
        """Return the account's next version; a changed login is tried and clears what an old one failed with."""
        now = self.core.now_ms()
        after = replace(with_draft(account, draft), version=account.version + 1, update_time=now)
        if draft.password is None:
            # A stored password goes to no server it was not given for, or whoever edits accounts could read it there.
            if endpoint_of(after) != endpoint_of(account):
                raise InvalidFieldError(
                    {"account.auth": "another mail server or TLS setting needs the password"}
                )
            return after
        greeted = await self._log_in(endpoint_of(after), Password(draft.username, draft.password))
        sealed = self.core.vault.seal_password(account.no, draft.password)
        after = replace(after, sealed_credentials=sealed, capabilities=greeted.capabilities)
        return replace(after.in_state(AccountState.ACTIVE, now), version=account.version + 1)

    async def delete_account(
        self, request: pb.DeleteAccountRequest, _context: Context
    ) -> pb.DeleteAccountResponse:
        """Remove an account; its data is purged in the background."""
        account_id = fields.account_id(request.name)

        def decide() -> Decision[pb.DeleteAccountResponse]:
            account = self.core.account(account_id)
            _check_etag(account, request.etag)
            removed.append(account.no)
            return Decision(Batch(account.key, (AccountRemoved(account.key),)), pb.DeleteAccountResponse())

        removed: list[AccountNo] = []
        response = await self.mutations.once(request, pb.DeleteAccountResponse, lambda: self.core.run(decide))
        for account_no in removed:
            await self.forget_content(account_no)
        return response

    async def pause_account(
        self, request: pb.PauseAccountRequest, _context: Context
    ) -> pb.PauseAccountResponse:
        """Stop polling an account."""
        return await self._switch(request, pb.PauseAccountResponse, paused=True)

    async def resume_account(
        self, request: pb.ResumeAccountRequest, _context: Context
    ) -> pb.ResumeAccountResponse:
        """Poll a paused account again, or try one that failed at once."""
        return await self._switch(request, pb.ResumeAccountResponse, paused=False)

    async def _switch(
        self,
        request: pb.PauseAccountRequest | pb.ResumeAccountRequest,
        answer: type[Switched],
        *,
        paused: bool,
    ) -> Switched:
        account_id = fields.account_id(request.name)

        def decide() -> Decision[Switched]:
            before = self.core.account(account_id)
            after = self._switched(before, paused)
            return Decision(_batch(before, after), answer(account=account_message(after)))

        return await self.mutations.once(request, answer, lambda: self.core.run(decide))

    def _switched(self, account: Account, paused: bool) -> Account:
        """Return the next version, or this very one when nothing is to be switched; resuming forgets failures."""
        if account.paused == paused and (paused or account.state is AccountState.ACTIVE):
            return account
        now = self.core.now_ms()
        after = account if paused else account.in_state(AccountState.ACTIVE, now)
        return replace(after, version=account.version + 1, paused=paused, state_since=now, update_time=now)


def _require_within_reach(draft: AccountDraft, account_id: str) -> None:
    """Refuse an account that its maker could not see, and an id by which it would learn of accounts it cannot see.

    Raises PermissionDeniedError, InvalidFieldError.
    """
    reach = current().reach
    if reach.accounts is not None:
        raise PermissionDeniedError("this token is limited to accounts that exist; it cannot create others")
    _require_labels(draft)
    if reach.is_limited and account_id:
        raise InvalidFieldError(
            {"account_id": "empty: a token limited by labels leaves the id to the server"}
        )


def _require_labels(draft: AccountDraft) -> None:
    reach = current().reach
    if not reach.bears(draft.labels):
        labels = ", ".join(f"{key}={value}" for key, value in sorted(reach.labels.items()))
        raise InvalidFieldError({"account.labels": f"{labels}, which this token is limited to"})


def _endpoint(draft: AccountDraft) -> Endpoint:
    return Endpoint(draft.host, draft.port, draft.security, draft.ca_pem)


def _tried(draft: AccountDraft, greeted: Greeted, account_id: str) -> pb.CreateAccountResponse:
    """Return what would have been created, with the folders in tree order."""
    account = replace(new_account(draft, AccountNo(0), account_id, b"", 0), capabilities=greeted.capabilities)
    return pb.CreateAccountResponse(
        account=account_message(account), folders=found_folders(account.key, greeted.folders)
    )


def _batch(before: Account, after: Account) -> Batch | None:
    return Batch(after.key, (AccountChanged(after),)) if after is not before else None


def _check_etag(account: Account, etag: str) -> None:
    if etag and not hmac.compare_digest(etag.encode(), account_etag(account).encode()):
        raise EtagMismatchError(
            f"{account.name} was edited since it was read; read it again and repeat the edit"
        )


def _wanted(account: Account, request: pb.ListAccountsRequest) -> bool:
    state = AccountState.PAUSED if account.paused else account.state
    if request.states and int(state) not in set(map(int, request.states)):
        return False
    return all(account.labels.get(key) == value for key, value in request.labels.items())

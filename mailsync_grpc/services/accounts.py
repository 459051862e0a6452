"""AccountService, accounts: create them after a login, edit, pause and delete them.

An account and the sync run that begins with it are one commit; a login that fails keeps nothing. Edits check the etag
of what people edit, not of the account's state, so that a poll in between does not get in their way.
"""

import hmac
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from mailsync_grpc.errors import (
    AccountExistsError,
    CredentialsNeededError,
    EtagMismatchError,
    InvalidFieldError,
    MailsyncError,
)
from mailsync_grpc.imap.connecting import endpoint_of
from mailsync_grpc.imap.endpoint import Endpoint
from mailsync_grpc.model.account import Account, AccountState
from mailsync_grpc.model.changes import AccountChanged, AccountRemoved, SyncRunChanged
from mailsync_grpc.model.ids import ACCOUNT_ID, ID_BYTES, AccountNo, account_name, encode_id
from mailsync_grpc.model.run import RunKind, SyncRun
from mailsync_grpc.services import fields
from mailsync_grpc.services.account_fields import AccountDraft, edited, new_account, read_account, with_draft
from mailsync_grpc.services.account_rights import require_labels, require_within_reach
from mailsync_grpc.services.auth_fields import Auth
from mailsync_grpc.services.connection_fields import (
    Way,
    check_goes_nowhere_else,
    edits_secrets,
    way_secrets,
    without_way_secrets,
)
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.credentials import CredentialKeeper, Trial
from mailsync_grpc.services.folder_tree import found_folders
from mailsync_grpc.services.login import Greeted, TryLogin
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.requests import Decision, Mutations
from mailsync_grpc.store.base import Batch, Counter
from mailsync_grpc.store.codec.messages import account_etag, account_message
from mailsync_grpc.store.values import SealedTokens
from mailsync_grpc.v1 import account_service_pb2 as pb

Switched = TypeVar("Switched", pb.PauseAccountResponse, pb.ResumeAccountResponse)


@dataclass(frozen=True, slots=True)
class AccountService:
    """Serves the accounts' part of `mailsync.v1.AccountService`."""

    core: Core
    mutations: Mutations
    keeper: CredentialKeeper
    try_login: TryLogin
    forget_content: Callable[[AccountNo], Awaitable[None]]

    async def create_account(
        self, request: pb.CreateAccountRequest, _context: Context
    ) -> pb.CreateAccountResponse:
        """Register an account after a login, or only try."""
        trial: Trial | None = None

        async def work() -> Decision[pb.CreateAccountResponse]:
            nonlocal trial
            draft = self._draft(request)
            require_within_reach(draft, request.account_id)
            await self.core.run(self._refuse_existing, request.account_id)
            assert draft.auth is not None
            endpoint = endpoint_of(new_account(draft, AccountNo(0), "new", 0), way_secrets(draft.way))
            tried = trial = await self._trial(trial, draft.auth, endpoint)
            greeted = await self._log_in(tried)
            if request.validate_only:
                await self.core.run(self.keeper.give_back, tried)
                return Decision(None, _tried(draft, greeted, request.account_id or "new"))
            return await self.core.run(self._create, draft, tried, greeted, request.account_id)

        try:
            return await self.mutations.once(request, pb.CreateAccountResponse, work)
        except MailsyncError:
            await self.core.run(self.keeper.give_back, trial)
            raise

    def _draft(self, request: pb.CreateAccountRequest) -> AccountDraft:
        faults = fields.Violations()
        right = not request.account_id or ACCOUNT_ID.fullmatch(request.account_id) is not None
        faults.unless(right, "account_id", "[a-z0-9-]{1,63}, or empty")
        return read_account(request.account, self.core.config.imap, self.core.now_ms(), faults=faults)

    def _refuse_existing(self, account_id: str) -> None:
        if account_id and self.core.store.account(account_id) is not None:
            raise AccountExistsError(account_name(account_id))

    async def _trial(self, known: Trial | None, auth: Auth, endpoint: Endpoint) -> Trial:
        """Return the request's trial, the one before where its commit is tried again."""
        if known is None:
            return await self.core.run(self.keeper.trial, auth, endpoint)
        if known.endpoint != endpoint:
            # Credentials go to the mail server that the caller saw, not to one that another put in its place meanwhile.
            raise EtagMismatchError(
                "the mail server was changed meanwhile; read the account and repeat the edit"
            )
        return known

    async def _log_in(self, trial: Trial) -> Greeted:
        def attempt() -> Greeted:
            return trial.login(lambda credentials: self.try_login(trial.endpoint, credentials))

        try:
            return await self.core.log_in(attempt)
        except CredentialsNeededError as error:
            raise InvalidFieldError({"account.auth": str(error)}) from None

    def _create(
        self, draft: AccountDraft, trial: Trial, greeted: Greeted, account_id: str
    ) -> Decision[pb.CreateAccountResponse]:
        now = self.core.now_ms()
        no = AccountNo(self.core.store.allocate(Counter.ACCOUNT))
        blank = new_account(draft, no, account_id or encode_id(os.urandom(ID_BYTES)), now)
        account, tokens = self.keeper.with_credentials(blank, trial)
        account = replace(account, capabilities=greeted.capabilities)
        number = self.core.store.allocate(Counter.SYNC_RUN)
        run = SyncRun(account.key, number, 1, RunKind.INITIAL, create_time=now)
        response = pb.CreateAccountResponse(account=account_message(account), sync_run=run.name)
        changes = (AccountChanged(account), SyncRunChanged(run))
        return Decision(Batch(account.key, changes, tokens=tokens), response)

    async def update_account(
        self, request: pb.UpdateAccountRequest, _context: Context
    ) -> pb.UpdateAccountResponse:
        """Change settings or credentials; a changed login is tried first."""
        account_id = fields.account_id(request.account.name, "account.name")

        trial: Trial | None = None

        async def work() -> Decision[pb.UpdateAccountResponse]:
            nonlocal trial
            account = await self.core.run(self.core.account, account_id)
            _check_etag(account, request.account.etag)
            merged = edited(account, request.account, request.update_mask)
            now = self.core.now_ms()
            draft = read_account(merged, self.core.config.imap, now, account.username)
            require_labels(draft)
            after = replace(with_draft(account, draft), version=account.version + 1, update_time=now)
            if draft.auth is None:
                check_goes_nowhere_else(account, after)
                return _updated(self._with_way_secrets(account, after, draft.way), None)
            endpoint = endpoint_of(after, way_secrets(draft.way, account, self._readable_secrets(account)))
            tried = trial = await self._trial(trial, draft.auth, endpoint)
            greeted = await self._log_in(tried)
            after = replace(after, capabilities=greeted.capabilities)
            return _updated(*await self.core.run(self.keeper.logged_in, after, tried))

        try:
            return await self.mutations.once(request, pb.UpdateAccountResponse, work)
        except MailsyncError:
            await self.core.run(self.keeper.give_back, trial)
            raise

    def _readable_secrets(self, account: Account) -> dict[str, object] | None:
        """Return what is sealed for the account, None where it cannot be opened."""
        try:
            return self.core.vault.open_secrets(account.no, account.sealed_credentials)
        except CredentialsNeededError:
            return None

    def _with_way_secrets(self, before: Account, after: Account, way: Way) -> Account:
        """Return `after` with the secrets of its way sealed anew beside the stored credentials, where they are edited."""
        if not edits_secrets(way, before):
            return after
        stored = self.core.vault.open_secrets(before.no, before.sealed_credentials)
        secrets = way_secrets(way, before, stored)
        return self._sealed(after, {**without_way_secrets(stored), **secrets})

    def _sealed(self, account: Account, secrets: dict[str, object]) -> Account:
        return replace(account, sealed_credentials=self.core.vault.seal_secrets(account.no, secrets))

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


def _updated(after: Account, tokens: SealedTokens | None) -> Decision[pb.UpdateAccountResponse]:
    response = pb.UpdateAccountResponse(account=account_message(after))
    return Decision(Batch(after.key, (AccountChanged(after),), tokens=tokens), response)


def _tried(draft: AccountDraft, greeted: Greeted, account_id: str) -> pb.CreateAccountResponse:
    """Return what would have been created, with the folders in tree order."""
    blank = new_account(draft, AccountNo(0), account_id, 0)
    account = replace(blank, capabilities=greeted.capabilities)
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

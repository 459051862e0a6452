"""AccountService, reading: one account, and pages of those that the caller may see."""

from dataclasses import dataclass
from typing import Final

from mailsync_grpc.model.account import Account, AccountState
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.services import fields
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.paging import PageTokens, page_size
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.tokens import Members, Position, ResumeTokens
from mailsync_grpc.store.codec.messages import account_message
from mailsync_grpc.v1 import account_service_pb2 as pb

_SCAN: Final = 1_000


@dataclass(frozen=True, slots=True)
class AccountListService:
    """Serves GetAccount and ListAccounts of `mailsync.v1.AccountService`."""

    core: Core
    page_tokens: PageTokens
    resume_tokens: ResumeTokens

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
            response.resume_token = self.resume_tokens.of_list(position, None, self._listed(request))
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

    def _listed(self, request: pb.ListAccountsRequest) -> Members | None:
        """Return the accounts that a list is of, over all its pages; None where it is of every account there is."""
        caller = current()
        if not request.labels:
            return caller.visible
        found: set[AccountNo] = set()
        after = ""
        while batch := self.core.store.accounts(after, _SCAN):
            found |= {each.no for each in batch if caller.allows(each) and _wanted(each, request)}
            after = batch[-1].id
        return frozenset(found)


def _wanted(account: Account, request: pb.ListAccountsRequest) -> bool:
    state = AccountState.PAUSED if account.paused else account.state
    if request.states and int(state) not in set(map(int, request.states)):
        return False
    return all(account.labels.get(key) == value for key, value in request.labels.items())

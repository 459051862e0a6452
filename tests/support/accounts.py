"""Accounts as a test's caller registers them: one mail server, one login, one password, and what the test changes of it."""

from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.api import Api


def account(**changes: object) -> account_pb2.Account:
    message = account_pb2.Account(
        imap=account_pb2.ImapEndpoint(host="imap.example.org"),
        auth=account_pb2.AccountAuth(password=account_pb2.PasswordAuth(username="me", password="right")),
    )
    message.MergeFrom(account_pb2.Account(**changes))  # type: ignore[arg-type] # field by field, as given
    return message


async def create(api: Api, account_id: str = "acme", **changes: object) -> account_pb2.Account:
    request = pb.CreateAccountRequest(account=account(**changes), account_id=account_id)
    response: pb.CreateAccountResponse = await api.accounts.CreateAccount(request)
    return response.account

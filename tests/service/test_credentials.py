"""Credentials that callers hand in: tried before they are kept, sent to no server they were not given for, never told."""

from uuid import uuid4

import grpc
import pytest

from mailsync_grpc.errors import ImapAuthError
from mailsync_grpc.services.paging import request_hash
from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.accounts import account, create
from tests.support.api import Api, reason, violations


async def test_new_credentials_are_tried_before_they_are_kept(api: Api) -> None:
    created = await create(api)
    change = account_pb2.Account(name=created.name)
    change.auth.password.username = "me"
    change.auth.password.password = "wrong"
    api.mail.refusal = lambda: ImapAuthError("no")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.UpdateAccount(pb.UpdateAccountRequest(account=change))
    assert reason(caught.value) == "IMAP_AUTH_FAILED"
    api.mail.password = change.auth.password.password = "new"
    await api.accounts.UpdateAccount(pb.UpdateAccountRequest(account=change))
    stored = api.store.account("acme")
    assert stored is not None
    assert api.core.vault.open_password(stored.no, stored.sealed_credentials) == "new"


async def test_a_stored_password_is_not_sent_to_a_mail_server_it_was_not_given_for(api: Api) -> None:
    created = await create(api)
    change = account_pb2.Account(name=created.name, imap=account_pb2.ImapEndpoint(host="evil.example.org"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.UpdateAccount(pb.UpdateAccountRequest(account=change))
    assert set(violations(caught.value)) == {"account.auth"}
    assert [endpoint.host for endpoint, _ in api.mail.tried] == ["imap.example.org"]


async def test_a_new_mail_server_is_taken_with_its_password(api: Api) -> None:
    created = await create(api)
    change = account(imap=account_pb2.ImapEndpoint(host="imap.example.net"))
    change.name = created.name
    updated = await api.accounts.UpdateAccount(pb.UpdateAccountRequest(account=change))
    assert updated.account.imap.host == "imap.example.net"


async def test_a_recorded_answer_gives_no_means_to_guess_the_password(api: Api) -> None:
    request = pb.CreateAccountRequest(account=account(), account_id="acme", request_id=str(uuid4()))
    await api.accounts.CreateAccount(request)
    recorded = api.store.recorded_answer(f"anyone {request.DESCRIPTOR.full_name}", request.request_id)
    assert recorded is not None
    assert recorded.fingerprint != request_hash(request, "request_id")
    request.account.auth.password.password = "other"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.CreateAccount(request)
    assert reason(caught.value) == "REQUEST_ID_REUSED"

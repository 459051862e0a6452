"""Access tokens through the API: made with a secret that is shown once, held to their scopes, noticed and revoked at once."""

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mailsync_grpc.model.access import SECRET_PREFIX, Scope, digest_of
from mailsync_grpc.services.rights import CHANGING, NEEDED
from mailsync_grpc.store.base import TokenEdit
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.memory_access import MemoryAccess
from mailsync_grpc.v1 import account_service_pb2, envelope_service_pb2
from mailsync_grpc.v1 import system_service_pb2 as pb
from tests.support.api import Api, reason, serving, violations
from tests.support.callers import Metadata, admit, bearing, token_of
from tests.support.methods import METHODS, call
from tests.support.store import Mailbox

ADMIN = bearing(1)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Api]:
    """An API whose store holds an administrator's token."""
    store = MemoryStore()
    admit(store, token_of(1))
    async with serving(store, tmp_path) as served:
        yield served


def bearer(secret: str) -> Metadata:
    return (("authorization", f"Bearer {secret}"),)


async def made(api: Api, **fields: Any) -> pb.CreateTokenResponse:
    asked = {"scopes": [pb.TOKEN_SCOPE_READ_METADATA], **fields}
    response: pb.CreateTokenResponse = await api.system.CreateToken(
        pb.CreateTokenRequest(token=pb.Token(**asked)), metadata=ADMIN
    )
    return response


async def refused(call: Any, request: Any, metadata: Metadata = ()) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(request, metadata=metadata)
    return reason(caught.value)


async def test_a_made_token_works_at_once_and_is_kept_as_a_hash(guarded: Api) -> None:
    response = await made(guarded, display_name="helpdesk")
    assert response.secret.startswith(SECRET_PREFIX)
    assert len(response.secret) == len(SECRET_PREFIX) + 43, "256 bits"
    await guarded.accounts.ListAccounts(
        account_service_pb2.ListAccountsRequest(), metadata=bearer(response.secret)
    )
    stored = next(each for each in guarded.store.access.table().tokens if each.name == response.token.name)
    assert stored.digest == digest_of(response.secret)
    assert response.secret not in repr(stored)


async def test_tokens_are_listed_by_page_without_their_secrets(guarded: Api) -> None:
    names = {(await made(guarded)).token.name for _ in range(3)} | {token_of(1).name}
    listed: list[pb.Token] = []
    request = pb.ListTokensRequest(page_size=2)
    while True:
        page = await guarded.system.ListTokens(request, metadata=ADMIN)
        listed += page.tokens
        assert "secret" not in str(page)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert [token.name for token in listed] == sorted(names)


async def test_a_token_tells_when_it_was_last_used_to_the_hour(guarded: Api) -> None:
    await guarded.system.GetServerInfo(pb.GetServerInfoRequest(), metadata=ADMIN)
    await asyncio.to_thread(guarded.core.callers.look)
    (token,) = (await guarded.system.ListTokens(pb.ListTokensRequest(), metadata=ADMIN)).tokens
    assert token.last_used_time.seconds % 3_600 == 0
    assert token.last_used_time.seconds > 0


async def test_a_repeated_call_makes_no_second_token_and_does_not_tell_the_secret_again(guarded: Api) -> None:
    request = pb.CreateTokenRequest(token=pb.Token(scopes=[pb.TOKEN_SCOPE_ADMIN]), request_id=str(uuid4()))
    first = await guarded.system.CreateToken(request, metadata=ADMIN)
    again = await guarded.system.CreateToken(request, metadata=ADMIN)
    assert (again.token, again.secret) == (first.token, "")
    assert len(guarded.store.access.table().tokens) == 2


async def test_another_callers_request_id_is_another_request(guarded: Api) -> None:
    admit(guarded.store, token_of(2))
    guarded.core.callers.look()
    request = pb.CreateTokenRequest(token=pb.Token(scopes=[pb.TOKEN_SCOPE_ADMIN]), request_id=str(uuid4()))
    answers = [await guarded.system.CreateToken(request, metadata=bearing(caller)) for caller in (1, 2)]
    assert answers[0].token.name != answers[1].token.name


async def test_a_revoked_token_is_refused_from_then_on(guarded: Api) -> None:
    response = await made(guarded)
    revoke = pb.RevokeTokenRequest(name=response.token.name)
    await guarded.system.RevokeToken(revoke, metadata=ADMIN)
    told = await refused(guarded.system.GetServerInfo, pb.GetServerInfoRequest(), bearer(response.secret))
    assert told == "TOKEN_INVALID"
    assert await refused(guarded.system.RevokeToken, revoke, ADMIN) == "TOKEN_NOT_FOUND"
    wrong = pb.RevokeTokenRequest(name="tokens/none-such")
    assert await refused(guarded.system.RevokeToken, wrong, ADMIN) == "INVALID_FIELD"


async def test_what_another_process_does_with_tokens_is_noticed_within_seconds(api: Api) -> None:
    await api.system.GetServerInfo(pb.GetServerInfoRequest())
    admit(api.store, token_of(1))

    async def until(answer: str, metadata: Metadata) -> None:
        async with asyncio.timeout(30):
            while await _reason(api, metadata) != answer:  # noqa: ASYNC110 - it is another process's doing
                await asyncio.sleep(0.05)

    await until("TOKEN_INVALID", ())
    await until("", bearing(1))
    api.store.access.edit(TokenEdit(drop=(token_of(1).id,)))
    await until("TOKEN_INVALID", bearing(1))


class FailingAccess(MemoryAccess):
    """Tokens that cannot be looked at twice, and then can."""

    failures = 0

    def version(self) -> int:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("a fault of the store")
        return super().version()


class FailingStore(MemoryStore):
    """A store with such tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.access: FailingAccess = FailingAccess(self._lock, self._answers, self._clock)


async def test_a_fault_while_tokens_are_looked_at_hides_no_revocation(tmp_path: Path) -> None:
    store = FailingStore()
    admit(store, token_of(1))
    async with serving(store, tmp_path) as api:
        store.access.failures = 2
        store.access.edit(TokenEdit(drop=(token_of(1).id,)))
        async with asyncio.timeout(30):
            while await _reason(api, bearing(1)) != "TOKEN_INVALID":  # noqa: ASYNC110 - housekeeping's doing
                await asyncio.sleep(0.05)
        assert store.access.failures == 0


async def _reason(api: Api, metadata: Metadata) -> str:
    try:
        await api.system.GetServerInfo(pb.GetServerInfoRequest(), metadata=metadata)
    except grpc.aio.AioRpcError as error:
        return reason(error)
    return ""


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"scopes": []}, "token.scopes"),
        ({"scopes": [pb.TOKEN_SCOPE_UNSPECIFIED]}, "token.scopes"),
        ({"scopes": [77]}, "token.scopes"),
        ({"scopes": [pb.TOKEN_SCOPE_ADMIN], "account_labels": {"a": "b"}}, "token.scopes"),
        ({"display_name": "x" * 201}, "token.display_name"),
        ({"display_name": "a\nb"}, "token.display_name"),
        ({"accounts": ["acme"]}, "token.accounts"),
        ({"account_labels": {"A!": ""}}, "token.account_labels"),
        ({"expire_time": Timestamp(seconds=1)}, "token.expire_time"),
    ],
)
async def test_what_no_token_can_be_is_named(guarded: Api, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await made(guarded, **asked)
    assert set(violations(caught.value)) == {field}
    assert len(guarded.store.access.table().tokens) == 1


async def test_a_token_for_an_unknown_account_is_refused(guarded: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await made(guarded, accounts=["accounts/none"])
    assert reason(caught.value) == "ACCOUNT_NOT_FOUND"


async def test_a_token_says_which_accounts_it_is_for(guarded: Api) -> None:
    Mailbox.make(guarded.store, "acme")
    response = await made(guarded, accounts=["accounts/acme"], account_labels={"tenant": "a"})
    assert list(response.token.accounts) == ["accounts/acme"]
    assert dict(response.token.account_labels) == {"tenant": "a"}


def test_every_call_of_the_contract_says_what_scope_it_needs() -> None:
    assert set(NEEDED) == set(METHODS)


def test_every_call_that_changes_something_is_audited() -> None:
    reads = ("Get", "List", "Export", "Watch", "Download", "Discover")
    assert {name for name in METHODS if not name.partition(".")[2].startswith(reads)} == CHANGING


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_is_refused_to_every_scope_but_its_own(guarded: Api, method: str) -> None:
    needed = NEEDED[method]
    for number, scope in enumerate(Scope, start=10):
        admit(guarded.store, token_of(number, scope))
    guarded.core.callers.look()
    told = {}
    for number, scope in enumerate(Scope, start=10):
        status = await call(guarded.channel, method, {}, bearing(number))
        told[scope] = status.reason == "SCOPE_MISSING"
    assert told == {scope: needed is not None and scope is not needed for scope in Scope}


@pytest.mark.parametrize("method", METHODS)
async def test_every_call_needs_a_token_once_there_is_one(guarded: Api, method: str) -> None:
    for metadata in ((), bearing(2)):
        status = await call(guarded.channel, method, {}, metadata)
        assert status.reason == "TOKEN_INVALID"


async def test_health_stays_open_and_reflection_takes_any_token(guarded: Api) -> None:
    channel: Any = guarded.channel
    await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ServerReflectionInfo(iter([asked])).read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    answer = await stub.ServerReflectionInfo(iter([asked]), metadata=ADMIN).read()
    assert answer.list_services_response.service


async def test_a_stream_that_is_refused_unread_leaves_nothing_to_complain_of(guarded: Api) -> None:
    # Collected here, so that the warning, which is an error, would be this test's and not any later one's.
    await refused(guarded.envelopes.AppendMessage, iter([envelope_service_pb2.AppendMessageRequest()]))
    gc.collect()

"""Authorizations on their way belong to the caller who began them: their texts are worth nothing in other hands."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.accounts import account
from tests.support.api import Api, reason, serving
from tests.support.callers import admit, bearing, token_of
from tests.support.oauth_server import CLIENT, SECRET, OAuthServer

BEGINNING = pb.BeginAuthorizationRequest(provider="house", redirect_uri="http://127.0.0.1:7777/back")
ANN, EVE = bearing(1), bearing(2)


@pytest.fixture
def provider() -> Iterator[OAuthServer]:
    with OAuthServer() as server:
        yield server


@pytest.fixture
async def api(tmp_path: Path, provider: OAuthServer) -> AsyncIterator[Api]:
    """Two callers, each with a token that may do everything."""
    store = MemoryStore()
    admit(store, token_of(1), token_of(2))
    house = {"client_id": CLIENT, "client_secret": SECRET, "issuer": provider.issuer, "scopes": ["mail"]}
    async with serving(
        store,
        tmp_path,
        oauth={"providers": {"house": house}},
        imap={"allow_networks": ["127.0.0.0/8"], "allow_plaintext": True},
    ) as served:
        yield served


async def come_back(api: Api, provider: OAuthServer) -> pb.CompleteAuthorizationRequest:
    """Begin as Ann, consent, and return what completes it."""
    begun = await api.accounts.BeginAuthorization(BEGINNING, metadata=ANN)
    back = provider.browse(begun.authorization_url)
    return pb.CompleteAuthorizationRequest(state=back["state"], code=back["code"])


async def test_a_state_is_worth_nothing_to_another_caller(api: Api, provider: OAuthServer) -> None:
    completing = await come_back(api, provider)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.CompleteAuthorization(completing, metadata=EVE)
    assert reason(caught.value) == "AUTHORIZATION_NOT_FOUND"
    completed = await api.accounts.CompleteAuthorization(completing, metadata=ANN)
    assert completed.authorization


async def test_an_authorization_is_worth_nothing_to_another_caller(api: Api, provider: OAuthServer) -> None:
    completing = await come_back(api, provider)
    completed = await api.accounts.CompleteAuthorization(completing, metadata=ANN)
    oauth = account_pb2.OAuthAuth(username="anna", authorization=completed.authorization)
    message = account()
    message.auth.CopyFrom(account_pb2.AccountAuth(oauth=oauth))
    creating = pb.CreateAccountRequest(account=message)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.CreateAccount(creating, metadata=EVE)
    assert reason(caught.value) == "AUTHORIZATION_NOT_FOUND"
    await api.accounts.CreateAccount(creating, metadata=ANN)


async def test_the_request_id_of_another_caller_gives_no_state_away(api: Api) -> None:
    request = pb.BeginAuthorizationRequest(request_id=str(uuid4()))
    request.MergeFrom(BEGINNING)
    first = await api.accounts.BeginAuthorization(request, metadata=ANN)
    again = await api.accounts.BeginAuthorization(request, metadata=ANN)
    other = await api.accounts.BeginAuthorization(request, metadata=EVE)
    assert (again.state == first.state, other.state == first.state) == (True, False)

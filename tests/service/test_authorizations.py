"""The code flow: a state is good for one code of one request, tokens go to the account that was named and to no caller."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import grpc
import pytest

from mailsync_grpc.errors import ImapAuthError, ImapUnreachableError
from mailsync_grpc.imap.grants import Tokens
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.accounts import account, create
from tests.support.api import Api, reason, serving, violations
from tests.support.oauth_server import CLIENT, SECRET, OAuthServer, Reply
from tests.support.store import ManualClock

REDIRECT = "http://127.0.0.1:7777/back"


@pytest.fixture
def provider() -> Iterator[OAuthServer]:
    with OAuthServer() as server:
        yield server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def api(tmp_path: Path, provider: OAuthServer, clock: ManualClock) -> AsyncIterator[Api]:
    """The API with a provider `house`, known by its issuer, on loopback and in clear text by the operator's leave."""
    house = {"client_id": CLIENT, "client_secret": SECRET, "issuer": provider.issuer, "scopes": ["mail"]}
    async with serving(
        MemoryStore(clock),
        tmp_path,
        clock=clock,
        oauth={"providers": {"house": house, "google": {"client_id": "g"}}},
        imap={"allow_networks": ["127.0.0.0/8"], "allow_plaintext": True},
    ) as served:
        yield served


async def begin(api: Api, **given: Any) -> pb.BeginAuthorizationResponse:
    given = {"provider": "house", "redirect_uri": REDIRECT} | given
    begun: pb.BeginAuthorizationResponse = await api.accounts.BeginAuthorization(
        pb.BeginAuthorizationRequest(**given)
    )
    return begun


async def complete(api: Api, back: dict[str, str], request_id: str = "") -> pb.CompleteAuthorizationResponse:
    request = pb.CompleteAuthorizationRequest(state=back["state"], code=back["code"], request_id=request_id)
    completed: pb.CompleteAuthorizationResponse = await api.accounts.CompleteAuthorization(request)
    return completed


async def authorized(api: Api, house: OAuthServer, **given: Any) -> pb.CompleteAuthorizationResponse:
    return await complete(api, house.browse((await begin(api, **given)).authorization_url))


def with_authorization(authorization: str) -> account_pb2.Account:
    oauth = account_pb2.OAuthAuth(username="anna", authorization=authorization)
    message = account()
    message.auth.CopyFrom(account_pb2.AccountAuth(oauth=oauth))
    return message


def tokens_of(api: Api, account_id: str = "acme") -> Tokens:
    stored = api.store.account(account_id)
    assert stored is not None
    version, sealed = api.store.tokens(stored.no)
    return Tokens.decoded(api.core.vault.open(stored.no, sealed), version)


async def test_an_authorization_makes_an_account_that_renews_its_tokens(
    api: Api, provider: OAuthServer
) -> None:
    completed = await authorized(api, provider)
    request = pb.CreateAccountRequest(account=with_authorization(completed.authorization), account_id="acme")
    created = (await api.accounts.CreateAccount(request)).account
    assert (created.auth_kind, created.username) == (account_pb2.AUTH_KIND_OAUTH, "anna")
    family = provider.families[0]
    assert (tokens_of(api).refresh_token, {tokens_of(api).access_token}) == (family.refresh, family.access)
    assert api.mail.shown == [tokens_of(api).access_token]


async def test_the_address_holds_what_the_provider_needs_and_nothing_of_ours(
    api: Api, provider: OAuthServer
) -> None:
    begun = await begin(api, login_hint="anna@example.org")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(begun.authorization_url).query).items()}
    assert len(asked.pop("code_challenge")) == 43
    assert asked == {
        "audience": "mail",
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": REDIRECT,
        "scope": "mail",
        "state": begun.state,
        "code_challenge_method": "S256",
        "login_hint": "anna@example.org",
    }
    assert "/tenant/.well-known/openid-configuration" in provider.paths


async def test_googles_address_asks_for_a_refresh_token(api: Api) -> None:
    begun = await begin(api, provider="google")
    asked = parse_qs(urlsplit(begun.authorization_url).query)
    assert begun.authorization_url.startswith("https://accounts.google.com/o/oauth2/v2/auth?")
    assert (asked["access_type"], asked["prompt"]) == (["offline"], ["consent"])


async def test_endpoints_may_come_with_the_request(api: Api, provider: OAuthServer) -> None:
    oauth = account_pb2.OAuthAuth(
        token_endpoint=provider.token_endpoint, client_id=CLIENT, client_secret=SECRET, scopes=["mail"]
    )
    given = {"authorization_endpoint": provider.authorization_endpoint, "oauth": oauth}
    completed = await authorized(api, provider, provider="", **given)
    assert completed.authorization


async def test_a_state_is_used_once(api: Api, provider: OAuthServer) -> None:
    begun = await begin(api)
    await complete(api, provider.browse(begun.authorization_url))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await complete(api, provider.browse(begun.authorization_url))
    assert reason(caught.value) == "AUTHORIZATION_NOT_FOUND"
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert len(provider.forms) == 1


async def test_a_repeated_request_has_the_answer_of_the_first(api: Api, provider: OAuthServer) -> None:
    back, request_id = provider.browse((await begin(api)).authorization_url), str(uuid4())
    first = await complete(api, back, request_id)
    assert await complete(api, back, request_id) == first
    assert len(provider.forms) == 1


async def test_a_repeated_beginning_has_the_address_of_the_first(api: Api) -> None:
    request_id = str(uuid4())
    first = await begin(api, request_id=request_id)
    assert await begin(api, request_id=request_id) == first
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await begin(api, request_id=request_id, login_hint="other")
    assert reason(caught.value) == "REQUEST_ID_REUSED"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await begin(api, request_id="x")
    assert set(violations(caught.value)) == {"request_id"}


async def test_a_state_expires_after_ten_minutes(api: Api, provider: OAuthServer, clock: ManualClock) -> None:
    begun = await begin(api)
    assert begun.expire_time.ToMilliseconds() == int(clock() * 1_000) + 600_000
    clock.now += 601
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await complete(api, provider.browse(begun.authorization_url))
    assert reason(caught.value) == "AUTHORIZATION_NOT_FOUND"


async def test_a_code_is_worth_nothing_with_the_state_of_another_request(
    api: Api, provider: OAuthServer
) -> None:
    """The challenge that went out with the user is that of another verifier."""
    stolen, other = await begin(api), await begin(api)
    back = provider.browse(stolen.authorization_url) | {"state": other.state}
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await complete(api, back)
    assert reason(caught.value) == "IMAP_AUTH_FAILED"
    assert "invalid_grant" in str(caught.value.details())


async def test_an_authorization_is_used_by_one_account(api: Api, provider: OAuthServer) -> None:
    completed = await authorized(api, provider)
    message = with_authorization(completed.authorization)
    await api.accounts.CreateAccount(pb.CreateAccountRequest(account=message))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.CreateAccount(pb.CreateAccountRequest(account=message))
    assert reason(caught.value) == "AUTHORIZATION_NOT_FOUND"


async def test_an_authorization_outlives_a_try_and_a_failure(api: Api, provider: OAuthServer) -> None:
    completed = await authorized(api, provider)
    message = with_authorization(completed.authorization)
    await api.accounts.CreateAccount(pb.CreateAccountRequest(account=message, validate_only=True))
    api.mail.fault = ImapUnreachableError("away")
    with pytest.raises(grpc.aio.AioRpcError):
        await api.accounts.CreateAccount(pb.CreateAccountRequest(account=message))
    api.mail.fault = None
    assert (await api.accounts.CreateAccount(pb.CreateAccountRequest(account=message))).account.name


async def test_an_account_is_authorized_anew_and_resumes_at_once(api: Api, provider: OAuthServer) -> None:
    created = await create(api)
    head = api.store.stats().log_head
    completed = await authorized(api, provider, account=created.name)
    assert completed.account.auth_kind == account_pb2.AUTH_KIND_OAUTH
    assert completed.account.state == account_pb2.ACCOUNT_STATE_ACTIVE
    assert completed.account.username == "me"
    assert not completed.authorization
    assert api.store.stats().log_head == head + 1
    assert {tokens_of(api).access_token} == provider.families[0].access


async def test_tokens_that_do_not_open_the_mailbox_are_not_kept(api: Api, provider: OAuthServer) -> None:
    created = await create(api)
    api.mail.refusal = lambda: ImapAuthError("not your mailbox")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await authorized(api, provider, account=created.name)
    assert reason(caught.value) == "IMAP_AUTH_FAILED"
    stored = await api.accounts.GetAccount(pb.GetAccountRequest(name=created.name))
    assert stored.account.auth_kind == account_pb2.AUTH_KIND_PASSWORD


async def test_a_mail_server_that_is_away_costs_nobody_a_consent(api: Api, provider: OAuthServer) -> None:
    created = await create(api)
    api.mail.fault = ImapUnreachableError("away")
    completed = await authorized(api, provider, account=created.name)
    assert completed.account.auth_kind == account_pb2.AUTH_KIND_OAUTH


async def test_tokens_go_to_no_mail_server_that_was_put_in_place_meanwhile(
    api: Api, provider: OAuthServer
) -> None:
    created = await create(api)
    begun = await begin(api, account=created.name)
    moved = account(imap=account_pb2.ImapEndpoint(host="evil.example.org"))
    moved.name = created.name
    await api.accounts.UpdateAccount(pb.UpdateAccountRequest(account=moved))
    tried = len(api.mail.tried)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await complete(api, provider.browse(begun.authorization_url))
    assert reason(caught.value) == "AUTHORIZATION_NOT_FOUND"
    assert len(api.mail.tried) == tried


async def test_a_provider_that_is_away_leaves_the_state_for_another_try(
    api: Api, provider: OAuthServer
) -> None:
    back = provider.browse((await begin(api)).authorization_url)
    provider.spoil = lambda _form: Reply(503)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await complete(api, back)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    provider.spoil = lambda _form: None
    assert (await complete(api, back)).authorization


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"provider": "unknown"}, {"provider"}),
        ({"provider": "", "authorization_endpoint": ""}, {"authorization_endpoint", "oauth.token_endpoint", "oauth.client_id"}),
        ({"authorization_endpoint": "https://x.example/a"}, {"authorization_endpoint"}),
        *(
            ({"redirect_uri": uri}, {"redirect_uri"})
            for uri in ("", "/back", "http://example.org/back", "javascript:alert(1)", "https://a.example/#x", "https://")
        ),
    ],
)  # fmt: skip
async def test_what_cannot_begin_is_refused_by_field(
    api: Api, given: dict[str, Any], named: set[str]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await begin(api, **given)
    assert set(violations(caught.value)) == named


@pytest.mark.parametrize("uri", ["https://app.example/back", "http://[::1]:1/back", "org.example.app:/back"])
async def test_a_user_may_be_sent_back_to_where_only_the_application_is(api: Api, uri: str) -> None:
    assert (await begin(api, redirect_uri=uri)).state


async def test_metadata_of_another_issuer_is_not_used(
    api: Api, provider: OAuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        OAuthServer, "_metadata", lambda _: Reply(200, b'{"issuer": "https://other.example"}')
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await begin(api)
    assert reason(caught.value) == "IMAP_PROTOCOL"
    assert provider.paths == ["/tenant/.well-known/openid-configuration"]

"""Accounts with OAuth 2 tokens and with secrets kept outside: tried, kept sealed, told of by their kind and no more."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from mailsync_grpc.errors import ImapAuthError
from mailsync_grpc.imap.grants import Tokens
from mailsync_grpc.model.access import Reach, Scope
from mailsync_grpc.model.account import AccountState
from mailsync_grpc.model.changes import AccountChanged
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.accounts import account, create
from tests.support.api import Api, reason, serving, violations
from tests.support.callers import admit, bearing, token_of
from tests.support.oauth_server import CLIENT, SECRET, OAuthServer


@pytest.fixture
def provider() -> Iterator[OAuthServer]:
    with OAuthServer() as server:
        yield server


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "work").write_text("right")
    async with serving(
        MemoryStore(),
        tmp_path,
        imap={"allow_networks": ["127.0.0.0/8"], "allow_plaintext": True},
        secrets={"directory": tmp_path / "secrets", "hosts": ["example.org"]},
    ) as served:
        yield served


def oauth(provider: OAuthServer, **given: Any) -> account_pb2.AccountAuth:
    """Credentials with the refresh token of a consent, unless the test gives others."""
    given = {
        "username": "anna",
        "refresh_token": provider.consent(),
        "token_endpoint": provider.token_endpoint,
        "client_id": CLIENT,
        "client_secret": SECRET,
    } | given
    return account_pb2.AccountAuth(oauth=account_pb2.OAuthAuth(**given))


def pushed(token: str, seconds: float = 3_600) -> account_pb2.AccountAuth:
    auth = account_pb2.OAuthAuth(username="anna", access_token=token)
    auth.access_token_expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return account_pb2.AccountAuth(oauth=auth)


def tokens_of(api: Api) -> Tokens:
    stored = api.store.account("acme")
    assert stored is not None
    version, sealed = api.store.tokens(stored.no)
    return Tokens.decoded(api.core.vault.open(stored.no, sealed), version)


async def update(api: Api, **changes: Any) -> account_pb2.Account:
    request = pb.UpdateAccountRequest(account=account_pb2.Account(name="accounts/acme", **changes))
    response: pb.UpdateAccountResponse = await api.accounts.UpdateAccount(request)
    return response.account


async def test_what_the_login_rotated_is_what_is_kept(api: Api, provider: OAuthServer) -> None:
    created = await create(api, auth=oauth(provider))
    assert created.auth_kind == account_pb2.AUTH_KIND_OAUTH
    assert not created.HasField("auth")
    family = provider.families[0]
    kept = tokens_of(api)
    assert (kept.refresh_token, {kept.access_token}) == (family.refresh, family.access)
    assert api.mail.shown == [kept.access_token]


async def test_an_access_token_to_begin_with_spends_no_refresh_token(api: Api, provider: OAuthServer) -> None:
    await create(api, auth=oauth(provider, access_token="begin"))
    assert (api.mail.shown, provider.forms) == (["begin"], [])


async def test_a_refused_login_is_the_providers_or_the_mail_servers(api: Api, provider: OAuthServer) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(api, auth=oauth(provider, refresh_token="unknown"))
    assert (reason(caught.value), api.mail.tried) == ("IMAP_AUTH_FAILED", [])
    assert "invalid_grant" in str(caught.value.details())
    api.mail.refusal = lambda: ImapAuthError("no such mailbox")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(api, auth=oauth(provider))
    assert "no such mailbox" in str(caught.value.details())
    assert api.store.account("acme") is None


async def test_a_pushed_token_is_followed_by_the_next_one(api: Api) -> None:
    await create(api, auth=pushed("one"))
    before = api.store.account("acme")
    assert before is not None
    ended = before.in_state(AccountState.CREDENTIALS_NEEDED, 1, "CREDENTIALS_NEEDED", "ended")
    api.store.apply(Batch(before.key, (AccountChanged(ended),)))
    updated = await update(api, auth=pushed("two"))
    assert updated.state == account_pb2.ACCOUNT_STATE_ACTIVE
    assert tokens_of(api).access_token == "two"
    assert api.mail.shown == ["one", "two"]


async def test_a_token_that_has_ended_is_refused_by_its_field(api: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(api, auth=pushed("late", -1))
    assert set(violations(caught.value)) == {"account.auth.oauth.access_token_expire_time"}


async def test_a_password_in_place_of_tokens_erases_them(api: Api, provider: OAuthServer) -> None:
    await create(api, auth=oauth(provider))
    stored = api.store.account("acme")
    assert stored is not None
    version, _ = api.store.tokens(stored.no)
    password = account_pb2.PasswordAuth(username="anna", password="right")
    updated = await update(api, auth=account_pb2.AccountAuth(password=password))
    assert updated.auth_kind == account_pb2.AUTH_KIND_PASSWORD
    assert api.store.tokens(stored.no) == (version + 1, b"")


async def test_tokens_go_to_no_mail_server_they_were_not_given_for(api: Api, provider: OAuthServer) -> None:
    await create(api, auth=oauth(provider))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await update(api, imap=account_pb2.ImapEndpoint(host="evil.example.org"))
    assert set(violations(caught.value)) == {"account.auth"}
    assert len(api.mail.shown) == 1


async def test_an_edit_of_something_else_keeps_the_tokens(api: Api, provider: OAuthServer) -> None:
    created = await create(api, auth=oauth(provider))
    kept = tokens_of(api)
    updated = await update(api, display_name="Anna")
    assert (tokens_of(api), updated.auth_kind) == (kept, created.auth_kind)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"refresh_token": "", "client_id": ""}, {"refresh_token"}),
        ({"token_endpoint": "ftp://e"}, {"token_endpoint"}),
        ({"token_endpoint": ""}, {"token_endpoint"}),
        ({"client_id": ""}, {"client_id"}),
        ({"access_token": "a b"}, {"access_token"}),
        ({"scopes": ["a b"]}, {"scopes"}),
        ({"mechanism": 9}, {"mechanism"}),
        ({"username": "a\x01b"}, {"username"}),
        ({"authorization": "x"}, {"authorization"}),
    ],
)
async def test_what_is_wrong_is_named(
    api: Api, provider: OAuthServer, given: dict[str, Any], named: set[str]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(api, auth=oauth(provider, **given))
    assert set(violations(caught.value)) == {f"account.auth.oauth.{name}" for name in named}


def secret(ref: str) -> account_pb2.AccountAuth:
    return account_pb2.AccountAuth(secret_ref=account_pb2.SecretRefAuth(username="anna", ref=ref))


async def test_a_secret_kept_outside_is_looked_up_and_never_stored(api: Api) -> None:
    created = await create(api, auth=secret("file:work"))
    assert (created.auth_kind, created.username) == (account_pb2.AUTH_KIND_SECRET_REF, "anna")
    stored = api.store.account("acme")
    assert stored is not None
    assert api.core.vault.open_secrets(stored.no, stored.sealed_credentials) == {"secret_ref": "file:work"}
    assert api.mail.shown == ["right"]


@pytest.mark.parametrize("ref", ["file:other", "file:../secrets/work", "env:PATH"])
async def test_a_secret_that_is_not_for_the_caller_is_not_there(api: Api, ref: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(api, auth=secret(ref))
    assert set(violations(caught.value)) == {"account.auth"}
    assert api.mail.tried == []


@pytest.mark.parametrize("ref", ["file:work", "file:other"])
async def test_a_secret_is_not_there_for_a_token_of_some_accounts(api: Api, ref: str) -> None:
    """The operator keeps secrets of every tenant's mailboxes in one place, and the caller chooses the user name."""
    admit(api.store, token_of(1, Scope.MANAGE_ACCOUNTS, reach=Reach(labels={"tenant": "a"})))
    api.core.callers.look()
    request = pb.CreateAccountRequest(account=account(auth=secret(ref), labels={"tenant": "a"}))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.CreateAccount(request, metadata=bearing(1))
    assert set(violations(caught.value)) == {"account.auth"}
    assert api.mail.tried == []


async def test_a_secret_is_sent_to_no_server_that_a_caller_has_made_up(api: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(api, auth=secret("file:work"), imap=account_pb2.ImapEndpoint(host="imap.evil.example"))
    assert set(violations(caught.value)) == {"account.auth"}
    assert api.mail.shown == []

"""How a stored account logs in: with its own tokens and nobody else's, renewed without an event."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from mailsync_grpc.config import Config, ImapConfig, OAuthConfig, OAuthProvider
from mailsync_grpc.errors import CredentialsNeededError, ImapAuthError, ImapUnreachableError
from mailsync_grpc.imap.auth import AccessToken, Credentials
from mailsync_grpc.imap.grants import OAuthLogin, Tokens
from mailsync_grpc.imap.oauth import Grant
from mailsync_grpc.model.account import Account, AuthKind
from mailsync_grpc.model.changes import AccountChanged
from mailsync_grpc.store.base import Batch, Store
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import SealedTokens
from mailsync_grpc.sync.logins import Logins
from mailsync_grpc.vault import Vault
from tests.support.oauth_server import CLIENT, SECRET, OAuthServer
from tests.support.store import account_of

VAULT = Vault(bytes(32))


@pytest.fixture
def provider() -> Iterator[OAuthServer]:
    with OAuthServer() as server:
        yield server


@pytest.fixture
def store() -> Store:
    return MemoryStore()


def settings(**providers: OAuthProvider) -> Config:
    loopback = ImapConfig(allow_networks=(ip_network("127.0.0.0/8"),), allow_plaintext=True)
    return Config(data_dir=Path("unused"), imap=loopback, oauth=OAuthConfig(providers=providers))


def kept(store: Store, provider: OAuthServer, refresh_token: str, name: str = "") -> Account:
    """Store an account with a refresh token, of a provider of the configuration where one is named."""
    client = ("", "") if name else (CLIENT, SECRET)
    login = OAuthLogin("first", Grant(provider.token_endpoint, *client), name)
    blank = account_of(store)
    sealed = VAULT.seal_secrets(blank.no, {"oauth": login.to_json()})
    account = replace(blank, username="anna", auth_kind=AuthKind.OAUTH, sealed_credentials=sealed)
    put(store, account, Tokens(login.id, refresh_token), AccountChanged(account))
    return account


def put(store: Store, account: Account, tokens: Tokens, *changes: AccountChanged) -> None:
    version = store.tokens(account.no).version + 1
    sealed = SealedTokens(version, VAULT.seal(account.no, tokens.encoded()))
    store.apply(Batch(account.key, changes, tokens=sealed))


def shown(credentials: Credentials) -> str:
    assert isinstance(credentials, AccessToken)
    return credentials.token


def test_two_processes_share_one_renewal_and_nobody_is_told(store: Store, provider: OAuthServer) -> None:
    account = kept(store, provider, provider.consent())
    head = store.stats().log_head
    tokens = {Logins(store, VAULT, settings()).of(account)(shown) for _ in range(2)}
    assert tokens == provider.families[0].access
    assert len(provider.forms) == 1
    assert store.stats().log_head == head
    assert store.account(account.id) == account


def test_a_record_read_before_an_edit_gets_no_token_of_the_next_credentials(
    store: Store, provider: OAuthServer
) -> None:
    account = kept(store, provider, provider.consent())
    put(store, account, Tokens("second", "of another provider", "of another mailbox"))
    with pytest.raises(ImapUnreachableError, match="changed a moment ago"):
        Logins(store, VAULT, settings()).of(account)(shown)
    assert provider.forms == []


def test_a_providers_client_is_the_configurations(store: Store, provider: OAuthServer) -> None:
    account = kept(store, provider, provider.consent(), "house")
    house = OAuthProvider.model_validate(
        {"client_id": CLIENT, "client_secret": SECRET, "issuer": provider.issuer}
    )
    assert Logins(store, VAULT, settings(house=house)).of(account)(shown)
    other = MemoryStore()
    account = kept(other, provider, "r", "house")
    with pytest.raises(CredentialsNeededError, match=r"oauth\.providers"):
        Logins(other, VAULT, settings()).of(account)(shown)


def test_a_grant_that_is_refused_leaves_no_claim(store: Store, provider: OAuthServer) -> None:
    account = kept(store, provider, "unknown")
    for _ in range(2):
        with pytest.raises(ImapAuthError, match="invalid_grant"):
            Logins(store, VAULT, settings()).of(account)(shown)
    version, sealed = store.tokens(account.no)
    assert Tokens.decoded(VAULT.open(account.no, sealed), version).claimed == 0


def test_erased_tokens_ask_for_credentials(store: Store, provider: OAuthServer) -> None:
    account = kept(store, provider, provider.consent())
    store.apply(Batch(account.key, tokens=SealedTokens(store.tokens(account.no).version + 1, b"")))
    with pytest.raises(CredentialsNeededError):
        Logins(store, VAULT, settings()).of(account)(shown)

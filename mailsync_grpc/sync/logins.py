"""How accounts log in: with a password, a secret of the operator's, or OAuth 2 tokens that all processes share.

The tokens of an account are kept sealed beside its record (`Batch.tokens`); each process has one source of them for
each account, which belongs to one version of the account's credentials.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from mailsync_grpc.config import Config
from mailsync_grpc.errors import CredentialsNeededError, ImapUnreachableError
from mailsync_grpc.imap.auth import Credentials, Password
from mailsync_grpc.imap.connecting import Login, LoginOf, endpoint_of, policy_of, with_password
from mailsync_grpc.imap.endpoint import Endpoint
from mailsync_grpc.imap.grants import OAuthLogin, Tokens
from mailsync_grpc.imap.oauth import Grant, Granted
from mailsync_grpc.imap.providers import registered
from mailsync_grpc.imap.secrets import secret_of
from mailsync_grpc.imap.token_endpoint import renew
from mailsync_grpc.imap.tokens import Sight, TokenLogin, TokenSource
from mailsync_grpc.model.account import Account, AccountKey, AuthKind
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.store.base import Batch, ConflictError, Store
from mailsync_grpc.store.values import SealedTokens
from mailsync_grpc.vault import Vault

T = TypeVar("T")

OAUTH, SECRET_REF, PASSWORD = "oauth", "secret_ref", "password"
"""Names of the kinds of credentials among an account's secrets."""


class StoredTokens(NamedTuple):
    """The shelf of one account's tokens in the store; `login` is the id of the login that they must belong to."""

    store: Store
    vault: Vault
    account: AccountKey
    login: str

    def read(self) -> Tokens:
        """As `Shelf.read`."""
        version, sealed = self.store.tokens(self.account.no)
        tokens = Tokens.decoded(self.vault.open(self.account.no, sealed), version)
        if tokens.id != self.login:
            # Tokens of the account's next credentials, which must not go where these were to go.
            raise ImapUnreachableError("the account's credentials were changed a moment ago; try again")
        return tokens

    def put(self, tokens: Tokens) -> bool:
        """As `Shelf.put`."""
        sealed = self.vault.seal(self.account.no, tokens.encoded())
        try:
            self.store.apply(Batch(self.account, tokens=SealedTokens(tokens.version, sealed)))
        except ConflictError:
            return False
        return True


class Logins:
    """The logins of one process's accounts."""

    def __init__(
        self, store: Store, vault: Vault, config: Config, sight: Callable[[], Sight] = Sight
    ) -> None:
        self._store = store
        self._vault = vault
        self._config = config
        self._sight = sight
        self._lock = threading.Lock()
        self._sources: dict[AccountNo, tuple[str, TokenSource]] = {}

    def of(self, account: Account) -> Login:
        """Return how this account logs in. Raises CredentialsNeededError."""
        if account.auth_kind is AuthKind.PASSWORD:
            return with_password(self._vault)(account)
        secrets = self._vault.open_secrets(account.no, account.sealed_credentials)
        if account.auth_kind is AuthKind.SECRET_REF:
            return with_secret(account.username, secrets[SECRET_REF], endpoint_of(account), self._config)
        login = OAuthLogin.from_json(secrets[OAUTH])
        return TokenLogin(account.username, self._source(account, login), login.mechanism)

    def _source(self, account: Account, login: OAuthLogin) -> TokenSource:
        with self._lock:
            found = self._sources.get(account.no)
            if found is None or found[0] != login.id:
                shelf = StoredTokens(self._store, self._vault, account.key, login.id)
                found = login.id, TokenSource(shelf, renewal(login, self._config), self._sight())
                self._sources[account.no] = found
            return found[1]


def logins(store: Store, vault: Vault, config: Config) -> LoginOf:
    """Return how the accounts of a process log in."""
    return Logins(store, vault, config).of


def renewal(login: OAuthLogin, config: Config) -> Callable[[str], Granted]:
    """Return the function that has an access token granted for a refresh token, blocking."""
    policy = policy_of(config.imap)
    return lambda refresh_token: renew(grant_of(login.grant, login.provider, config), refresh_token, policy)


def grant_of(grant: Grant, provider: str, config: Config) -> Grant:
    """Return the grant with the client that a provider's configuration names. Raises CredentialsNeededError."""
    if not provider:
        return grant
    configured = config.oauth.providers.get(provider)
    if configured is None:
        raise CredentialsNeededError(f"the provider {provider} is not configured any more (oauth.providers)")
    return registered(grant, configured)


def with_secret(username: str, ref: str, endpoint: Endpoint, config: Config) -> Login:
    """Return a login with a secret of the operator's, looked up at each attempt."""

    def login(attempt: Callable[[Credentials], T]) -> T:
        return attempt(Password(username, secret_of(ref, endpoint, config.secrets)))

    return login

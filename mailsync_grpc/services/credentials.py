"""Credentials that a caller gives, from the login that tries them to the account that keeps them.

They are tried before they are kept, and a try may change them: a refresh token that its provider rotates is spent by it.
So one request has one `Trial`, however often its commit is tried, and what the login made of the tokens is what is kept.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mailsync_grpc.errors import AuthorizationNotFoundError
from mailsync_grpc.imap.auth import Credentials, Password
from mailsync_grpc.imap.connecting import Login, T, secrets_of
from mailsync_grpc.imap.endpoint import Endpoint
from mailsync_grpc.imap.grants import OAuthLogin, Tokens
from mailsync_grpc.imap.tokens import MemoryShelf, Sight, TokenLogin, TokenSource
from mailsync_grpc.model.account import Account, AccountState, AuthKind
from mailsync_grpc.services.account_rights import require_secrets
from mailsync_grpc.services.auth_fields import (
    Auth,
    AuthorizationAuth,
    PasswordAuth,
    SecretAuth,
    TokenAuth,
)
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.pending import Pending, Taken
from mailsync_grpc.store.values import SealedTokens
from mailsync_grpc.sync.logins import OAUTH, PASSWORD, SECRET_REF, renewal, with_secret

_KINDS = (PASSWORD, OAUTH, SECRET_REF)
_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Trial:
    """Credentials of one request: where and how they log in, what is sealed of them, the tokens as they are by now.

    `taken` is the completed authorization that they came from.
    """

    endpoint: Endpoint
    kind: AuthKind
    username: str
    login: Login
    sealed: Mapping[str, Any]
    shelf: MemoryShelf | None = None
    taken: Taken | None = None


@dataclass(frozen=True, slots=True)
class CredentialKeeper:
    """Makes trials, and accounts of what was tried. All of it blocks."""

    core: Core

    @property
    def authorized(self) -> Pending:
        """Completed authorizations that no account uses yet."""
        return Pending(self.core, "authorized")

    def trial(self, auth: Auth, endpoint: Endpoint) -> Trial:
        """Return credentials ready to be tried at a mail server. Raises AuthorizationNotFoundError."""
        config = self.core.config
        match auth:
            case PasswordAuth(username, password):
                return Trial(
                    endpoint, AuthKind.PASSWORD, username, _with(username, password), {PASSWORD: password}
                )
            case SecretAuth(username, ref):
                require_secrets()
                login = with_secret(username, ref, endpoint, config)
                return Trial(endpoint, AuthKind.SECRET_REF, username, login, {SECRET_REF: ref})
            case TokenAuth():
                return self._given(auth, endpoint)
            case AuthorizationAuth():
                return self._completed(auth, endpoint)

    def _given(self, auth: TokenAuth, endpoint: Endpoint) -> Trial:
        login = OAuthLogin(secrets.token_hex(_ID_BYTES), auth.grant, mechanism=auth.mechanism)
        tokens = Tokens(login.id, auth.refresh_token, auth.access_token, ends=auth.ends)
        return self.of_tokens(endpoint, auth.username, login, tokens)

    def _completed(self, auth: AuthorizationAuth, endpoint: Endpoint) -> Trial:
        taken = self.authorized.take(auth.authorization)
        if taken is None:
            raise AuthorizationNotFoundError(
                "no such authorization, or it was used or has expired; begin another"
            )
        login = OAuthLogin.from_json(taken.content["login"])
        login = replace(login, mechanism=auth.mechanism or login.mechanism)
        tokens = Tokens.decoded(taken.content["tokens"].encode(), 0)
        return replace(self.of_tokens(endpoint, auth.username, login, tokens), taken=taken)

    def of_tokens(self, endpoint: Endpoint, username: str, login: OAuthLogin, tokens: Tokens) -> Trial:
        """Return tokens ready to be tried."""
        shelf = MemoryShelf(tokens)
        source = TokenSource(shelf, renewal(login, self.core.config), Sight(wall=self.core.clock))
        token_login = TokenLogin(username, source, login.mechanism)
        return Trial(endpoint, AuthKind.OAUTH, username, token_login, {OAUTH: login.to_json()}, shelf)

    def give_back(self, trial: Trial | None) -> None:
        """Let a completed authorization, with its tokens as they are by now, be used by another request."""
        if trial is not None and trial.taken is not None and trial.shelf is not None:
            content = {**trial.taken.content, "tokens": _rested(trial.shelf.tokens).encoded().decode()}
            self.authorized.put_back(replace(trial.taken, content=content))

    def keep_authorized(self, login: OAuthLogin, tokens: Tokens) -> Taken:
        """Keep a completed authorization for an account still to be created."""
        return self.authorized.keep({"login": login.to_json(), "tokens": tokens.encoded().decode()})

    def with_credentials(self, account: Account, trial: Trial) -> tuple[Account, SealedTokens | None]:
        """Return the account with these credentials in place of its own, and the tokens to be stored with it."""
        sealed = self.core.vault.seal_secrets(account.no, {**secrets_of(trial.endpoint), **trial.sealed})
        changed = replace(account, username=trial.username, auth_kind=trial.kind, sealed_credentials=sealed)
        return changed, self._tokens(account, trial)

    def logged_in(self, account: Account, trial: Trial) -> tuple[Account, SealedTokens | None]:
        """As `with_credentials`, of an account that exists: what the ones before failed with is forgotten."""
        after, tokens = self.with_credentials(account, trial)
        active = after.in_state(AccountState.ACTIVE, account.update_time)
        return replace(active, version=account.version), tokens

    def _tokens(self, account: Account, trial: Trial) -> SealedTokens | None:
        version = self.core.store.tokens(account.no).version
        if trial.shelf is not None:
            sealed = self.core.vault.seal(account.no, _rested(trial.shelf.tokens).encoded())
            return SealedTokens(version + 1, sealed)
        # Tokens of credentials before are erased, under a version that a renewal on its way cannot follow.
        return SealedTokens(version + 1, b"") if version else None


def _rested(tokens: Tokens) -> Tokens:
    return replace(tokens, claimed=0)


def _with(username: str, password: str) -> Login:
    def login(attempt: Callable[[Credentials], T]) -> T:
        return attempt(Password(username, password))

    return login

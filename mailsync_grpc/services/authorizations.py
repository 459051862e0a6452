"""AccountService, authorizations: the code flow with PKCE (RFC 6749 section 4.1, RFC 7636).

Begin makes a state and a verifier, keeps the verifier with all that Complete needs, and answers where to send the user.
Complete takes what the state stands for, so that a state is used once, and has the code exchanged by this service, so
that tokens pass through no caller's hands. An account that exists gets them after a login has shown that they open its
mailbox, and only while its mail server is the one that it had at Begin; for one still to be created they are kept under a
text that CreateAccount takes.
"""

import secrets
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from mailsync_grpc.config import is_local_host
from mailsync_grpc.errors import (
    AuthorizationNotFoundError,
    BudgetSpentError,
    ImapAuthError,
    ImapError,
    ImapUnreachableError,
)
from mailsync_grpc.imap.authorization import Endpoints, authorization_url, challenge
from mailsync_grpc.imap.connecting import endpoint_of, opened_endpoint, policy_of
from mailsync_grpc.imap.grants import OAuthLogin, Tokens
from mailsync_grpc.imap.oauth import Grant
from mailsync_grpc.imap.providers import Provider, provider_of
from mailsync_grpc.imap.token_endpoint import discover, exchange
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import AccountChanged
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.services import fields
from mailsync_grpc.services.auth_fields import check_url, read_grant, read_mechanism
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.credentials import CredentialKeeper, Trial
from mailsync_grpc.services.login import TryLogin
from mailsync_grpc.services.pending import Pending, Repeats
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.requests import Decision, Mutations
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.codec.messages import account_message, timestamp
from mailsync_grpc.sync.logins import grant_of
from mailsync_grpc.v1 import account_service_pb2 as pb

T = TypeVar("T")


class _Begun(NamedTuple):
    """Where to send the user, what for, and what the tokens will be used with."""

    endpoint: str
    login: OAuthLogin
    client_id: str
    parameters: dict[str, str]


class _Granted(NamedTuple):
    """What a code was exchanged for; `account` is 0 for one still to be created."""

    login: OAuthLogin
    tokens: Tokens
    account: AccountNo
    place: str


@dataclass(frozen=True, slots=True)
class AuthorizationService:
    """Serves the authorizations' part of `mailsync.v1.AccountService`."""

    core: Core
    mutations: Mutations
    keeper: CredentialKeeper
    try_login: TryLogin

    @property
    def _begun(self) -> Pending:
        return Pending(self.core, "begun")

    @property
    def _repeats(self) -> Repeats:
        return Repeats(self.core)

    async def begin_authorization(
        self, request: pb.BeginAuthorizationRequest, _context: Context
    ) -> pb.BeginAuthorizationResponse:
        """Return the address to send the user to."""

        async def work() -> Decision[pb.BeginAuthorizationResponse]:
            return Decision(None, await self.core.log_in(lambda: self._begin(request)))

        return await self.mutations.once(request, pb.BeginAuthorizationResponse, work)

    def _begin(self, request: pb.BeginAuthorizationRequest) -> pb.BeginAuthorizationResponse:
        answered = self._repeats.answer_to(request, pb.BeginAuthorizationResponse)
        if answered is not None:
            return answered
        account: Account | None = None
        if request.account:
            account = self.core.account(fields.account_id(request.account, "account"))
        begun = self._target(request)
        verifier = secrets.token_urlsafe(48)
        kept = self._begun.keep(
            {
                "account": account.no if account else 0,
                "place": _place(account) if account else "",
                "login": begun.login.to_json(),
                "verifier": verifier,
                "redirect_uri": request.redirect_uri,
            }
        )
        response = pb.BeginAuthorizationResponse(
            authorization_url=_address(begun, request, kept.text, challenge(verifier)),
            state=kept.text,
            expire_time=timestamp(kept.expire_time),
        )
        return self._repeats.record(request, response)

    def _target(self, request: pb.BeginAuthorizationRequest) -> _Begun:
        faults = fields.Violations()
        right = _may_be_sent_to(request.redirect_uri)
        faults.unless(
            right,
            "redirect_uri",
            "https, http of a loopback host, or a scheme of an application's own; no fragment",
        )
        mechanism = read_mechanism(request.oauth, "oauth", faults)
        if request.provider:
            return self._at_provider(request, mechanism, faults)
        allowed = self.core.config.imap
        check_url(request.authorization_endpoint, "authorization_endpoint", allowed, faults)
        grant = read_grant(request.oauth, "oauth", allowed, faults)
        faults.raise_any()
        login = OAuthLogin(_new_id(), grant, mechanism=mechanism)
        return _Begun(request.authorization_endpoint, login, grant.client_id, {})

    def _at_provider(
        self, request: pb.BeginAuthorizationRequest, mechanism: str, faults: fields.Violations
    ) -> _Begun:
        providers = self.core.config.oauth.providers
        configured = providers.get(request.provider)
        if configured is None:
            known = ", ".join(sorted(providers)) or "none is (oauth.providers)"
            faults.add("provider", f"a provider that is configured: {known}")
        faults.unless(not request.authorization_endpoint, "authorization_endpoint", "not beside a provider")
        faults.raise_any()
        assert configured is not None
        provider = provider_of(request.provider, configured)
        endpoints = self._endpoints(provider)
        grant = Grant(endpoints.token, "", "", provider.scopes)
        login = OAuthLogin(_new_id(), grant, request.provider, mechanism)
        return _Begun(endpoints.authorization, login, configured.client_id, provider.parameters)

    def _endpoints(self, provider: Provider) -> Endpoints:
        if not provider.issuer:
            return Endpoints(provider.authorization_endpoint, provider.token_endpoint)
        found = discover(provider.issuer, policy_of(self.core.config.imap))
        faults = fields.Violations()
        for url in found:
            check_url(url, "provider", self.core.config.imap, faults)
        faults.raise_any()
        return found

    async def complete_authorization(
        self, request: pb.CompleteAuthorizationRequest, _context: Context
    ) -> pb.CompleteAuthorizationResponse:
        """Exchange the code; give its tokens to the account, or answer what CreateAccount takes."""
        faults = fields.Violations()
        faults.unless(bool(request.state), "state", "the state that came back")
        faults.unless(bool(request.code), "code", "the code that came back")
        faults.raise_any()
        granted: _Granted | None = None

        async def work() -> Decision[pb.CompleteAuthorizationResponse]:
            nonlocal granted
            if granted is None:
                answered = await self.core.run(
                    self._repeats.answer_to, request, pb.CompleteAuthorizationResponse
                )
                if answered is not None:
                    return Decision(None, answered)
                granted = await self.core.log_in(lambda: self._exchanged(request))
            if granted.account:
                return await self._for_account(granted)
            return Decision(None, await self.core.run(self._for_later, granted, request))

        return await self.mutations.once(request, pb.CompleteAuthorizationResponse, work)

    def _exchanged(self, request: pb.CompleteAuthorizationRequest) -> _Granted:
        taken = self._begun.take(request.state)
        if taken is None:
            raise AuthorizationNotFoundError(
                "no such authorization, or it was used or has expired; begin another"
            )
        login = OAuthLogin.from_json(taken.content["login"])
        asked = self.core.now_ms()
        try:
            found = exchange(
                grant_of(login.grant, login.provider, self.core.config),
                request.code,
                taken.content["verifier"],
                taken.content["redirect_uri"],
                policy_of(self.core.config.imap),
            )
        except ImapUnreachableError:
            self._begun.put_back(taken)
            raise
        tokens = replace(Tokens(login.id).renewed(found, asked), version=0)
        return _Granted(login, tokens, AccountNo(taken.content["account"]), taken.content["place"])

    async def _for_account(self, granted: _Granted) -> Decision[pb.CompleteAuthorizationResponse]:
        account = await self.core.run(self.core.store.account_by_no, granted.account)
        seen = account is not None and current().allows(account)
        if account is None or not seen or _place(account) != granted.place:
            raise AuthorizationNotFoundError(
                "the account is gone or has another mail server by now; begin another"
            )
        trial = self.keeper.of_tokens(
            opened_endpoint(self.core.vault, account), account.username, granted.login, granted.tokens
        )
        await self.core.log_in(lambda: self._try(trial))
        return await self.core.run(self._authorized, account, trial)

    def _try(self, trial: Trial) -> None:
        """Log in, so that nobody's tokens are kept for another's mailbox; a server that is away refuses nothing."""
        try:
            trial.login(lambda credentials: self.try_login(trial.endpoint, credentials))
        except ImapAuthError:
            raise
        except (ImapError, BudgetSpentError):
            return

    def _authorized(self, account: Account, trial: Trial) -> Decision[pb.CompleteAuthorizationResponse]:
        after = replace(account, version=account.version + 1, update_time=self.core.now_ms())
        changed, tokens = self.keeper.logged_in(after, trial)
        response = pb.CompleteAuthorizationResponse(account=account_message(changed))
        return Decision(Batch(account.key, (AccountChanged(changed),), tokens=tokens), response)

    def _for_later(
        self, granted: _Granted, request: pb.CompleteAuthorizationRequest
    ) -> pb.CompleteAuthorizationResponse:
        kept = self.keeper.keep_authorized(granted.login, granted.tokens)
        expires = timestamp(kept.expire_time)
        response = pb.CompleteAuthorizationResponse(authorization=kept.text, expire_time=expires)
        return self._repeats.record(request, response)


def _address(begun: _Begun, request: pb.BeginAuthorizationRequest, state: str, challenged: str) -> str:
    """Return where to send the user (RFC 6749 section 4.1.1, RFC 7636 section 4.3)."""
    asked = {
        **begun.parameters,
        "response_type": "code",
        "client_id": begun.client_id,
        "redirect_uri": request.redirect_uri,
        "scope": " ".join(begun.login.grant.scopes),
        "state": state,
        "code_challenge": challenged,
        "code_challenge_method": "S256",
        "login_hint": request.login_hint,
    }
    return authorization_url(begun.endpoint, asked)


def _place(account: Account) -> str:
    return sha256(repr(endpoint_of(account)).encode("utf-8", "surrogatepass")).hexdigest()


def _new_id() -> str:
    return secrets.token_hex(8)


def _may_be_sent_to(uri: str) -> bool:
    """Whether a code may be sent there: RFC 6749 section 3.1.2, and RFC 8252 section 7 for applications."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    if not uri.isascii() or not uri.isprintable() or " " in uri or "#" in uri or len(uri) > 2_048:
        return False
    if parts.scheme == "https":
        return bool(parts.hostname)
    if parts.scheme == "http":
        return is_local_host(parts.hostname or "")
    return "." in parts.scheme

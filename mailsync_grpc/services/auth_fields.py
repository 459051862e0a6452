"""Credentials as callers write them: checked field by field, and turned into values."""

import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from mailsync_grpc.config import ImapConfig
from mailsync_grpc.imap.endpoint import Security
from mailsync_grpc.imap.oauth import DEFAULT_LIFETIME, Grant, sendable
from mailsync_grpc.imap.web import target
from mailsync_grpc.services.fields import Violations
from mailsync_grpc.v1 import account_pb2 as pb

_MAX_TOKEN: Final = 16_384
_MAX_SCOPES: Final = 32
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,512}")  # RFC 6749 section 3.3
_MECHANISMS: Final = {
    pb.OAUTH_MECHANISM_UNSPECIFIED: "",
    pb.OAUTH_MECHANISM_XOAUTH2: "XOAUTH2",
    pb.OAUTH_MECHANISM_OAUTHBEARER: "OAUTHBEARER",
}


@dataclass(frozen=True, slots=True)
class PasswordAuth:
    """A user name and password."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecretAuth:
    """A user name, and the name of a secret that the operator keeps."""

    username: str
    ref: str


@dataclass(frozen=True, slots=True)
class TokenAuth:
    """A user name and tokens; `ends` is milliseconds since 1970, 0 when it is not known."""

    username: str
    mechanism: str
    grant: Grant
    refresh_token: str = field(repr=False)
    access_token: str = field(repr=False)
    ends: int = 0


@dataclass(frozen=True, slots=True)
class AuthorizationAuth:
    """A user name, and what CompleteAuthorization answered."""

    username: str
    mechanism: str
    authorization: str = field(repr=False)


Auth: TypeAlias = PasswordAuth | SecretAuth | TokenAuth | AuthorizationAuth


def read_auth(auth: pb.AccountAuth, allowed: ImapConfig, now: int, faults: Violations) -> Auth:
    """Return the checked credentials; what is wrong is noted in `faults`. `now` is milliseconds since 1970."""
    match auth.WhichOneof("credentials"):
        case "oauth":
            return _oauth(auth.oauth, allowed, now, faults)
        case "secret_ref":
            _check_text(auth.secret_ref.username, 320, "account.auth.secret_ref.username", faults)
            _check_text(auth.secret_ref.ref, 200, "account.auth.secret_ref.ref", faults)
            return SecretAuth(auth.secret_ref.username, auth.secret_ref.ref)
    _check_text(auth.password.username, 320, "account.auth.password.username", faults)
    _check_text(auth.password.password, 4_096, "account.auth.password.password", faults)
    return PasswordAuth(auth.password.username, auth.password.password)


def _check_text(value: str, limit: int, name: str, faults: Violations) -> None:
    right = 0 < len(value) <= limit and not _CONTROL.search(value)
    faults.unless(right, name, f"1 to {limit} characters, no controls")


def _oauth(oauth: pb.OAuthAuth, allowed: ImapConfig, now: int, faults: Violations) -> Auth:
    name = "account.auth.oauth"
    _check_text(oauth.username, 320, f"{name}.username", faults)
    mechanism = read_mechanism(oauth, name, faults)
    if oauth.authorization:
        alone = not (oauth.refresh_token or oauth.access_token or oauth.token_endpoint or oauth.client_id)
        faults.unless(alone, f"{name}.authorization", "instead of tokens and endpoints, not beside them")
        return AuthorizationAuth(oauth.username, mechanism, oauth.authorization)
    _check_tokens(oauth, name, now, faults)
    grant = Grant("", "")
    if oauth.refresh_token:
        grant = read_grant(oauth, name, allowed, faults)
    return TokenAuth(
        oauth.username, mechanism, grant, oauth.refresh_token, oauth.access_token, _ends(oauth, now)
    )


def _check_tokens(oauth: pb.OAuthAuth, name: str, now: int, faults: Violations) -> None:
    faults.unless(
        bool(oauth.refresh_token or oauth.access_token),
        f"{name}.refresh_token",
        "a refresh token, an access token or an authorization",
    )
    refresh, access = oauth.refresh_token, oauth.access_token
    faults.unless(
        len(refresh) <= _MAX_TOKEN and not _CONTROL.search(refresh),
        f"{name}.refresh_token",
        f"at most {_MAX_TOKEN} characters, no controls",
    )
    faults.unless(
        not access or (len(access) <= _MAX_TOKEN and sendable(access)),
        f"{name}.access_token",
        f"at most {_MAX_TOKEN} printable ASCII characters without blanks",
    )
    given = oauth.HasField("access_token_expire_time")
    faults.unless(
        not given or bool(refresh) or _millis(oauth) > now,
        f"{name}.access_token_expire_time",
        "still to come",
    )


def _millis(oauth: pb.OAuthAuth) -> int:
    time = oauth.access_token_expire_time
    return time.seconds * 1_000 + time.nanos // 1_000_000


def _ends(oauth: pb.OAuthAuth, now: int) -> int:
    if not oauth.access_token:
        return 0
    if oauth.HasField("access_token_expire_time"):
        return _millis(oauth)
    # With a refresh token the end must be guessed, and a wrong guess is mended by the mail server's refusal.
    return now + int(DEFAULT_LIFETIME * 1_000) if oauth.refresh_token else 0


def read_mechanism(oauth: pb.OAuthAuth, name: str, faults: Violations) -> str:
    """Return the SASL mechanism's name, empty for what the server offers."""
    faults.unless(oauth.mechanism in _MECHANISMS, f"{name}.mechanism", "a value of OauthMechanism")
    return _MECHANISMS.get(oauth.mechanism, "")


def read_grant(oauth: pb.OAuthAuth, name: str, allowed: ImapConfig, faults: Violations) -> Grant:
    """Return who asks the token endpoint, and for what."""
    check_url(oauth.token_endpoint, f"{name}.token_endpoint", allowed, faults)
    _check_text(oauth.client_id, 1_024, f"{name}.client_id", faults)
    faults.unless(
        len(oauth.client_secret) <= 4_096 and not _CONTROL.search(oauth.client_secret),
        f"{name}.client_secret",
        "at most 4096 characters, no controls",
    )
    right = len(oauth.scopes) <= _MAX_SCOPES and all(map(_SCOPE.fullmatch, oauth.scopes))
    faults.unless(right, f"{name}.scopes", f"at most {_MAX_SCOPES} scopes (RFC 6749 section 3.3)")
    return Grant(oauth.token_endpoint, oauth.client_id, oauth.client_secret, tuple(oauth.scopes))


def check_url(url: str, name: str, allowed: ImapConfig, faults: Violations) -> None:
    """Note a fault unless this is the address of an endpoint: https, or http where clear text is allowed."""
    found = target(url)
    clear = found is not None and found.endpoint.security is Security.PLAINTEXT
    right = found is not None and len(url) <= 2_048 and (not clear or allowed.allow_plaintext)
    faults.unless(right, name, "an https URL without user information, of at most 2048 characters")

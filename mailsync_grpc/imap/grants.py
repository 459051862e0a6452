"""What a login with OAuth 2 consists of, and what is to be done with it before it is used: values only.

The lasting half (`OAuthLogin`) is sealed in the account's record and changes with an edit; the other half (`Tokens`)
changes with every renewal and is kept beside the record. Both bear the same id, so that tokens of one are never shown
to a server of the other. A provider that rotates refresh tokens takes each of them once, and may take a second use for
theft and revoke everything; so whoever renews first claims it in the stored tokens, where all processes see it.
"""

import json
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from mailsync_grpc.errors import CredentialsNeededError
from mailsync_grpc.imap.oauth import Grant, Granted

MARGIN = 300_000
"""Milliseconds before its end at which a token is renewed, or a tenth of its life where that is shorter."""
FRESH = 60_000
"""Milliseconds in which a token that was just had cannot have become stale."""
CLAIM = 90_000
"""Milliseconds that a renewal may take, its request's deadline and the look-up of a name included."""


@dataclass(frozen=True, slots=True)
class OAuthLogin:
    """What lasts: the id, the grant, and the SASL mechanism, empty for what the server offers.

    A `provider` of the operator's configuration stands for its client id and secret, which the grant then leaves empty.
    """

    id: str
    grant: Grant
    provider: str = ""
    mechanism: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's types, secrets included."""
        return {
            "id": self.id,
            "provider": self.provider,
            "mechanism": self.mechanism,
            "token_endpoint": self.grant.token_endpoint,
            "client_id": self.grant.client_id,
            "client_secret": self.grant.client_secret,
            "scopes": list(self.grant.scopes),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "OAuthLogin":
        """Return what `to_json` made."""
        grant = Grant(
            stored["token_endpoint"], stored["client_id"], stored["client_secret"], tuple(stored["scopes"])
        )
        return cls(stored["id"], grant, stored["provider"], stored["mechanism"])


@dataclass(frozen=True, slots=True)
class Tokens:
    """What changes. Times are milliseconds since 1970, 0 where there is none; `version` is the stored record's.

    Without a refresh token the access token is all there is, until it `ends`, if that is known.
    """

    id: str
    refresh_token: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)
    had: int = 0
    ends: int = 0
    claimed: int = 0
    version: int = 0

    def encoded(self) -> bytes:
        """Return them as bytes, the version left out."""
        names = ("id", "refresh_token", "access_token", "had", "ends", "claimed")
        return json.dumps({name: getattr(self, name) for name in names}).encode()

    @classmethod
    def decoded(cls, data: bytes, version: int) -> "Tokens":
        """Return what `encoded` made, as found at a version."""
        return cls(**json.loads(data), version=version)

    def claim(self, now: int) -> "Tokens":
        """Return the next version, which says that they are being renewed."""
        return replace(self, claimed=now + CLAIM, version=self.version + 1)

    def released(self) -> "Tokens":
        """Return the next version, which says that nobody renews them."""
        return replace(self, claimed=0, version=self.version + 1)

    def renewed(self, found: Granted, now: int) -> "Tokens":
        """Return what an answer to a request sent at `now` makes of them; a refresh token that is not rotated stays."""
        return replace(
            self,
            refresh_token=found.refresh_token or self.refresh_token,
            access_token=found.access_token,
            had=now,
            ends=now + int(found.lifetime * 1_000),
            claimed=0,
            version=self.version + 1,
        )


class Step(Enum):
    """What to do next: use the access token, renew it, or wait for another process that is about to."""

    USE = 1
    RENEW = 2
    WAIT = 3


def next_step(tokens: Tokens, now: int, refused: str = "") -> Step:
    """Decide; `refused` is an access token that the mail server does not take.

    Raises CredentialsNeededError when there is neither a token that has not ended nor a way to another.
    """
    if not tokens.refresh_token:
        return _without_renewal(tokens, now)
    usable = still_good(tokens, now, refused)
    if usable and now < tokens.ends - min(MARGIN, (tokens.ends - tokens.had) // 10):
        return Step.USE
    if 0 < tokens.claimed - now <= CLAIM:
        return Step.USE if usable else Step.WAIT
    return Step.RENEW


def still_good(tokens: Tokens, now: int, refused: str = "") -> bool:
    """Whether the access token can be used, if need be until its very end."""
    return bool(tokens.access_token) and tokens.access_token != refused and now < tokens.ends


def _without_renewal(tokens: Tokens, now: int) -> Step:
    if tokens.access_token and not (tokens.ends and now >= tokens.ends):
        return Step.USE
    raise CredentialsNeededError(
        "the access token has ended and there is no refresh token; set a new one by UpdateAccount"
    )


def another_helps(tokens: Tokens, now: int, refused: str) -> bool:
    """Whether a refused access token may be followed by one that is taken: it is not the latest, or had become stale."""
    if tokens.access_token != refused:
        return True
    return bool(tokens.refresh_token) and now - tokens.had >= FRESH

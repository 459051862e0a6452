"""Who calls: access tokens as the API process knows them, and the caller of the call at hand.

The tokens are few and read as a whole, so a call costs one hash and one look into a dictionary, and no read of the
store. What changed is noticed within a second: one number of the store is looked at every half second, whoever made
the change. The caller of a call is a value of its context, which each call has for itself; threads that work for the
call see it too (`Core.run`). Nothing sets it but the interceptor, so what is reached without one fails.
"""

import hmac
import math
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mailsync_grpc.config import Config, is_local
from mailsync_grpc.errors import UnauthenticatedError
from mailsync_grpc.model.access import (
    EVERY_SCOPE,
    EVERYTHING,
    HOUR_MILLIS,
    AccessToken,
    Reach,
    Scope,
    digest_of,
)
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.store.base import Clock, Store, TokenEdit

LOOK_SECONDS: Final = 0.5
ANYONE: Final = "anyone"
"""Name of the caller while nobody needs a token."""
OPERATOR: Final = "config"
"""Name of the caller with the token of the settings."""


class _Access(NamedTuple):
    """What was read of the store at `version`; `labels` of accounts only where a token asks for some."""

    version: int
    closed: bool
    tokens: Mapping[str, AccessToken]
    by_digest: Mapping[bytes, AccessToken]
    labels: tuple[tuple[AccountNo, Mapping[str, str]], ...]


class _Sight(NamedTuple):
    """Which accounts a token reaches as of `seen`; `version` is that which changed them last.

    It is no count: threads may put an older sight in place of a newer one, and both must not be called the same.
    """

    seen: int
    visible: frozenset[AccountNo]
    version: int


class Callers:
    """Everyone who may call. Reads block; the rest belongs to the event loop, `allows` and `visible` to any thread."""

    def __init__(self, store: Store, config: Config, clock: Clock = time.time) -> None:
        self._store = store
        self._clock = clock
        token = config.token
        self._operator = None if token is None else digest_of(token.get_secret_value())
        self._local = is_local(config.listen) and config.tls.cert_file is None
        self._sights: dict[str, _Sight] = {}
        self._used: dict[str, int] = {}
        self._access = self._read()

    # What calls ask

    @property
    def is_open(self) -> bool:
        """Whether anyone may call: only this machine can, and there has never been a token."""
        return self._local and self._operator is None and not self._access.closed

    def identify(self, secret: str | None) -> "Caller":
        """Return who sends this token. Raises UnauthenticatedError."""
        if self.is_open:
            return Caller(ANYONE, EVERY_SCOPE, EVERYTHING, self)
        if secret is None:
            raise UnauthenticatedError("this server needs a token: send `authorization: Bearer <token>`")
        digest = digest_of(secret)
        if self._operator is not None and hmac.compare_digest(digest, self._operator):
            return Caller(OPERATOR, EVERY_SCOPE, EVERYTHING, self)
        token = self._access.by_digest.get(digest)
        if token is None or token.is_expired(self._now()):
            raise UnauthenticatedError("the token is wrong, expired or revoked")
        self._used[token.id] = self._now() // HOUR_MILLIS * HOUR_MILLIS
        return Caller(token.name, token.scopes, token.reach, self, token.id)

    def _now(self) -> int:
        return int(self._clock() * 1_000)

    def is_valid(self, caller: "Caller") -> bool:
        """Whether the caller would be let in now."""
        if caller.name == ANYONE:
            return self.is_open
        if not caller.token_id:
            return True
        token = self._access.tokens.get(caller.token_id)
        return token is not None and not token.is_expired(self._now())

    def remaining(self, caller: "Caller") -> float:
        """Return the seconds until the caller's token expires."""
        token = self._access.tokens.get(caller.token_id)
        if token is None or not token.expire_time:
            return math.inf
        return max(0.0, (token.expire_time - self._now()) / 1_000)

    @property
    def version(self) -> int:
        """What changes whenever tokens or the labels of accounts were seen to."""
        return self._access.version

    def sight(self, caller: "Caller") -> _Sight | None:
        """Return what the caller may see, None for everything."""
        if not caller.reach.is_limited:
            return None
        access, before = self._access, self._sights.get(caller.name)
        if before is not None and before.seen == access.version:
            return before
        visible = _visible(caller.reach, access.labels)
        is_same = before is not None and visible == before.visible
        version = before.version if before is not None and is_same else access.version
        sight = self._sights[caller.name] = _Sight(access.version, visible, version)
        return sight

    # Keeping up with the store

    def look(self) -> None:
        """Take over what changed in the store, and note there when tokens were last used. Blocks."""
        if self._store.access.version() != self._access.version:
            self._access = self._read()
            self._forget()
        tokens = self._access.tokens
        late = {id_: hour for id_, hour in dict(self._used).items() if id_ in tokens}
        news = [(id_, hour) for id_, hour in late.items() if hour > tokens[id_].last_used]
        if news:
            self._store.access.edit(TokenEdit(used=tuple(news)))
            self._access = self._read()

    def _forget(self) -> None:
        for known in (self._sights, self._used):
            for name in list(known):  # the event loop may add meanwhile
                if name.rpartition("/")[2] not in self._access.tokens:
                    known.pop(name, None)

    def _read(self) -> _Access:
        # The version first: what changes after it is read again.
        version = self._store.access.version()
        tokens, closed = self._store.access.table()
        labels = tuple(self._labels()) if any(token.reach.labels for token in tokens) else ()
        return _Access(
            version,
            closed,
            {token.id: token for token in tokens},
            {token.digest: token for token in tokens},
            labels,
        )

    def _labels(self) -> Iterable[tuple[AccountNo, Mapping[str, str]]]:
        after = ""
        while accounts := self._store.accounts(after):
            after = accounts[-1].id
            yield from ((account.no, account.labels) for account in accounts)


def _visible(reach: Reach, labels: Iterable[tuple[AccountNo, Mapping[str, str]]]) -> frozenset[AccountNo]:
    if not reach.labels:
        return frozenset(key.no for key in reach.accounts or ())
    bearing = frozenset(no for no, borne in labels if reach.bears(borne))
    return bearing if reach.accounts is None else bearing & {key.no for key in reach.accounts}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call and what that one may do. `name` is `tokens/{token}`, or says why there is no such token."""

    name: str
    scopes: frozenset[Scope]
    reach: Reach
    callers: Callers = field(repr=False, compare=False)
    token_id: str = ""

    def allows(self, account: Account) -> bool:
        """Whether the caller may know of the account, by its labels as they are in the record at hand."""
        return self.reach.holds(account)

    @property
    def visible(self) -> frozenset[AccountNo] | None:
        """Accounts the caller may see now, deleted ones perhaps included; None for all. At most a second old."""
        sight = self.callers.sight(self)
        return None if sight is None else sight.visible

    @property
    def version(self) -> int:
        """A number that changes whenever `visible` does."""
        sight = self.callers.sight(self)
        return 0 if sight is None else sight.version

    @property
    def remaining(self) -> float:
        """Seconds until the caller's token expires; infinite where it does not."""
        return self.callers.remaining(self)

    def require_valid(self) -> None:
        """Raise UnauthenticatedError where the caller would not be let in any more: for calls that last."""
        if not self.valid:
            raise UnauthenticatedError("the token was revoked or has expired")

    @property
    def valid(self) -> bool:
        """False once the token is revoked or expired, or once tokens are needed and the caller has none."""
        return self.callers.is_valid(self)


CALLER: Final[ContextVar[Caller]] = ContextVar("caller")


def current() -> Caller:
    """Return the caller of the call at hand. Raises LookupError outside of calls."""
    return CALLER.get()

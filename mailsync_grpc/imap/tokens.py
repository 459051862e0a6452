"""Access tokens of one login: renewed before they expire, by one thread for all that ask, and again when refused.

A token is used until shortly before its end. A server may refuse it earlier (the user's sessions were ended, its clock
is ahead), which it says when the token is shown, or by ending a session; what is refused although it was believed valid
is renewed and shown once more at once. A token that was only just had and is refused is no stale one: then the login
itself is refused, which is for the account's breaker.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from mailsync_grpc.errors import ImapAuthError, ImapExpiredError
from mailsync_grpc.imap.auth import AccessToken
from mailsync_grpc.imap.oauth import Granted

T = TypeVar("T")

MARGIN = 300.0
"""Seconds before its end at which a token is renewed, or a tenth of its life where that is shorter."""
FRESH = 60.0
"""Seconds in which a token that was just had cannot have become stale."""


@dataclass(frozen=True, slots=True)
class _Token:
    value: str
    had_at: float
    renew_at: float


class TokenSource:
    """The current access token of one login; `renew` fetches another, blocking, and raises ImapError."""

    def __init__(self, renew: Callable[[], Granted], clock: Callable[[], float] = time.monotonic) -> None:
        self._renew = renew
        self._clock = clock
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._flight: Future[_Token] | None = None

    def token(self) -> str:
        """Return a token that is believed valid. Raises what `renew` does, to every thread that waited for it."""
        with self._lock:
            if self._token is not None and self._clock() < self._token.renew_at:
                return self._token.value
            flight, mine = self._flight, self._flight is None
            if flight is None:
                flight = self._flight = Future()
        if mine:
            self._fly(flight)
        return flight.result().value

    def refused(self, value: str) -> bool:
        """Forget a token that the server refuses; True when another may be accepted."""
        with self._lock:
            if self._token is None or self._token.value != value:
                return True  # another thread has renewed it meanwhile, or is about to
            stale = self._clock() - self._token.had_at >= FRESH
            if stale:
                self._token = None
            return stale

    def _fly(self, flight: "Future[_Token]") -> None:
        try:
            asked = self._clock()
            found = self._renew()
            margin = min(MARGIN, found.lifetime / 10)
            token = _Token(found.access_token, asked, asked + found.lifetime - margin)
        except BaseException as error:  # noqa: BLE001 - raised again in every thread that waits, this one too
            self._land(None)
            flight.set_exception(error)
        else:
            self._land(token)
            flight.set_result(token)

    def _land(self, token: _Token | None) -> None:
        with self._lock:
            self._flight = None
            self._token = token


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """Logging in as `username` with the tokens of `source`."""

    username: str
    source: TokenSource

    def __call__(self, attempt: Callable[[AccessToken], T]) -> T:
        """Return what `attempt` does with a token, with a new one when the server refuses one believed valid."""
        token = self.source.token()
        try:
            return attempt(AccessToken(self.username, token))
        except (ImapAuthError, ImapExpiredError):
            if not self.source.refused(token):
                raise
        return attempt(AccessToken(self.username, self.source.token()))

"""Access tokens of one login: renewed before they end, by one thread of one process for all that ask.

A token is used until shortly before its end. A server may refuse it earlier (the user's sessions were ended, its clock
is ahead), which it says when the token is shown, or by ending a session; what is refused although it was believed valid
is renewed and shown once more at once. A token that was only just had and is refused is no stale one: then the login
itself is refused, which is for the account's breaker.

Tokens are kept on a shelf that other processes read and write (`Shelf`). A renewal is claimed there before the request
is sent, and its answer is kept there before anybody uses it: a rotated refresh token is never only in memory. A process
that dies between answer and shelf leaves its claim, which ends by itself; whoever comes next shows the refresh token
that is on the shelf, and whether the provider takes it a second time is the provider's choice.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from mailsync_grpc.errors import ImapAuthError, ImapExpiredError, ImapUnreachableError
from mailsync_grpc.imap.auth import AccessToken
from mailsync_grpc.imap.grants import Step, Tokens, another_helps, next_step, still_good
from mailsync_grpc.imap.oauth import Granted

T = TypeVar("T")

WAIT = 0.1
"""Seconds between two looks at the shelf while another process renews."""


class Shelf(Protocol):
    """Where the tokens of one login are kept."""

    def read(self) -> Tokens:
        """Return them. Raises ImapError and CredentialsNeededError when they are not this login's or cannot be read."""
        ...

    def put(self, tokens: Tokens) -> bool:
        """Keep them durably; False when the version on the shelf is not the one before theirs."""
        ...


@dataclass(slots=True)
class MemoryShelf:
    """A shelf that no other process sees: for a login that is tried before it is kept."""

    tokens: Tokens

    def read(self) -> Tokens:
        """As `Shelf.read`."""
        return self.tokens

    def put(self, tokens: Tokens) -> bool:
        """As `Shelf.put`."""
        if tokens.version != self.tokens.version + 1:
            return False
        self.tokens = tokens
        return True


@dataclass(slots=True)
class Sight:
    """Milliseconds since 1970 by a clock that nobody sets: read once for each access token, then counted on.

    A token's life is what its server gave it, however the machine's clock is set meanwhile.
    """

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _token: str = field(default="", repr=False)
    _began: int = 0
    _seen_at: float = 0.0

    def now(self, token: str) -> int:
        """Return the time to judge this access token by."""
        if token != self._token or not self._began:
            self._token, self._began, self._seen_at = token, int(self.wall() * 1_000), self.clock()
        return self._began + int((self.clock() - self._seen_at) * 1_000)


class TokenSource:
    """The access tokens of one login; `renew` has one granted for a refresh token, blocking, and raises ImapError."""

    def __init__(
        self,
        shelf: Shelf,
        renew: Callable[[str], Granted],
        sight: Sight | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._shelf = shelf
        self._renew = renew
        self._sight = sight or Sight()
        self._pause = pause
        self._lock = threading.Lock()
        self._flight: Future[str] | None = None

    def token(self, refused: str = "") -> str:
        """Return an access token that is believed valid and is not `refused`.

        Raises what `renew` does, to every thread that waited for it, and CredentialsNeededError.
        """
        with self._lock:
            tokens = self._shelf.read()
            if next_step(tokens, self._now(tokens), refused) is Step.USE:
                return tokens.access_token
            flight, mine = self._flight, self._flight is None
            if flight is None:
                flight = self._flight = Future()
        if mine:
            self._fly(flight, refused)
        return flight.result()

    def another_helps(self, refused: str) -> bool:
        """Whether there may be another token that the server takes in place of the refused one."""
        with self._lock:
            tokens = self._shelf.read()
            return another_helps(tokens, self._now(tokens), refused)

    def _now(self, tokens: Tokens) -> int:
        return self._sight.now(tokens.access_token)

    def _fly(self, flight: "Future[str]", refused: str) -> None:
        try:
            token = self._obtain(refused)
        except BaseException as error:  # noqa: BLE001 - raised again in every thread that waits, this one too
            self._land()
            flight.set_exception(error)
        else:
            self._land()
            flight.set_result(token)

    def _land(self) -> None:
        with self._lock:
            self._flight = None

    def _obtain(self, refused: str) -> str:
        while True:
            with self._lock:
                tokens = self._shelf.read()
                now = self._now(tokens)
            match next_step(tokens, now, refused):
                case Step.USE:
                    return tokens.access_token
                case Step.WAIT:
                    self._pause(WAIT)
                case Step.RENEW:
                    claim = tokens.claim(now)
                    if self._shelf.put(claim) and not self._renew_claimed(claim, now, refused):
                        return tokens.access_token

    def _renew_claimed(self, claim: Tokens, now: int, refused: str) -> bool:
        """Put what the claim's refresh token grants on the shelf, unless there is a newer one by now.

        False when the endpoint is out of order while the token before lasts.
        """
        try:
            found = self._renew(claim.refresh_token)
        except ImapAuthError:
            # Spent by another process whose claim had ended: then its answer is on the shelf, or was edited meanwhile.
            if self._release(claim):
                raise
            return True
        except ImapUnreachableError:
            self._release(claim)
            if still_good(claim, now, refused):
                return False
            raise
        except BaseException:
            self._release(claim)
            raise
        self._keep(claim, claim.renewed(found, now))
        return True

    def _release(self, claim: Tokens) -> bool:
        """End the claim; False when the shelf has another refresh token than the claimed one."""
        self._shelf.put(claim.released())
        return self._is_latest(claim, self._shelf.read())

    def _keep(self, claim: Tokens, renewed: Tokens) -> None:
        while not self._shelf.put(renewed):
            latest = self._shelf.read()
            if not self._is_latest(claim, latest):
                return
            # Only a claim of another process came between, which gets what we have.
            renewed = replace(renewed, version=latest.version + 1)

    @staticmethod
    def _is_latest(claim: Tokens, latest: Tokens) -> bool:
        return (latest.id, latest.refresh_token) == (claim.id, claim.refresh_token)


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """Logging in as `username` with the tokens of `source`, by `mechanism` unless it is empty."""

    username: str
    source: TokenSource
    mechanism: str = ""

    def __call__(self, attempt: Callable[[AccessToken], T]) -> T:
        """Return what `attempt` does with a token, with a new one when the server refuses one believed valid."""
        token = self.source.token()
        try:
            return attempt(AccessToken(self.username, token, self.mechanism))
        except (ImapAuthError, ImapExpiredError):
            if not self.source.another_helps(token):
                raise
        return attempt(AccessToken(self.username, self.source.token(refused=token), self.mechanism))

"""Access tokens of this server: what a caller who shows one may do, and of which accounts.

A token is stored as the SHA-256 hash of its secret, which has 256 random bits, so a copy of the store gives no means to
call. Its accounts are kept by number: an account that is deleted and made anew under the same id is another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256

from mailsync_grpc.model.account import Account, AccountKey
from mailsync_grpc.model.ids import RandomBytes, encode_secret

SECRET_PREFIX = "mst_"  # noqa: S105 - what every secret begins with, so that scanners of leaked ones know it
SECRET_BYTES = 32
HOUR_MILLIS = 3_600_000


class Scope(IntEnum):
    """What a token allows. Values are those of `mailsync.v1.TokenScope`."""

    READ_METADATA = 1
    READ_CONTENT = 2
    MODIFY_MAIL = 3
    MANAGE_ACCOUNTS = 4
    ADMIN = 5


EVERY_SCOPE = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Reach:
    """Which accounts a caller may know of: those of `accounts` (None: any) that bear all of `labels`."""

    accounts: tuple[AccountKey, ...] | None = None
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def is_limited(self) -> bool:
        """Whether there may be accounts out of reach."""
        return self.accounts is not None or bool(self.labels)

    def holds(self, account: Account) -> bool:
        """Whether the account is within reach."""
        named = self.accounts is None or any(account.no == key.no for key in self.accounts)
        return named and self.bears(account.labels)

    def bears(self, labels: Mapping[str, str]) -> bool:
        """Whether an account of these labels bears what is asked for."""
        return all(labels.get(key) == value for key, value in self.labels.items())


EVERYTHING = Reach()


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token as stored; it is made and revoked, never changed. Times are milliseconds since 1970, 0 for never.

    `last_used` is rounded down to the hour.
    """

    id: str
    digest: bytes = field(repr=False)
    scopes: frozenset[Scope]
    reach: Reach = EVERYTHING
    display_name: str = ""
    create_time: int = 0
    expire_time: int = 0
    last_used: int = 0

    @property
    def name(self) -> str:
        """The resource name."""
        return token_name(self.id)

    def is_expired(self, now: int) -> bool:
        """Whether the token's time is over at `now` (milliseconds)."""
        return 0 < self.expire_time <= now


def token_name(token_id: str) -> str:
    """Return `tokens/{token}`."""
    return f"tokens/{token_id}"


def new_secret(random: RandomBytes) -> str:
    """Return a secret of 256 random bits, which callers send as it is."""
    return SECRET_PREFIX + encode_secret(random(SECRET_BYTES))


def digest_of(secret: str) -> bytes:
    """Return what is stored of a secret: enough against guessing, since a secret is no password but random."""
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()

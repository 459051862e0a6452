"""An account: where its mail is, how it is synced, and how that goes.

`Account` is one record with one writer at a time: whoever changes it writes `version + 1` and is refused when someone
else was faster (see `store.base`). Times are milliseconds since 1970 UTC.
"""

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import NamedTuple

from mailsync_grpc.model.ids import AccountNo, account_name
from mailsync_grpc.model.window import EVERYTHING, SyncMode, Window


class AccountKey(NamedTuple):
    """Both identities of an account: the interned number of the store and the id of the API."""

    no: AccountNo
    id: str


class AccountState(IntEnum):
    """Values are those of `mailsync.v1.AccountState`."""

    ACTIVE = 1
    PAUSED = 2
    AUTH_FAILED = 3
    UNREACHABLE = 4
    CREDENTIALS_NEEDED = 5


class AuthKind(IntEnum):
    """How an account logs in. Values are those of `mailsync.v1.AuthKind`."""

    PASSWORD = 1
    OAUTH = 2
    SECRET_REF = 3


class Security(IntEnum):
    """How the connection to the mail server is protected. Values are those of `mailsync.v1.ImapSecurity`."""

    IMPLICIT_TLS = 1
    STARTTLS = 2
    PLAINTEXT = 3


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """How an account is synced. Intervals are seconds."""

    poll_interval: float = 30.0
    full_interval: float = 86_400.0
    batch_size: int = 1_000
    flags_window: int = 200
    mode: SyncMode = SyncMode.FULL_METADATA
    window: Window = EVERYTHING


@dataclass(frozen=True, slots=True)
class Account:
    """One mail account as stored.

    `sealed_credentials` is ciphertext, of the proxy's password and the client certificate's key too; the API never returns
    it. `proxy_url` is without its password. `state_reason` is a reason of the error tree
    (`IMAP_AUTH_FAILED`), empty while ACTIVE, with `state_message` for people.
    `view_truncated` says that the mail server was seen to show its newest messages only.
    """

    no: AccountNo
    id: str
    version: int
    host: str
    port: int
    security: Security
    username: str
    sealed_credentials: bytes = field(repr=False)
    ca_pem: str = ""
    client_certificate_pem: str = ""
    proxy_url: str = ""
    auth_kind: AuthKind = AuthKind.PASSWORD
    display_name: str = ""
    email: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    settings: SyncSettings = SyncSettings()
    paused: bool = False
    state: AccountState = AccountState.ACTIVE
    state_reason: str = ""
    state_message: str = ""
    state_since: int = 0
    capabilities: tuple[str, ...] = ()
    view_truncated: bool = False
    create_time: int = 0
    update_time: int = 0

    @property
    def key(self) -> AccountKey:
        """The pair of identities that changes are addressed to."""
        return AccountKey(self.no, self.id)

    @property
    def name(self) -> str:
        """The resource name."""
        return account_name(self.id)

    def in_state(self, state: AccountState, now: int, reason: str = "", message: str = "") -> "Account":
        """Return the next version in `state`, or this very one when state and reason are the same."""
        if (state, reason) == (self.state, self.state_reason):
            return self
        return replace(
            self,
            version=self.version + 1,
            state=state,
            state_reason=reason,
            state_message=message,
            state_since=now,
        )

"""The Store protocol: what the rest of mailsync knows of any engine.

Writing is one call: `apply(batch)` makes every change of a batch, its events, its progress and its recorded answer
visible together or not at all, and returns when they are durable. No transaction crosses the protocol, so an engine
may gather batches of many threads into one commit (LMDB) or send each as one round trip (PostgreSQL).

Records that two processes may edit (Account, Folder, SyncRun, Intent, SealedTokens) carry a `version`. A change brings the next version and
is refused with `ConflictError` when the stored one is not its predecessor; a record that does not exist counts as 0.
Every batch is refused with `AccountNotFoundError` when its account is unknown or being deleted, except the batch that
creates it.

What is read of it is in `reading`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.model.access import AccessToken
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.changes import Change
from mailsync_grpc.model.folder import FolderKey, FolderProgress
from mailsync_grpc.model.ids import AccountNo, FolderNo, Revision
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.reading import StoreReading
from mailsync_grpc.store.values import (
    Authorization,
    RecordedAnswer,
    SealedTokens,
    Trimmed,
)

KEPT_RUNS = 100  # sync runs of each account, short of those that have not ended
KEPT_ANSWERS = 86_400  # seconds, recorded answers, and intents once they have ended
KEPT_LOG = 3_600  # seconds, events whatever the size of the log, short of a full store


class ConflictError(MailsyncError):
    """Another writer changed the record first; read it again and decide anew."""


class Counter(IntEnum):
    """What `Store.allocate` numbers. Numbers are never reused."""

    ACCOUNT = 1
    FOLDER = 2
    MIRROR = 3
    SYNC_RUN = 4
    INTENT = 5


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit changes, all of one account.

    `progress` replaces the progress of folders, of the very mirrors named; it makes no event. `outside` likewise
    replaces the UIDs that a folder's window leaves out. `run_progress` replaces run records without an event (for counts
    that advance with every batch). `tokens` replaces what the account's login renews, without an event, since nobody
    who lists accounts sees it. `intents` are put likewise. `request_id` marks the events as an API call's doing; where
    `causes` are given, one for each change, they do so instead.
    """

    account: AccountKey
    changes: tuple[Change, ...] = ()
    progress: tuple[tuple[FolderKey, FolderProgress], ...] = ()
    outside: tuple[tuple[FolderKey, UidSet], ...] = ()
    run_progress: tuple[SyncRun, ...] = ()
    tokens: SealedTokens | None = None
    intents: tuple[Intent, ...] = ()
    request_id: str = ""
    causes: tuple[str, ...] = ()
    answer: RecordedAnswer | None = None


@dataclass(frozen=True, slots=True)
class TokenEdit:
    """What one commit changes of the access tokens: those to store, those to drop, when some were last used.

    A dropped token's `last_used` is passed over, so a late note of its use does not bring it back.
    """

    put: tuple[AccessToken, ...] = ()
    drop: tuple[str, ...] = ()
    used: tuple[tuple[str, int], ...] = ()
    answer: RecordedAnswer | None = None


class AccessTable(NamedTuple):
    """The access tokens, in order of id, and whether there has ever been one: then nobody calls without."""

    tokens: tuple[AccessToken, ...]
    closed: bool


class Applied(NamedTuple):
    """The revisions of a batch's events, `first` to `last` included; with no events `first` is `last + 1`.

    `last` is then the revision at which the batch was committed.
    """

    first: Revision
    last: Revision


class AccessStore(Protocol):
    """The access tokens of a store. They are no one's account, make no event and have no revision."""

    def edit(self, edit: TokenEdit) -> None:
        """Commit a change durably. Raises StoreFullError, and ConflictError for a request answered meanwhile."""
        ...

    def table(self) -> AccessTable:
        """Return the access tokens."""
        ...

    def version(self) -> int:
        """Return a number that grows with each commit that makes or drops a token, or changes an account."""
        ...


class Store(StoreReading, Protocol):
    """A mirror with its event log: what changes it, and the reads. All methods block and may be called from any thread of the opening process."""

    @property
    def epoch(self) -> bytes:
        """Random 16 bytes, renewed when the store is restored or rebuilt."""
        ...

    @property
    def access(self) -> AccessStore:
        """The access tokens."""
        ...

    def close(self) -> None:
        """Finish what was queued and release the files."""
        ...

    # Writing

    def allocate(self, counter: Counter, count: int = 1) -> int:
        """Return the first of `count` consecutive new numbers, durable before it returns."""
        ...

    def apply(self, batch: Batch) -> Applied:
        """Commit a batch durably. A folder's record that names another mirror drops the one before.

        After a FolderReset the mirror before is dropped only by the folder's next FolderSynced, so that ids can be kept.

        Raises AccountNotFoundError, AccountExistsError, FolderNotFoundError, StoreFullError, and ConflictError also for
        flags of a UID that is not stored, an update with other flags than the stored ones, a move of what is not there,
        a mirror that was replaced, and a request answered meanwhile.
        """
        ...

    def keep_authorization(self, key: bytes, kept: Authorization) -> None:
        """Keep an authorization under a key of at most 64 octets until it expires; one under the same key is replaced."""
        ...

    def take_authorization(self, key: bytes) -> Authorization | None:
        """Return an authorization and forget it, so that one caller only has it; None when unknown or expired."""
        ...

    def touch(self, as_of: Sequence[tuple[AccountNo, FolderNo, int]]) -> None:
        """Record the time of the last look at folders; no event, no revision. Unknown folders are passed over."""
        ...

    def purge(self, limit: int) -> bool:
        """Delete up to `limit` rows of removed accounts and dropped mirrors, and what expired; True while some remain."""
        ...

    def trim_log(self, max_age: float, max_bytes: int, limit: int) -> Trimmed:
        """Drop up to `limit` events older than `max_age` seconds or beyond `max_bytes`, oldest first.

        An event that both bounds would drop counts as dropped by age.
        """
        ...

    # Waiting for commits

    def wait_for_intents(self, after: int, timeout: float) -> int:
        """Return how often intents were put as soon as it is more than `after`, else after `timeout` seconds.

        An account that is removed counts as one more: its intents are gone with it.
        Sees every process's, as `wait_for_commit` does.
        """
        ...

    def wait_for_commit(self, after: Revision, timeout: float) -> Revision:
        """Return the log's head as soon as it is beyond `after`, else after `timeout` seconds.

        Sees commits of every process; a lost hint only delays it, by 0.5 s at most.
        """
        ...


Clock = Callable[[], float]
"""Returns seconds since 1970 (UTC)."""

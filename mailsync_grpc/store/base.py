"""The Store protocol: what the rest of mailsync knows of any engine.

Writing is one call: `apply(batch)` makes every change of a batch, its events, its progress and its recorded answer
visible together or not at all, and returns when they are durable. No transaction crosses the protocol, so an engine
may gather batches of many threads into one commit (LMDB) or send each as one round trip (PostgreSQL).

Records that two processes may edit (Account, Folder, SyncRun, Intent, SealedTokens) carry a `version`. A change brings the next version and
is refused with `ConflictError` when the stored one is not its predecessor; a record that does not exist counts as 0.
Every batch is refused with `AccountNotFoundError` when its account is unknown or being deleted, except the batch that
creates it.

Reads are consistent in themselves, short, and name the revision they saw. Iteration over many rows is by pages.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.model.access import AccessToken
from mailsync_grpc.model.account import Account, AccountKey
from mailsync_grpc.model.changes import Change, KnownEnvelope
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import Folder, FolderKey, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo, Revision
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.values import (
    Authorization,
    EnvelopePage,
    EnvelopePlace,
    EnvelopeRow,
    FlagBlock,
    LogSlice,
    SealedTokens,
    StoreStats,
    Summary,
    Trimmed,
    Twin,
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


class RecordedAnswer(NamedTuple):
    """The answer to a request, kept 24 h so that a repeat of the request changes nothing (AIP-155).

    `scope` is the caller and method, `fingerprint` a hash of the request without its request_id.
    """

    scope: str
    request_id: str
    fingerprint: bytes
    response: bytes


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


class Store(Protocol):
    """A mirror with its event log. All methods block and may be called from any thread of the opening process."""

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

    # Reading the mirror

    def accounts(self, after: str = "", limit: int = 1_000) -> list[Account]:
        """Return accounts in order of id, those after `after`."""
        ...

    def account(self, account_id: str) -> Account | None:
        """Return the account of this id, None when unknown or being deleted."""
        ...

    def account_by_no(self, account: AccountNo) -> Account | None:
        """Return the account of this number, None when unknown or being deleted."""
        ...

    def tokens(self, account: AccountNo) -> SealedTokens:
        """Return what the account's login renews; version 0 and no octets for one that never had any."""
        ...

    def folders(self, account: AccountNo) -> list[tuple[Folder, FolderProgress]]:
        """Return every folder of an account, in order of number, with its progress."""
        ...

    def folder(self, account: AccountNo, folder_id: bytes) -> tuple[Folder, FolderProgress] | None:
        """Return the folder of this id."""
        ...

    def folder_by_no(self, account: AccountNo, folder: FolderNo) -> tuple[Folder, FolderProgress] | None:
        """Return the folder of this number."""
        ...

    def page(
        self, folder: Folder, after_uid: int | None, limit: int, max_bytes: int, newest_first: bool = True
    ) -> EnvelopePage:
        """Return up to `limit` envelopes beyond `after_uid` (None: from the start), at least one, then ≤ `max_bytes`."""
        ...

    def envelope(self, folder: Folder, uid: int) -> EnvelopeRow | None:
        """Return one envelope."""
        ...

    def locate(self, account: AccountNo, envelope_id: bytes) -> EnvelopePlace | None:
        """Return where the envelope of this id is."""
        ...

    def known(self, folder: Folder, uids: Sequence[int]) -> list[KnownEnvelope]:
        """Return what is stored of those of `uids` that are stored, in their order."""
        ...

    def twins(self, account: AccountNo, marks: Sequence[bytes]) -> list[Twin]:
        """Return the stored envelopes of an account whose ids begin with one of `marks` (`evidence.mark_of`)."""
        ...

    def outside(self, account: AccountNo, mirror: MirrorNo) -> UidSet:
        """Return the UIDs that the folder's window leaves out."""
        ...

    def summaries(self, account: AccountNo, mirror: MirrorNo, after_uid: int, limit: int) -> list[Summary]:
        """Return up to `limit` envelopes with UIDs above `after_uid`, ascending."""
        ...

    def flag_blocks(self, account: AccountNo, mirror: MirrorNo, first: int, limit: int) -> list[FlagBlock]:
        """Return up to `limit` blocks from number `first` up."""
        ...

    def newest_uids(self, account: AccountNo, mirror: MirrorNo, count: int) -> list[int]:
        """Return the `count` highest stored UIDs, ascending."""
        ...

    def flag_table(self, account: AccountNo, mirror: MirrorNo) -> dict[int, Flags]:
        """Return the folder's table from flag hash to flags."""
        ...

    def runs(self, account: AccountNo) -> list[SyncRun]:
        """Return the kept sync runs of an account, newest first (the last 100, and older ones that have not ended)."""
        ...

    def run(self, account: AccountNo, run: int) -> SyncRun | None:
        """Return one sync run."""
        ...

    def intent(self, account: AccountNo, intent: int) -> Intent | None:
        """Return one intent, kept until 24 h after its end at least."""
        ...

    def open_intents(self, account: AccountNo) -> list[Intent]:
        """Return the intents of an account that have not ended, in the order they were asked for."""
        ...

    def accounts_with_intents(self) -> set[AccountNo]:
        """Return the accounts that have intents which have not ended."""
        ...

    def wait_for_intents(self, after: int, timeout: float) -> int:
        """Return how often intents were put as soon as it is more than `after`, else after `timeout` seconds.

        An account that is removed counts as one more: its intents are gone with it.
        Sees every process's, as `wait_for_commit` does.
        """
        ...

    def recorded_answer(self, scope: str, request_id: str) -> RecordedAnswer | None:
        """Return the answer recorded for this request within the last 24 h."""
        ...

    # Reading the log

    def log(self, after: Revision, limit: int, max_bytes: int) -> LogSlice:
        """Return records after revision `after`, at least one if there is any, then up to both bounds.

        Raises RevisionCompactedError below the floor, RevisionInFutureError beyond the head.
        """
        ...

    def log_check(self, revision: Revision) -> int:
        """Return the check of the event at `revision` (the floor included; 0 at revision 0). Raises as `log`."""
        ...

    def wait_for_commit(self, after: Revision, timeout: float) -> Revision:
        """Return the log's head as soon as it is beyond `after`, else after `timeout` seconds.

        Sees commits of every process; a lost hint only delays it, by 0.5 s at most.
        """
        ...

    def stats(self) -> StoreStats:
        """Return sizes."""
        ...


Clock = Callable[[], float]
"""Returns seconds since 1970 (UTC)."""

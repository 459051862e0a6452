"""What is read of a store: the mirror and the event log, of any engine.

Reads are consistent in themselves, short, and name the revision they saw. Iteration over many rows is by pages.
"""

from collections.abc import Sequence
from typing import Protocol

from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import KnownEnvelope
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo, Revision
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.values import (
    EnvelopePage,
    EnvelopePlace,
    EnvelopeRow,
    FlagBlock,
    LogSlice,
    RecordedAnswer,
    SealedTokens,
    StoreStats,
    Summary,
    Twin,
)


class StoreReading(Protocol):
    """The reads of `Store`. All methods block and may be called from any thread of the opening process."""

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

    def stats(self) -> StoreStats:
        """Return sizes."""
        ...

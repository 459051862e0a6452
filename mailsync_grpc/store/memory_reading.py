"""The reads of the store in memory, each under its lock."""

import sys
import threading
from collections.abc import Sequence

from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import KnownEnvelope
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo, Revision
from mailsync_grpc.model.intent import Intent
from mailsync_grpc.model.run import SyncRun
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Clock
from mailsync_grpc.store.memory_answers import MemoryAnswers
from mailsync_grpc.store.memory_log import MemoryLog
from mailsync_grpc.store.memory_mirror import Mirror
from mailsync_grpc.store.memory_state import AccountState
from mailsync_grpc.store.values import (
    NO_TOKENS,
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


class MemoryReading:
    """`StoreReading` of what the store in memory holds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._accounts: dict[AccountNo, AccountState] = {}
        self._answers = MemoryAnswers()
        self._log = MemoryLog()

    # Reading the mirror

    def accounts(self, after: str = "", limit: int = 1_000) -> list[Account]:
        """As `Store.accounts`."""
        with self._lock:
            found = [state.account for state in self._accounts.values() if state.account]
        return sorted((one for one in found if one.id > after), key=lambda one: one.id)[:limit]

    def account(self, account_id: str) -> Account | None:
        """As `Store.account`."""
        return next(
            (account for account in self.accounts(limit=sys.maxsize) if account.id == account_id), None
        )

    def account_by_no(self, account: AccountNo) -> Account | None:
        """As `Store.account_by_no`."""
        with self._lock:
            return self._known(account)

    def _known(self, no: AccountNo) -> Account | None:
        state = self._accounts.get(no)
        return state.account if state else None

    def tokens(self, account: AccountNo) -> SealedTokens:
        """As `Store.tokens`."""
        with self._lock:
            state = self._accounts.get(account)
            return state.tokens if state else NO_TOKENS

    def folders(self, account: AccountNo) -> list[tuple[Folder, FolderProgress]]:
        """As `Store.folders`."""
        with self._lock:
            state = self._accounts.get(account)
            found = state.folders.items() if state else ()
            return [(folder, state.progress[number]) for number, folder in sorted(found)] if state else []

    def folder(self, account: AccountNo, folder_id: bytes) -> tuple[Folder, FolderProgress] | None:
        """As `Store.folder`."""
        return next((found for found in self.folders(account) if found[0].id == folder_id), None)

    def folder_by_no(self, account: AccountNo, folder: FolderNo) -> tuple[Folder, FolderProgress] | None:
        """As `Store.folder_by_no`."""
        return next((found for found in self.folders(account) if found[0].no == folder), None)

    def _mirror(self, account: AccountNo, mirror: MirrorNo) -> Mirror:
        state = self._accounts.get(account)
        found = state.mirrors.get(mirror) if state else None
        return found if found and not found.former else Mirror(FolderNo(0))

    def page(
        self, folder: Folder, after_uid: int | None, limit: int, max_bytes: int, newest_first: bool = True
    ) -> EnvelopePage:
        """As `Store.page`."""
        with self._lock:
            mirror = self._mirror(folder.account.no, folder.mirror)
            rows, more = mirror.page(after_uid, max(limit, 1), max_bytes, newest_first=newest_first)
            return EnvelopePage(rows, more, self._log.head)

    def envelope(self, folder: Folder, uid: int) -> EnvelopeRow | None:
        """As `Store.envelope`."""
        with self._lock:
            return self._mirror(folder.account.no, folder.mirror).rows.get(uid)

    def locate(self, account: AccountNo, envelope_id: bytes) -> EnvelopePlace | None:
        """As `Store.locate`."""
        with self._lock:
            state = self._accounts.get(account)
            place = state.places.get(envelope_id) if state else None
            mirror = state.mirrors[place[0]] if state and place else None
            return EnvelopePlace(mirror.folder, place[1]) if mirror and place and not mirror.former else None

    def twins(self, account: AccountNo, marks: Sequence[bytes]) -> list[Twin]:
        """As `Store.twins`."""
        with self._lock:
            state = self._accounts.get(account)
            return list(state.twins(marks)) if state else []

    def outside(self, account: AccountNo, mirror: MirrorNo) -> UidSet:
        """As `Store.outside`."""
        with self._lock:
            return self._mirror(account, mirror).outside

    def summaries(self, account: AccountNo, mirror: MirrorNo, after_uid: int, limit: int) -> list[Summary]:
        """As `Store.summaries`."""
        with self._lock:
            return self._mirror(account, mirror).summaries(after_uid, limit)

    def known(self, folder: Folder, uids: Sequence[int]) -> list[KnownEnvelope]:
        """As `Store.known`."""
        with self._lock:
            return self._mirror(folder.account.no, folder.mirror).known(uids)

    def flag_blocks(self, account: AccountNo, mirror: MirrorNo, first: int, limit: int) -> list[FlagBlock]:
        """As `Store.flag_blocks`."""
        with self._lock:
            return self._mirror(account, mirror).blocks(first, limit)

    def newest_uids(self, account: AccountNo, mirror: MirrorNo, count: int) -> list[int]:
        """As `Store.newest_uids`."""
        with self._lock:
            uids = sorted(self._mirror(account, mirror).rows)
        return uids[max(len(uids) - count, 0) :]

    def flag_table(self, account: AccountNo, mirror: MirrorNo) -> dict[int, Flags]:
        """As `Store.flag_table`."""
        with self._lock:
            return dict(self._mirror(account, mirror).table)

    def runs(self, account: AccountNo) -> list[SyncRun]:
        """As `Store.runs`."""
        with self._lock:
            state = self._accounts.get(account)
            return [state.runs[number] for number in sorted(state.runs, reverse=True)] if state else []

    def run(self, account: AccountNo, run: int) -> SyncRun | None:
        """As `Store.run`."""
        return next((found for found in self.runs(account) if found.no == run), None)

    def intent(self, account: AccountNo, intent: int) -> Intent | None:
        """As `Store.intent`."""
        with self._lock:
            state = self._accounts.get(account)
            return state.intents.get(intent) if state else None

    def open_intents(self, account: AccountNo) -> list[Intent]:
        """As `Store.open_intents`."""
        with self._lock:
            state = self._accounts.get(account)
            found = sorted(state.intents.items()) if state else []
        return [intent for _, intent in found if not intent.ended]

    def accounts_with_intents(self) -> set[AccountNo]:
        """As `Store.accounts_with_intents`."""
        with self._lock:
            return {account for account in self._accounts if self.open_intents(account)}

    def recorded_answer(self, scope: str, request_id: str) -> RecordedAnswer | None:
        """As `Store.recorded_answer`."""
        with self._lock:
            return self._answers.get(scope, request_id, self._clock())

    # Reading the log

    def log(self, after: Revision, limit: int, max_bytes: int) -> LogSlice:
        """As `Store.log`."""
        with self._lock:
            return self._log.read(after, limit, max_bytes)

    def log_check(self, revision: Revision) -> int:
        """As `Store.log_check`."""
        with self._lock:
            return self._log.check(revision)

    def stats(self) -> StoreStats:
        """As `Store.stats`; there are no files."""
        with self._lock:
            envelopes = sum(
                len(mirror.rows) for state in self._accounts.values() for mirror in state.mirrors.values()
            )
            log = self._log
            times = log.oldest_time, log.newest_time
            return StoreStats(0, log.bytes, log.floor, log.head, *times, envelopes, len(self._accounts))

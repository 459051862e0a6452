"""The event log in memory: records in a row, the oldest at the floor."""

from collections.abc import Iterable, Iterator

import xxhash

from mailsync_grpc.errors import RevisionCompactedError, RevisionInFutureError
from mailsync_grpc.model.ids import AccountNo, Revision
from mailsync_grpc.store.base import KEPT_LOG
from mailsync_grpc.store.codec.event import commit_time_field, stamp
from mailsync_grpc.store.prepare import PreparedChange
from mailsync_grpc.store.values import LogRecord, LogSlice, Trimmed

_MILLIS = 1_000


class MemoryLog:
    """Records of the revisions from `floor` (not included) to `head`. Not safe by itself; the store locks."""

    def __init__(self) -> None:
        self.floor = Revision(0)
        self.bytes = 0
        self._floor_check = 0
        self._last_time = 0
        self._records: list[LogRecord] = []
        self._erased: dict[AccountNo, Revision] = {}

    @property
    def head(self) -> Revision:
        """The newest revision."""
        return Revision(self.floor + len(self._records))

    @property
    def oldest_time(self) -> int:
        """Commit time of the oldest kept event, 0 without any."""
        return self._records[0].commit_time if self._records else 0

    @property
    def newest_time(self) -> int:
        """Commit time of the newest kept event, 0 without any."""
        return self._records[-1].commit_time if self._records else 0

    def append(self, account: AccountNo, changes: Iterable[PreparedChange], now: float) -> None:
        """Write an event for each change, in order. Commit times never go back."""
        self._last_time = max(self._last_time, int(now * _MILLIS))
        stamped = commit_time_field(self._last_time)
        for change in changes:
            revision = Revision(self.head + 1)
            event = stamp(revision, stamped, change.event)
            check = xxhash.xxh3_64_intdigest(event)
            self._records.append(
                LogRecord(
                    revision,
                    self._last_time,
                    change.kind,
                    account,
                    change.folder,
                    change.other_folder,
                    check,
                    event,
                )
            )
            self.bytes += len(event)

    def read(self, after: Revision, limit: int, max_bytes: int) -> LogSlice:
        """As `Store.log`."""
        self._require(after)
        records: list[LogRecord] = []
        for record in self._records[after - self.floor :][: max(limit, 1)]:
            if record.revision < self._erased.get(record.account, 0):
                record = record._replace(event=b"")
            max_bytes -= len(record.event)
            if records and max_bytes < 0:
                break
            records.append(record)
        return LogSlice(records, self.floor, self.head)

    def check(self, revision: Revision) -> int:
        """As `Store.log_check`."""
        self._require(revision)
        return self._records[revision - self.floor - 1].check if revision > self.floor else self._floor_check

    def _require(self, revision: Revision) -> None:
        if revision < self.floor:
            raise RevisionCompactedError(self.floor, self.head)
        if revision > self.head:
            raise RevisionInFutureError(f"revision {revision} was never written (head is {self.head})")

    def trim(self, max_age: float, max_bytes: int, limit: int, now: float) -> Trimmed:
        """As `Store.trim_log`."""
        by_age = by_size = 0
        while by_age + by_size < limit and self._is_due(max_age, max_bytes, now):
            aged = self._is_aged(max_age, now)
            record = self._records.pop(0)
            self.floor, self._floor_check = record.revision, record.check
            self.bytes -= len(record.event)
            by_age += aged
            by_size += not aged
        return Trimmed(by_age, by_size, self._is_due(max_age, max_bytes, now))

    def _is_due(self, max_age: float, max_bytes: int, now: float) -> bool:
        return self._is_aged(max_age, now) or (self.bytes > max_bytes and self._is_aged(0, now))

    def _is_aged(self, max_age: float, now: float) -> bool:
        return bool(self._records) and now - self.oldest_time / _MILLIS > max(max_age, KEPT_LOG)

    def erase(self, account: AccountNo, until: Revision) -> Iterator[None]:
        """Erase the payloads of an account's events below `until`: for readers now, from the log one a step."""
        self._erased[account] = until
        return self._erase(account, until)

    def _erase(self, account: AccountNo, until: Revision) -> Iterator[None]:
        for revision in range(self.floor + 1, until):
            if revision > self.floor:
                record = self._records[revision - self.floor - 1]
                if record.account == account:
                    self.bytes -= len(record.event)
                    self._records[revision - self.floor - 1] = record._replace(event=b"")
                yield

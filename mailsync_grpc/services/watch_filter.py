"""Which events a stream carries: the caller's filter, checked and turned into numbers that a log record can be held against.

Matching is pure and looks at a record's numbers only, never into the event. A filter names accounts and folders as they
are when the stream begins; an account that is deleted and made anew under the same id is another account.
"""

from dataclasses import dataclass
from hashlib import sha256

from mailsync_grpc.errors import AccountNotFoundError, FolderNotFoundError, NotImplementedYetError
from mailsync_grpc.model.changes import EventKind
from mailsync_grpc.model.ids import AccountNo, FolderNo, account_name
from mailsync_grpc.services import fields
from mailsync_grpc.services.tokens import Reach
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.values import LogRecord
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1.event_service_pb2 import EventFilter

MAX_SHARES = 256
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 ÷ golden ratio: spreads consecutive numbers (Fibonacci hashing)
_HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Filter:
    """What passes; None means anything. `share` is (index, count). `reach` is what resume tokens are bound to.

    Streams with equal `key` are given the same bytes.
    """

    reach: Reach
    key: bytes = b""
    accounts: frozenset[AccountNo] | None = None
    folders: frozenset[FolderNo] | None = None
    types: frozenset[EventKind] | None = None
    share: tuple[int, int] | None = None

    def admits(self, record: LogRecord) -> bool:
        """Whether the record's event is to be sent. Erased payloads never are."""
        if not record.event or (self.types is not None and record.kind not in self.types):
            return False
        if self.accounts is not None and record.account not in self.accounts:
            return False
        if (
            self.folders is not None
            and record.folder
            and not {record.folder, record.other_folder} & self.folders
        ):
            return False
        return self.share is None or part(record.account) % self.share[1] == self.share[0]


def part(account: AccountNo) -> int:
    """Return the part of an account, 0 to 255: what shares divide."""
    return (account * _GOLDEN & 0xFFFF_FFFF_FFFF_FFFF) >> 56


def compile_filter(message: EventFilter, store: Store) -> Filter:
    """Return the filter that `message` asks for.

    Raises InvalidFieldError, AccountNotFoundError, FolderNotFoundError, NotImplementedYetError.
    """
    _refuse_unbuilt(message)
    types = _types(message)
    share = _share(message)
    accounts = [_account(store, fields.account_id(name, "filter.accounts")) for name in message.accounts]
    folders = [_folder(store, name) for name in message.folders]
    within = [set(found) for found in (accounts, [account for account, _ in folders]) if found]
    among = frozenset(set.intersection(*within)) if within else None
    canonical = _canonical(message)
    numbers = repr((sorted(accounts), sorted(folders))).encode()
    return Filter(
        reach=Reach(sha256(canonical).digest()[:_HASH_BYTES], among),
        key=sha256(canonical + numbers).digest(),
        accounts=among,
        folders=frozenset(folder for _, folder in folders) or None,
        types=types,
        share=share,
    )


def _refuse_unbuilt(message: EventFilter) -> None:
    if message.account_labels:
        raise NotImplementedYetError("filter.account_labels is not in this version; name the accounts")
    if message.view not in {envelope_pb2.ENVELOPE_VIEW_UNSPECIFIED, envelope_pb2.ENVELOPE_VIEW_FULL}:
        raise NotImplementedYetError(
            "filter.view is not in this version; events carry whole envelopes (FULL)"
        )


def _types(message: EventFilter) -> frozenset[EventKind] | None:
    known = {int(kind) for kind in EventKind}
    faults = fields.Violations()
    faults.unless(
        known.issuperset(message.types), "filter.types", "values of EventType other than UNSPECIFIED"
    )
    faults.raise_any()
    types = frozenset(EventKind(number) for number in message.types) or frozenset(EventKind)
    if message.exclude_backfill:
        types -= {EventKind.BACKFILLED}
    return None if types == frozenset(EventKind) else types


def _share(message: EventFilter) -> tuple[int, int] | None:
    index, count = message.share.index, message.share.count
    faults = fields.Violations()
    faults.unless(count <= MAX_SHARES, "filter.share.count", f"at most {MAX_SHARES}; 0 for no sharing")
    faults.unless(index < max(count, 1), "filter.share.index", "less than filter.share.count")
    faults.raise_any()
    return (index, count) if count > 1 else None


def _account(store: Store, account_id: str) -> AccountNo:
    account = store.account(account_id)
    if account is None:
        raise AccountNotFoundError(account_name(account_id))
    return account.no


def _folder(store: Store, name: str) -> tuple[AccountNo, FolderNo]:
    ref = fields.folder_ref(name, "filter.folders")
    account = _account(store, ref.account_id)
    found = store.folder(account, ref.folder_id)
    if found is None:
        raise FolderNotFoundError(name)
    return account, found[0].no


def _canonical(message: EventFilter) -> bytes:
    """Return the same bytes for filters that mean the same."""
    plain = EventFilter()
    plain.CopyFrom(message)
    plain.ClearField("view")
    for field in ("accounts", "folders", "types"):
        values: list[object] = sorted(set(getattr(plain, field)))
        plain.ClearField(field)
        getattr(plain, field).extend(values)
    return plain.SerializeToString(deterministic=True)

"""Which events a stream carries: the caller's filter, checked, and held against records of the log.

A filter names accounts and folders, and so do events; a record has their numbers too. Which of them belong to a name is
learned from the first event that has both, so that matching looks at numbers only. A name stands for whatever bears it:
a stream goes on over the deletion of an account, to the one that is made anew under the same id.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import EventKind
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import AccountNo, FolderNo, account_name
from mailsync_grpc.services import fields
from mailsync_grpc.services.account_fields import check_labels
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.lookup import find_folder
from mailsync_grpc.services.tokens import Members, Reach, pack_members
from mailsync_grpc.store.codec.event_view import in_view, moved_from, origin
from mailsync_grpc.store.codec.identity import View
from mailsync_grpc.store.values import LogRecord
from mailsync_grpc.v1.event_service_pb2 import EventFilter

MAX_SHARES = 256
MAX_NAMES = 10_000
"""Accounts or folders that a filter may name."""
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 ÷ golden ratio: spreads consecutive numbers (Fibonacci hashing)
_HASH_BYTES = 16


class AccountNames:
    """Names of accounts by number, learned from events; one for all streams of a store."""

    def __init__(self) -> None:
        self._names: dict[AccountNo, bytes] = {}

    def of(self, record: LogRecord) -> bytes:
        """Return the name of the record's account; its payload must not be erased."""
        name = self._names.get(record.account)
        if name is None:
            name = self._names[record.account] = origin(record.event)[0]
        return name


class FolderNames:
    """The folders that a filter names, with the numbers that were seen to be theirs or not.

    Only folders of the filter's own accounts are ever asked for, so there are few.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self._texts = {name.encode() for name in names}
        self._known: dict[FolderNo, bool] = {}

    def has(self, record: LogRecord) -> bool:
        """Whether one of the record's folders has one of the names."""
        if self._is_named(record.folder, record.event, _folder_of):
            return True
        return bool(record.other_folder) and self._is_named(record.other_folder, record.event, moved_from)

    def _is_named(self, folder: FolderNo, event: bytes, name_in: Callable[[bytes], bytes]) -> bool:
        found = self._known.get(folder)
        if found is None:
            found = self._known[folder] = name_in(event) in self._texts
        return found


def _folder_of(event: bytes) -> bytes:
    return origin(event)[1]


@dataclass(frozen=True, slots=True)
class Filter:
    """What passes; None means anything. `share` is (index, count). `reach` is what resume tokens are bound to.

    `members` are the accounts that may be shown at the moment, where `labels` or the caller's rights limit them;
    `packed_members` is what tokens say of them. Streams with equal `key` are given the same bytes.
    """

    reach: Reach
    key: bytes = b""
    accounts: frozenset[bytes] | None = None
    folders: FolderNames | None = None
    types: frozenset[EventKind] | None = None
    share: tuple[int, int] | None = None
    view: View = View.FULL
    labels: tuple[tuple[str, str], ...] = ()
    members: Members | None = None
    packed_members: bytes = field(default=b"", repr=False)
    account_names: AccountNames = field(default_factory=AccountNames, repr=False)

    def admits(self, record: LogRecord) -> bool:
        """Whether the record's event is to be sent. Erased payloads never are."""
        if not record.event or (self.types is not None and record.kind not in self.types):
            return False
        if self.members is not None and record.account not in self.members:
            return False
        if self.accounts is not None and self.account_names.of(record) not in self.accounts:
            return False
        if self.folders is not None and record.folder and not self.folders.has(record):
            return False
        return self._in_share(record.account)

    def shown(self, record: LogRecord) -> bytes:
        """Return the event as it is sent."""
        return in_view(record.event, record.kind, self.view)

    @property
    def account_ids(self) -> frozenset[str] | None:
        """The ids of the accounts that are named, None without names."""
        return self.reach.accounts

    def shows_account(self, account: Account) -> bool:
        """Whether the state of this account is part of a snapshot."""
        return self.is_of(account) and (self.members is None or account.no in self.members)

    def is_of(self, account: Account) -> bool:
        """Whether the account is among the named ones and in the share, be it shown at the moment or not."""
        named = self.account_ids is None or account.id in self.account_ids
        return named and self._in_share(account.no)

    def shows_folder(self, folder: Folder) -> bool:
        """Whether the state of this folder of such an account is part of a snapshot."""
        return self.folders is None or folder.name in self.folders.names

    def among(self, members: Members | None) -> "Filter":
        """Return the filter with these accounts as those that may be shown."""
        packed = pack_members(members)
        key = sha256(self.reach.filter_hash + bytes((self.view,)) + packed).digest()
        return replace(self, members=members, packed_members=packed, key=key)

    def _in_share(self, account: AccountNo) -> bool:
        return self.share is None or part(account) % self.share[1] == self.share[0]


def part(account: AccountNo) -> int:
    """Return the part of an account, 0 to 255: what shares divide."""
    return (account * _GOLDEN & 0xFFFF_FFFF_FFFF_FFFF) >> 56


def compile_filter(message: EventFilter, account_names: AccountNames) -> Filter:
    """Return the filter that `message` asks for. Raises InvalidFieldError."""
    faults = fields.Violations()
    for field_name, names in (("filter.accounts", message.accounts), ("filter.folders", message.folders)):
        faults.unless(len(names) <= MAX_NAMES, field_name, f"at most {MAX_NAMES} names")
    faults.raise_any()
    accounts = frozenset(fields.account_id(name, "filter.accounts") for name in message.accounts)
    within = frozenset(fields.folder_ref(name, "filter.folders").account_id for name in message.folders)
    limits = [found for found in (accounts, within) if found]
    among = frozenset.intersection(*limits) if limits else None
    faults = fields.Violations()
    check_labels(message.account_labels, "filter.account_labels", faults)
    faults.raise_any()
    canonical = sha256(_canonical(message)).digest()[:_HASH_BYTES]
    found = Filter(
        reach=Reach(canonical, among),
        accounts=None if among is None else frozenset(account_name(each).encode() for each in among),
        folders=FolderNames(frozenset(message.folders)) if message.folders else None,
        types=_types(message),
        share=_share(message),
        view=fields.view(message.view, View.FULL, "filter.view"),
        labels=tuple(sorted(message.account_labels.items())),
        account_names=account_names,
    )
    return found.among(None)


def require_named(message: EventFilter, core: Core) -> None:
    """Raise AccountNotFoundError or FolderNotFoundError for the first name that nothing bears, as far as the caller may know.

    Only asked of those who begin: what a token was made for existed then.
    """
    for name in message.accounts:
        core.account(fields.account_id(name, "filter.accounts"))
    for name in message.folders:
        find_folder(core, name, "filter.folders")


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


def _canonical(message: EventFilter) -> bytes:
    """Return the same bytes for filters that mean the same; a view changes nothing of what is covered."""
    plain = EventFilter()
    plain.CopyFrom(message)
    plain.ClearField("view")
    for name in ("accounts", "folders", "types"):
        values: list[object] = sorted(set(getattr(plain, name)))
        plain.ClearField(name)
        getattr(plain, name).extend(values)
    return plain.SerializeToString(deterministic=True)

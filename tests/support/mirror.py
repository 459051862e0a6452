"""The sync core over a mail server and a memory store, without processes or services: a turn at a time."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any

from mailsync_grpc.imap.auth import Credentials, Password
from mailsync_grpc.imap.budget import Limits, Use
from mailsync_grpc.imap.connecting import Login, endpoint_of, leased
from mailsync_grpc.imap.connection import Connection, connect
from mailsync_grpc.imap.endpoint import Policy
from mailsync_grpc.imap.ledger import Ledger
from mailsync_grpc.model.account import Account, Security, SyncSettings
from mailsync_grpc.model.changes import AccountChanged, FolderChanged, FolderChangeKind, SyncRunChanged
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo, Selection
from mailsync_grpc.model.ids import AccountNo, Revision
from mailsync_grpc.model.run import RunKind, SyncRun
from mailsync_grpc.model.window import SyncMode, Window
from mailsync_grpc.store.base import Batch, Counter, Store
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import LogRecord
from mailsync_grpc.sync.account import AccountSync
from mailsync_grpc.sync.environment import Environment
from mailsync_grpc.v1 import envelope_pb2, event_pb2
from tests.support.mail import AnyMailbox

POLICY = Policy(allow_networks=(ip_network("127.0.0.0/8"),), allow_plaintext=True)


@dataclass(slots=True)
class SkippingClock:
    """A monotonic clock that a test can move ahead."""

    skipped: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.skipped


@dataclass(slots=True)
class Mirror:
    """One account mirrored from `mailbox` into `store`. The machine's clock is set `wall_set` seconds ahead."""

    mailbox: AnyMailbox
    settings: SyncSettings = field(default_factory=SyncSettings)
    store: Store = field(default_factory=MemoryStore)
    clock: SkippingClock = field(default_factory=SkippingClock)
    policy: Policy = POLICY
    account_id: str = "test"
    wall_set: float = 0.0
    login: Login | None = None
    books: Ledger = field(default_factory=lambda: Ledger(lambda _: Limits()))
    account: Account = field(init=False)
    sync: AccountSync = field(init=False)
    connections: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take up the account as it is stored; one that is not is registered with its first full sync run."""
        self.account = self.store.account(self.account_id) or self._registered()
        self.restart()

    def _registered(self) -> Account:
        account = Account(
            no=AccountNo(self.store.allocate(Counter.ACCOUNT)),
            id=self.account_id,
            version=1,
            host=self.mailbox.host,
            port=self.mailbox.port,
            security=Security.PLAINTEXT,
            username=self.mailbox.user,
            sealed_credentials=b"sealed",
            settings=self.settings,
        )
        run = SyncRun(account.key, self.store.allocate(Counter.SYNC_RUN), 1, RunKind.INITIAL)
        self.store.apply(Batch(account.key, (AccountChanged(account), SyncRunChanged(run))))
        return account

    def set_window(self, window: Window) -> None:
        """Change the account's window, as an API call does."""
        self.configure(window=window)

    def set_mode(self, mode: SyncMode) -> None:
        """Change how much is mirrored, as an API call does."""
        self.configure(mode=mode)

    def configure(self, **settings: Any) -> None:
        """Change these of the account's settings, as an API call does."""
        account = self.store.account_by_no(self.account.no)
        assert account is not None
        self.settings = replace(self.settings, **settings)
        changed = replace(account, version=account.version + 1, settings=self.settings)
        self.store.apply(Batch(account.key, (AccountChanged(changed),)))

    def now(self) -> float:
        """Seconds since 1970 as the sync core sees them."""
        return time.time() + self.clock.skipped + self.wall_set

    def restart(self) -> None:
        """Forget all that a worker knows and drop its connections, as a killed process does."""
        for connection in self.connections:
            connection.close()
        self.sync = AccountSync(
            Environment(
                store=self.store,
                connect=self._connect,
                clock=self.clock,
                now=lambda: int(self.now() * 1_000),
                random=os.urandom,
                draw=lambda: 0.5,
                stopping=lambda: False,
            ),
            self.account.no,
        )

    def _connect(self, account: Account) -> Connection:
        def attempt(credentials: Credentials) -> Connection:
            with leased(self.books, account.host, account.username, Use.POLL) as lease:
                return connect(endpoint_of(account), self.policy, credentials, lease=lease)

        password = Password(self.mailbox.user, self.mailbox.password)
        self.connections.append(self.login(attempt) if self.login else attempt(password))
        return self.connections[-1]

    # Driving

    def settle(self) -> None:
        """Take turns until the account waits for its next poll."""
        for _ in range(1_000):
            planned = self.sync.turn(nudged=True)
            assert planned is not None, "the account is gone"
            if planned.backfill is None and planned.poll > self.clock():
                return
        raise AssertionError("the account never came to rest")

    def sync_also(self, *folders: str) -> None:
        """Settle with these folders chosen, too."""
        self.settle()
        for folder in folders:
            self.select(folder)
        self.settle()

    def poll(self) -> None:
        """Let the poll interval pass and take the turns that it brings."""
        self.clock.skipped += 2 * self.settings.poll_interval
        self.settle()

    def close(self) -> None:
        """Close what is open."""
        self.sync.close()
        self.store.close()

    # Looking

    def folder(self, name: str = "INBOX") -> tuple[Folder, FolderProgress]:
        """Return the record and the progress of the folder of this display name."""
        return next(pair for pair in self.store.folders(self.account.no) if pair[0].display_name == name)

    def envelopes(self, name: str = "INBOX") -> Iterator[envelope_pb2.Envelope]:
        """Yield the stored envelopes of a folder, without their identity, ascending by UID."""
        folder, _ = self.folder(name)
        page = self.store.page(folder, None, 100_000, 1 << 30, newest_first=False)
        for row in page.rows:
            yield envelope_pb2.Envelope.FromString(
                envelope_pb2.Envelope(uid=row.uid).SerializeToString() + row.flags + row.basic + row.detail
            )

    def flags(self, name: str = "INBOX") -> dict[int, frozenset[str]]:
        r"""Return each stored UID with its flags, spelled as on the wire."""
        return {envelope.uid: frozenset(_names(envelope.flags)) for envelope in self.envelopes(name)}

    def same_as_server(self, name: str = "INBOX") -> bool:
        """Whether the folder holds the server's UIDs with the server's flags."""
        return self.flags(name) == self.mailbox.flags_by_uid(name)

    def ids(self, name: str = "INBOX") -> dict[int, bytes]:
        """Return the lasting id of each stored envelope of a folder, by UID."""
        page = self.store.page(self.folder(name)[0], None, 100_000, 1 << 30, newest_first=False)
        return {row.uid: row.envelope_id for row in page.rows}

    def select(self, name: str) -> None:
        """Choose the folder for sync, as an API call does."""
        folder, _ = self.folder(name)
        self._choose(replace(folder, selection=Selection.SELECTED), FolderChangeKind.SELECTED)

    def deselect(self, name: str = "INBOX") -> None:
        """Choose that the folder is not synced, as an API call does; what was stored of it is out of reach."""
        folder, _ = self.folder(name)
        mirror = MirrorNo(self.store.allocate(Counter.MIRROR))
        chosen = replace(folder, mirror=mirror, selection=Selection.DESELECTED)
        self._choose(chosen, FolderChangeKind.DESELECTED)

    def _choose(self, chosen: Folder, kind: FolderChangeKind) -> None:
        chosen = replace(chosen, version=chosen.version + 1)
        self.store.apply(Batch(chosen.account, (FolderChanged(chosen, kind),)))

    def events(self, after: int = 0) -> list[event_pb2.Event]:
        """Return the events after a revision."""
        return [event_pb2.Event.FromString(record.event) for record in self.records(after)]

    def records(self, after: int = 0) -> list[LogRecord]:
        """Return the log records after a revision."""
        return self.store.log(Revision(after), 1_000_000, 1 << 30).records

    @property
    def head(self) -> int:
        """The log's head."""
        return self.store.stats().log_head


def kinds(events: list[event_pb2.Event]) -> list[str]:
    """Return the payload names of events."""
    return [str(event.WhichOneof("payload")) for event in events]


def _names(flags: envelope_pb2.Flags) -> Iterator[str]:
    for name in ("seen", "answered", "flagged", "deleted", "draft"):
        if getattr(flags, name):
            yield f"\\{name.capitalize()}"
    yield from flags.keywords

"""Values to fill a store with: accounts, folders, messages, and the few batches that nearly every test begins with."""

import random
from dataclasses import dataclass, replace

from mailsync_grpc.model import evidence
from mailsync_grpc.model.account import Account, AccountKey, Security
from mailsync_grpc.model.changes import (
    AccountChanged,
    Backfilled,
    EnvelopeAdded,
    FlagsChanged,
    FolderChanged,
    FolderChangeKind,
    NewEnvelope,
)
from mailsync_grpc.model.envelope import Address, Attachment, BodyPart, Envelope
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import ID_BYTES, AccountNo, FolderNo
from mailsync_grpc.model.run import RunKind, SyncRun
from mailsync_grpc.store.base import Applied, Batch, Counter, Store
from mailsync_grpc.store.values import EnvelopeRow

START = 1_700_000_000.0
EVERYTHING = 1 << 40


class ManualClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def envelope_of(uid: int, text: str = "") -> Envelope:
    """Realistic metadata, different for each UID and text."""
    sender = (Address(f"Person {uid % 7}", f"person{uid % 7}@example.org"),)
    return Envelope(
        internal_date=int(START) + uid,
        size=2_000 + uid,
        subject=f"Message {uid} {text}",
        from_=sender,
        sender=sender,
        reply_to=sender,
        to=(Address("", "me@example.org"),),
        message_id=f"{uid}.{text}@example.org",
        header_date=int(START) + uid,
        header_date_raw="Tue, 14 Nov 2023 22:13:20 +0000",
        references=(f"{uid - 1}@example.org",),
        text_parts=(BodyPart("1", "text", "plain", "utf-8", "7bit", 1_000 + uid, 30),),
        attachments=(Attachment("2", "a.pdf", "application", "pdf", 900, "", False, "base64", ""),)
        if uid % 4
        else (),
    )


def message_of(uid: int, *flags: str, text: str = "", envelope_id: bytes | None = None) -> NewEnvelope:
    """A message to store; its id follows from UID and text unless given."""
    envelope = envelope_of(uid, text)
    drawn = evidence.envelope_id(envelope, random.Random(f"{uid} {text}").randbytes(ID_BYTES))
    return NewEnvelope(uid, envelope_id or drawn, Flags.of(flags), envelope)


def copy_of(message: NewEnvelope, uid: int, *flags: str) -> NewEnvelope:
    """The same message at another UID, as a COPY makes it: with an id of its own."""
    drawn = evidence.envelope_id(message.envelope, random.Random(f"copy {uid}").randbytes(ID_BYTES))
    return NewEnvelope(uid, drawn, Flags.of(flags), message.envelope)


def account_of(store: Store, account_id: str = "acme") -> Account:
    """A new account's first version, not stored yet."""
    number = AccountNo(store.allocate(Counter.ACCOUNT))
    return Account(
        number, account_id, 1, "imap.example.org", 993, Security.IMPLICIT_TLS, "me", b"\x00sealed\xff"
    )


def folder_of(store: Store, account: AccountKey, name: str = "INBOX") -> Folder:
    """A new folder's first version, not stored yet."""
    number = FolderNo(store.allocate(Counter.FOLDER))
    mirror = MirrorNo(store.allocate(Counter.MIRROR))
    folder_id = random.Random(f"{account} {name} {number}").randbytes(ID_BYTES)
    return Folder(
        account, number, folder_id, mirror, 1, name.encode(), name, "/", by_default=True, uid_validity=77
    )


def run_of(store: Store, account: AccountKey) -> SyncRun:
    """A new sync run's first version, not stored yet."""
    return SyncRun(account, store.allocate(Counter.SYNC_RUN), 1, RunKind.REQUESTED)


@dataclass(slots=True)
class Mailbox:
    """One folder of one account in a store, with the changes tests make to it."""

    store: Store
    account: Account
    folder: Folder

    @classmethod
    def make(cls, store: Store, account_id: str = "acme", name: str = "INBOX") -> "Mailbox":
        """Create the account (unless it exists) and the folder."""
        account = store.account(account_id)
        if account is None:
            account = account_of(store, account_id)
            store.apply(Batch(account.key, (AccountChanged(account),)))
        folder = folder_of(store, account.key, name)
        store.apply(Batch(account.key, (FolderChanged(folder, FolderChangeKind.CREATED),)))
        return cls(store, account, folder)

    def add(self, *messages: NewEnvelope) -> Applied:
        """Announce messages as new."""
        changes = tuple(EnvelopeAdded(self.folder.key, message) for message in messages)
        return self.store.apply(Batch(self.account.key, changes))

    def backfill(self, *messages: NewEnvelope, progress: FolderProgress | None = None) -> Applied:
        """Store messages as history."""
        advanced = ((self.folder.key, progress),) if progress else ()
        return self.store.apply(Batch(self.account.key, (Backfilled(self.folder.key, messages),), advanced))

    def flag(self, uid: int, before: Flags, after: Flags) -> Applied:
        """Change the flags of a stored message."""
        row = self.store.envelope(self.folder, uid)
        envelope_id = row.envelope_id if row else bytes(ID_BYTES)
        change = FlagsChanged(self.folder.key, uid, envelope_id, before, after)
        return self.store.apply(Batch(self.account.key, (change,)))

    def rename(self, name: str) -> Applied:
        """Give the folder another name."""
        previous, self.folder = (
            self.folder,
            replace(self.folder, version=self.folder.version + 1, display_name=name, raw_name=name.encode()),
        )
        change = FolderChanged(self.folder, FolderChangeKind.RENAMED, previous.display_name)
        return self.store.apply(Batch(self.account.key, (change,)))

    def rows(self) -> list[EnvelopeRow]:
        """Every envelope, ascending by UID."""
        return all_rows(self.store, self.folder)


def all_rows(store: Store, folder: Folder, first: int = 1, last: int = 0xFFFFFFFF) -> list[EnvelopeRow]:
    """Every envelope of a folder with a UID from `first` to `last`, ascending, read by pages."""
    rows: list[EnvelopeRow] = []
    after = first - 1
    while True:
        page = store.page(folder, after, min(100, last - after + 1), EVERYTHING, newest_first=False)
        found = [row for row in page.rows if row.uid <= last]
        rows += found
        if not page.more or len(found) < len(page.rows):
            return rows
        after = rows[-1].uid

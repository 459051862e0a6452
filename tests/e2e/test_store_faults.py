"""A store that refuses a batch for a moment leaves the account sound: no connection out of step, no minute lost."""

from dataclasses import replace

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.errors import CredentialsNeededError, MailsyncError, StoreFullError
from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.model.account import Account, AccountState, SyncSettings
from mailsync_grpc.model.changes import AccountChanged, Backfilled, Change
from mailsync_grpc.store.base import Applied, Batch, ConflictError
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.sync.account import CONFLICT_DELAY
from tests.support.agreement import assert_agreed
from tests.support.hostile import HostileServer
from tests.support.mirror import Mirror


class RefusingStore(MemoryStore):
    """A store that refuses with `fault`, once, a batch that holds a change of `kind`."""

    def __init__(self) -> None:
        super().__init__()
        self.kind: type[Change] | None = None
        self.fault: MailsyncError = StoreFullError("for a moment")

    def refuse(self, kind: type[Change], fault: MailsyncError) -> None:
        self.kind, self.fault = kind, fault

    def apply(self, batch: Batch) -> Applied:
        """As `Store.apply`, but for the refusal."""
        if self.kind is not None and any(isinstance(change, self.kind) for change in batch.changes):
            self.kind = None
            raise self.fault
        return super().apply(batch)


@pytest.fixture
def store() -> RefusingStore:
    return RefusingStore()


@pytest.fixture
def mirror(hostile: HostileServer, store: RefusingStore) -> Mirror:
    hostile.mailbox.deliver(messages(30))
    return Mirror(hostile.mailbox, SyncSettings(batch_size=10, flags_window=10), store)


@pytest.mark.parametrize("fault", [StoreFullError("for a moment"), ConflictError("someone was faster")])
def test_a_batch_that_is_refused_leaves_no_answer_unread(
    mirror: Mirror, store: RefusingStore, fault: MailsyncError
) -> None:
    store.refuse(Backfilled, fault)
    mirror.settle()
    mirror.poll()
    assert store.kind is None
    assert_agreed(mirror)
    assert mirror.sync.backoff.failures == 0
    assert mirror.folder()[0].error_reason == ""
    mirror.close()


def test_missing_credentials_are_told_also_when_the_account_was_edited_meanwhile(
    mirror: Mirror, store: RefusingStore
) -> None:
    def connect(_account: Account) -> Connection:
        raise CredentialsNeededError("set them")

    mirror.sync.env = replace(mirror.sync.env, connect=connect)
    store.refuse(AccountChanged, ConflictError("someone was faster"))
    planned = mirror.sync.turn(nudged=True)
    assert planned is not None
    assert planned.poll <= mirror.clock() + CONFLICT_DELAY
    mirror.sync.turn(nudged=True)
    account = mirror.store.account("test")
    assert account is not None
    assert account.state is AccountState.CREDENTIALS_NEEDED
    mirror.close()

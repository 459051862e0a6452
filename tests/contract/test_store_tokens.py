"""What every engine promises about tokens of logins and authorizations on their way: told to nobody, never overwritten."""

import pytest

from mailsync_grpc.errors import AccountNotFoundError
from mailsync_grpc.model.changes import AccountChanged, AccountRemoved
from mailsync_grpc.store.base import Batch, ConflictError, Store
from mailsync_grpc.store.values import NO_TOKENS, Authorization, SealedTokens
from tests.support.store import Mailbox, ManualClock, account_of


def renew(inbox: Mailbox, version: int, sealed: bytes) -> None:
    inbox.store.apply(Batch(inbox.account.key, tokens=SealedTokens(version, sealed)))


def test_tokens_are_kept_without_an_event(inbox: Mailbox) -> None:
    head = inbox.store.stats().log_head
    assert inbox.store.tokens(inbox.account.no) == NO_TOKENS
    renew(inbox, 1, b"one")
    renew(inbox, 2, b"two")
    assert inbox.store.tokens(inbox.account.no) == SealedTokens(2, b"two")
    assert inbox.store.stats().log_head == head
    assert inbox.store.account(inbox.account.id) == inbox.account


def test_a_process_that_read_older_tokens_does_not_overwrite_newer_ones(inbox: Mailbox) -> None:
    renew(inbox, 1, b"one")
    for version in (0, 1, 3):
        with pytest.raises(ConflictError):
            renew(inbox, version, b"late")
    assert inbox.store.tokens(inbox.account.no) == SealedTokens(1, b"one")


def test_tokens_come_with_their_account_or_not_at_all(store: Store) -> None:
    account = account_of(store)
    batch = Batch(account.key, (AccountChanged(account),), tokens=SealedTokens(1, b"one"))
    store.apply(batch)
    assert store.tokens(account.no) == SealedTokens(1, b"one")
    with pytest.raises(ConflictError):
        store.apply(Batch(account.key, (AccountChanged(account),), tokens=SealedTokens(2, b"two")))
    assert store.tokens(account.no) == SealedTokens(1, b"one")


def test_tokens_go_with_their_account(inbox: Mailbox) -> None:
    renew(inbox, 1, b"one")
    inbox.store.apply(Batch(inbox.account.key, (AccountRemoved(inbox.account.key),)))
    assert inbox.store.tokens(inbox.account.no) == NO_TOKENS
    with pytest.raises(AccountNotFoundError):
        renew(inbox, 2, b"two")


def test_an_authorization_is_taken_once(store: Store, clock: ManualClock) -> None:
    kept = Authorization(b"sealed", int(clock() * 1_000) + 10_000)
    store.keep_authorization(b"key", kept)
    assert store.take_authorization(b"other") is None
    assert store.take_authorization(b"key") == kept
    assert store.take_authorization(b"key") is None


def test_an_authorization_that_expired_is_unknown_and_purged(store: Store, clock: ManualClock) -> None:
    ends = int(clock() * 1_000) + 10_000
    for key in (b"one", b"two"):
        store.keep_authorization(key, Authorization(b"sealed", ends))
    clock.now += 11
    assert store.take_authorization(b"one") is None
    assert not store.purge(100)
    clock.now -= 11
    assert store.take_authorization(b"two") is None

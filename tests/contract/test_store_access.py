"""What every engine promises about access tokens."""

from dataclasses import replace

import pytest

from mailsync_grpc.model.access import AccessToken, Reach, Scope
from mailsync_grpc.model.account import AccountState
from mailsync_grpc.model.changes import AccountChanged, AccountRemoved
from mailsync_grpc.store.base import Batch, ConflictError, Store, TokenEdit
from mailsync_grpc.store.values import RecordedAnswer
from tests.support.callers import token_of
from tests.support.store import Mailbox, message_of

FIRST, SECOND = token_of(1), token_of(2, Scope.READ_METADATA, expire_time=5)


def put(store: Store, *tokens: AccessToken) -> None:
    store.access.edit(TokenEdit(put=tokens))


def test_tokens_are_kept_as_they_are_in_order_of_id(store: Store) -> None:
    put(store, SECOND)
    put(store, FIRST)
    assert store.access.table().tokens == (FIRST, SECOND)


def test_a_token_keeps_which_accounts_it_is_for(inbox: Mailbox) -> None:
    limited = replace(FIRST, reach=Reach((inbox.account.key,), {"tenant": "a"}))
    put(inbox.store, limited)
    assert inbox.store.access.table().tokens == (limited,)


def test_a_dropped_token_is_gone_and_dropping_it_again_does_no_harm(store: Store) -> None:
    put(store, FIRST, SECOND)
    for _ in range(2):
        store.access.edit(TokenEdit(drop=(FIRST.id,)))
        assert store.access.table().tokens == (SECOND,)


def test_a_store_that_ever_had_a_token_says_so_for_good(store: Store) -> None:
    assert not store.access.table().closed
    put(store, FIRST)
    store.access.edit(TokenEdit(drop=(FIRST.id,)))
    assert store.access.table() == ((), True)


def test_the_last_use_of_a_token_is_kept_and_brings_no_dropped_one_back(store: Store) -> None:
    put(store, FIRST)
    store.access.edit(TokenEdit(used=((FIRST.id, 7), (SECOND.id, 7))))
    assert store.access.table().tokens == (replace(FIRST, last_used=7),)


def test_the_version_grows_when_tokens_or_accounts_change_and_with_nothing_else(store: Store) -> None:
    versions = [store.access.version()]

    def grew() -> bool:
        versions.append(store.access.version())
        return versions[-1] > versions[-2]

    inbox = Mailbox.make(store)
    assert grew()
    inbox.add(message_of(1))
    store.access.edit(TokenEdit(used=((FIRST.id, 7),)))
    assert not grew()
    put(store, FIRST)
    assert grew()
    store.access.edit(TokenEdit(drop=(FIRST.id,)))
    assert grew()
    account = inbox.account.in_state(AccountState.UNREACHABLE, 5, "IMAP_UNREACHABLE", "")
    store.apply(Batch(account.key, (AccountChanged(account),)))
    assert grew()
    store.apply(Batch(account.key, (AccountRemoved(account.key),)))
    assert grew()


def test_tokens_make_no_event(store: Store) -> None:
    put(store, FIRST)
    assert store.stats().log_head == 0


def test_an_answer_is_recorded_with_the_change_of_tokens_or_neither_is(store: Store) -> None:
    answer = RecordedAnswer("tokens/x CreateToken", "id", b"fingerprint", b"response")
    store.access.edit(TokenEdit(put=(FIRST,), answer=answer))
    assert store.recorded_answer(answer.scope, answer.request_id) == answer
    with pytest.raises(ConflictError):
        store.access.edit(TokenEdit(put=(SECOND,), answer=answer))
    assert store.access.table().tokens == (FIRST,)

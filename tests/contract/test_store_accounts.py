"""What every engine promises about accounts, their sync runs, and the answers recorded for their callers."""

from dataclasses import replace

import pytest

from mailsync_grpc.errors import AccountExistsError, AccountNotFoundError
from mailsync_grpc.model.account import AccountState
from mailsync_grpc.model.changes import (
    AccountChanged,
    AccountRemoved,
    Change,
    SyncRunChanged,
)
from mailsync_grpc.model.run import RunState
from mailsync_grpc.store.base import KEPT_ANSWERS, KEPT_RUNS, Batch, ConflictError, Counter, Store
from mailsync_grpc.store.values import RecordedAnswer
from tests.support.store import (
    Mailbox,
    ManualClock,
    account_of,
    message_of,
    run_of,
)


def apply(inbox: Mailbox, *changes: Change) -> None:
    inbox.store.apply(Batch(inbox.account.key, changes))


def test_numbers_are_allocated_once_and_in_blocks(store: Store) -> None:
    assert store.allocate(Counter.FOLDER, 5) == 1
    assert store.allocate(Counter.FOLDER) == 6
    assert store.allocate(Counter.MIRROR) == 1


def test_an_account_is_read_back_by_id_and_by_number(store: Store) -> None:
    account = account_of(store)
    store.apply(Batch(account.key, (AccountChanged(account),)))
    assert store.account(account.id) == store.account_by_no(account.no) == account
    assert store.account("other") is None


def test_accounts_are_listed_in_order_of_id_after_a_given_one(store: Store) -> None:
    for account_id in ("b", "a", "c", "a-1"):
        account = account_of(store, account_id)
        store.apply(Batch(account.key, (AccountChanged(account),)))
    assert [account.id for account in store.accounts()] == ["a", "a-1", "b", "c"]
    assert [account.id for account in store.accounts(after="a", limit=2)] == ["a-1", "b"]


def test_an_id_in_use_cannot_be_taken_again(inbox: Mailbox) -> None:
    other = account_of(inbox.store, inbox.account.id)
    with pytest.raises(AccountExistsError):
        inbox.store.apply(Batch(other.key, (AccountChanged(other),)))


def test_a_record_is_changed_only_from_its_last_version(inbox: Mailbox) -> None:
    changed = inbox.account.in_state(AccountState.UNREACHABLE, 5, "IMAP_UNREACHABLE", "no route")
    apply(inbox, AccountChanged(changed))
    with pytest.raises(ConflictError):
        apply(inbox, AccountChanged(changed))
    assert inbox.store.account(inbox.account.id) == changed


def test_a_batch_of_an_unknown_account_is_refused(inbox: Mailbox) -> None:
    stranger = replace(account_of(inbox.store, "stranger"), version=2)
    with pytest.raises(AccountNotFoundError):
        inbox.store.apply(Batch(stranger.key, (AccountChanged(stranger),)))


def test_a_removed_account_is_invisible_at_once(inbox: Mailbox) -> None:
    message, run = message_of(1), run_of(inbox.store, inbox.account.key)
    inbox.add(message)
    apply(inbox, SyncRunChanged(run))
    apply(inbox, AccountRemoved(inbox.account.key))
    store, account = inbox.store, inbox.account
    assert store.accounts() == []
    assert store.account(account.id) is None
    assert store.account_by_no(account.no) is None
    assert store.folders(account.no) == []
    assert store.folder_by_no(account.no, inbox.folder.no) is None
    assert inbox.rows() == []
    assert store.locate(account.no, message.envelope_id) is None
    assert store.runs(account.no) == []
    assert store.run(account.no, run.no) is None
    with pytest.raises(AccountNotFoundError):
        inbox.add(message_of(2))
    with pytest.raises(AccountNotFoundError):
        apply(inbox, AccountRemoved(account.key))


def test_the_id_of_a_removed_account_may_be_taken_by_a_new_one(inbox: Mailbox) -> None:
    inbox.add(message_of(1))
    apply(inbox, AccountRemoved(inbox.account.key))
    again = Mailbox.make(inbox.store)
    again.add(message_of(1))
    while inbox.store.purge(3):
        pass
    assert again.account.no != inbox.account.no
    assert len(again.rows()) == 1
    assert inbox.store.stats().envelopes == 1


def test_a_number_that_is_being_purged_cannot_come_back(inbox: Mailbox) -> None:
    apply(inbox, AccountRemoved(inbox.account.key))
    with pytest.raises(AccountNotFoundError):
        apply(inbox, AccountChanged(inbox.account))


def test_the_last_hundred_sync_runs_are_kept_newest_first(inbox: Mailbox) -> None:
    runs = [
        replace(run_of(inbox.store, inbox.account.key), state=RunState.SUCCEEDED)
        for _ in range(KEPT_RUNS + 3)
    ]
    for run in runs:
        apply(inbox, SyncRunChanged(run))
    assert inbox.store.runs(inbox.account.no) == runs[:2:-1]
    assert inbox.store.run(inbox.account.no, runs[0].no) is None


def test_a_run_that_has_not_ended_is_kept_however_many_came_after_it(inbox: Mailbox) -> None:
    waiting = run_of(inbox.store, inbox.account.key)
    apply(inbox, SyncRunChanged(waiting))
    for _ in range(KEPT_RUNS + 3):
        later = replace(run_of(inbox.store, inbox.account.key), state=RunState.FAILED)
        apply(inbox, SyncRunChanged(later))
    assert inbox.store.runs(inbox.account.no)[-1] == waiting
    assert len(inbox.store.runs(inbox.account.no)) == KEPT_RUNS + 1
    ended = replace(waiting, version=2, state=RunState.SUCCEEDED)
    apply(inbox, SyncRunChanged(ended))
    assert inbox.store.run(inbox.account.no, waiting.no) == ended
    apply(inbox, SyncRunChanged(run_of(inbox.store, inbox.account.key)))
    assert inbox.store.run(inbox.account.no, waiting.no) is None


def test_a_runs_counts_advance_without_an_event_under_its_version(inbox: Mailbox) -> None:
    run = run_of(inbox.store, inbox.account.key)
    apply(inbox, SyncRunChanged(run))
    head = inbox.store.stats().log_head
    advanced = replace(run, version=2, state=RunState.RUNNING, messages_done=10)
    inbox.store.apply(Batch(inbox.account.key, run_progress=(advanced,)))
    assert inbox.store.run(inbox.account.no, run.no) == advanced
    assert inbox.store.stats().log_head == head
    with pytest.raises(ConflictError):
        inbox.store.apply(Batch(inbox.account.key, run_progress=(advanced,)))


def test_an_answer_is_recorded_with_its_effect_for_a_day(inbox: Mailbox, clock: ManualClock) -> None:
    answer = RecordedAnswer("token/CreateAccount", "2b2e" * 200, b"fingerprint", b"response")
    batch = Batch(inbox.account.key, answer=answer)
    inbox.store.apply(batch)
    assert inbox.store.recorded_answer(answer.scope, answer.request_id) == answer
    assert inbox.store.recorded_answer("other", answer.request_id) is None
    with pytest.raises(ConflictError):
        inbox.store.apply(batch)
    clock.now += KEPT_ANSWERS + 1
    assert inbox.store.recorded_answer(answer.scope, answer.request_id) is None
    inbox.store.apply(batch)
    inbox.store.purge(100)
    assert inbox.store.recorded_answer(answer.scope, answer.request_id) == answer


def test_the_answer_of_the_removal_outlives_the_account_and_no_other_does(inbox: Mailbox) -> None:
    first, last = (RecordedAnswer("scope", request_id, b"", b"") for request_id in "ab")
    inbox.store.apply(Batch(inbox.account.key, answer=first))
    inbox.store.apply(Batch(inbox.account.key, (AccountRemoved(inbox.account.key),), answer=last))
    while inbox.store.purge(10):
        pass
    assert inbox.store.recorded_answer("scope", "a") is None
    assert inbox.store.recorded_answer("scope", "b") == last

"""What every engine promises about intents: the changes of the mail server that callers asked for."""

import threading
from dataclasses import replace

import pytest

from mailsync_grpc.model.changes import AccountRemoved, EventKind, FlagsChanged
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.intent import Intent, IntentKind, IntentState, Outcome, Refused
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import KEPT_ANSWERS, Batch, ConflictError, Counter, Store
from mailsync_grpc.store.values import RecordedAnswer
from mailsync_grpc.v1 import event_pb2
from tests.support.store import Mailbox, ManualClock, message_of


def asked(mailbox: Mailbox, **fields: object) -> Intent:
    """A new intent's first version, not stored yet."""
    number = mailbox.store.allocate(Counter.INTENT)
    plain = Intent(mailbox.account.key, number, 1, IntentKind.MODIFY_FLAGS, folder=mailbox.folder.no)
    return replace(plain, **fields)  # type: ignore[arg-type] # fields of Intent, by name


def put(mailbox: Mailbox, *intents: Intent) -> None:
    mailbox.store.apply(Batch(mailbox.account.key, intents=intents))


def ended(intent: Intent, at: float) -> Intent:
    return replace(
        intent, version=intent.version + 1, state=IntentState.ENDED, end_time=int(at * 1_000), visible=7
    )


def test_an_intent_is_read_as_it_was_put_and_makes_no_event(inbox: Mailbox) -> None:
    outcome = Outcome(
        UidSet.parse("1:3"), ((1, 9), (2, 0)), (Refused(UidSet.parse("4"), "IMAP_REFUSED", "no Ü"),), 77, 9
    )
    intent = asked(
        inbox,
        uids=UidSet.parse("1:4,9"),
        add=Flags.of(["\\Seen", "work"]),
        path="A/Ü",
        date=-5,
        request_id="r",
        outcome=outcome,
    )
    head = inbox.store.stats().log_head
    put(inbox, intent)
    assert inbox.store.intent(inbox.account.no, intent.no) == intent
    assert inbox.store.open_intents(inbox.account.no) == [intent]
    assert inbox.store.stats().log_head == head
    assert inbox.store.intent(inbox.account.no, intent.no + 1) is None


def test_an_intent_is_open_until_it_has_ended(inbox: Mailbox, clock: ManualClock) -> None:
    store, (first, second) = inbox.store, (asked(inbox), asked(inbox))
    put(inbox, second, first)
    assert store.open_intents(inbox.account.no) == [first, second]
    assert store.accounts_with_intents() == {inbox.account.no}
    put(inbox, ended(first, clock()))
    assert store.open_intents(inbox.account.no) == [second]
    put(inbox, ended(second, clock()))
    assert store.open_intents(inbox.account.no) == []
    assert store.accounts_with_intents() == set()
    assert store.intent(inbox.account.no, first.no) == ended(first, clock())


def test_of_two_that_carry_an_intent_on_one_is_refused_with_all_of_its_batch(inbox: Mailbox) -> None:
    inbox.add(message_of(1))
    intent = asked(inbox)
    put(inbox, intent)
    begun = replace(intent, version=2, state=IntentState.BEGUN)
    put(inbox, begun)
    change = FlagsChanged(inbox.folder.key, 1, message_of(1).envelope_id, Flags(), Flags.of(["\\Seen"]))
    head = inbox.store.stats().log_head
    with pytest.raises(ConflictError):
        inbox.store.apply(Batch(inbox.account.key, (change,), intents=(begun,)))
    assert inbox.store.stats().log_head == head
    assert inbox.store.intent(inbox.account.no, intent.no) == begun


def test_an_intent_is_kept_a_day_after_its_end_and_an_open_one_for_ever(
    inbox: Mailbox, clock: ManualClock
) -> None:
    old, waiting, younger = (asked(inbox) for _ in range(3))
    put(inbox, old, waiting, younger)
    put(inbox, ended(old, clock()), ended(younger, clock()))
    clock.now += KEPT_ANSWERS - 1
    put(inbox, asked(inbox))
    assert inbox.store.intent(inbox.account.no, old.no) is not None
    clock.now += 2
    put(inbox, asked(inbox))
    assert inbox.store.intent(inbox.account.no, old.no) is None
    assert inbox.store.intent(inbox.account.no, waiting.no) == waiting


def test_an_accounts_intents_go_with_it(store: Store) -> None:
    removed, kept = Mailbox.make(store, "removed"), Mailbox.make(store, "kept")
    intents = asked(removed), asked(kept)
    put(removed, intents[0])
    put(kept, intents[1])
    store.apply(Batch(removed.account.key, (AccountRemoved(removed.account.key),)))
    assert store.intent(removed.account.no, intents[0].no) is None
    assert store.open_intents(removed.account.no) == []
    assert store.accounts_with_intents() == {kept.account.no}
    while store.purge(1):
        pass
    assert store.open_intents(kept.account.no) == [intents[1]]


def test_who_waits_for_intents_is_woken_by_one_and_not_by_other_commits(inbox: Mailbox) -> None:
    store = inbox.store
    before = store.wait_for_intents(0, 0.0)
    inbox.add(message_of(1))
    assert store.wait_for_intents(before, 0.01) == before
    threading.Timer(0.05, put, (inbox, asked(inbox))).start()
    assert store.wait_for_intents(before, 30.0) == before + 1


def test_who_waits_for_intents_is_woken_when_an_account_is_removed_with_its_own(inbox: Mailbox) -> None:
    store = inbox.store
    put(inbox, asked(inbox))
    before = store.wait_for_intents(0, 0.0)
    store.apply(Batch(inbox.account.key, (AccountRemoved(inbox.account.key),)))
    assert store.wait_for_intents(before, 0.0) == before + 1


def test_an_intent_and_its_answers_place_are_committed_together(inbox: Mailbox) -> None:
    intent = asked(inbox)
    answer = RecordedAnswer("scope", "id", b"print", b"where")
    inbox.store.apply(Batch(inbox.account.key, intents=(intent,), answer=answer))
    with pytest.raises(ConflictError):
        inbox.store.apply(Batch(inbox.account.key, intents=(asked(inbox),), answer=answer))
    assert inbox.store.open_intents(inbox.account.no) == [intent]
    assert inbox.store.recorded_answer("scope", "id") == answer


def test_each_change_of_a_batch_may_have_a_cause_of_its_own(inbox: Mailbox) -> None:
    inbox.add(message_of(1), message_of(2))
    head = inbox.store.stats().log_head
    changes = tuple(
        FlagsChanged(inbox.folder.key, uid, message_of(uid).envelope_id, Flags(), Flags.of(["\\Seen"]))
        for uid in (1, 2)
    )
    inbox.store.apply(Batch(inbox.account.key, changes, causes=("ours", "")))
    records = inbox.store.log(head, 10, 1 << 20).records
    assert {record.kind for record in records} == {EventKind.FLAGS_CHANGED}
    assert [event_pb2.Event.FromString(record.event).request_id for record in records] == ["ours", ""]
    with pytest.raises(ValueError, match="causes"):
        inbox.store.apply(Batch(inbox.account.key, changes, causes=("ours",)))

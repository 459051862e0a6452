"""Which accounts bear which labels: as read, as events say, in whatever order the two come."""

import threading
from collections.abc import Callable
from dataclasses import replace

from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import AccountChanged
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services.account_labels import AccountLabels
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.store.values import LogRecord
from tests.support.store import Mailbox

GOLD = (("plan", "gold"),)


class Interrupted(MemoryStore):
    """Lets something happen between the reading of accounts and its answer."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def accounts(self, after: str = "", limit: int = 1_000) -> list[Account]:
        found = super().accounts(after, limit)
        self.meanwhile()
        return found


def label(box: Mailbox, **labels: str) -> LogRecord:
    """Change an account's labels; return the record that tells of it."""
    box.account = replace(box.account, version=box.account.version + 1, labels=labels)
    box.store.apply(Batch(box.account.key, (AccountChanged(box.account),)))
    return box.store.log(Revision(box.store.stats().log_head - 1), 1, 1 << 20).records[0]


def test_labels_are_those_of_the_store_and_of_the_events_since() -> None:
    store = MemoryStore()
    one, two = Mailbox.make(store, "one"), Mailbox.make(store, "two")
    label(one, plan="gold", region="eu")
    labels = AccountLabels(store)
    labels.load()
    assert labels.bearing(GOLD) == {one.account.no}
    labels.note(label(two, plan="gold"))
    assert labels.bearing(GOLD) == {one.account.no, two.account.no}
    labels.note(label(one, region="eu"))
    assert labels.bearing(GOLD) == {two.account.no}
    assert labels.bearing((*GOLD, ("region", "eu"))) == frozenset()


def test_the_same_set_is_answered_until_labels_change() -> None:
    store = MemoryStore()
    box = Mailbox.make(store, "one")
    labels = AccountLabels(store)
    labels.load()
    before = labels.bearing(GOLD)
    labels.note(label(box))
    assert labels.bearing(GOLD) is before
    labels.note(label(box, plan="lead"))
    assert labels.bearing(GOLD) is not before


def test_an_event_that_comes_while_accounts_are_read_is_not_forgotten() -> None:
    store = Interrupted()
    box = Mailbox.make(store, "one")
    labels = AccountLabels(store)

    def change() -> None:
        store.meanwhile = lambda: None
        labels.note(label(box, plan="gold"))

    store.meanwhile = change
    labels.load()
    assert labels.bearing(GOLD) == {box.account.no}


def test_two_that_begin_at_once_end_with_the_newest_labels() -> None:
    store = Interrupted()
    box = Mailbox.make(store, "one")
    labels = AccountLabels(store)
    second = threading.Thread(target=labels.load)

    def begin_another() -> None:
        store.meanwhile = lambda: None
        labels.note(label(box, plan="gold"))
        second.start()
        second.join(0.5)  # it either waits for this reading, or has overtaken it by now

    store.meanwhile = begin_another
    labels.load()
    second.join()
    assert labels.bearing(GOLD) == {box.account.no}


def test_reading_once_more_finds_what_no_event_told() -> None:
    store = MemoryStore()
    box = Mailbox.make(store, "one")
    labels = AccountLabels(store)
    labels.load_again()
    assert labels.version == 0, "nobody asked for labels yet"
    labels.load()
    label(box, plan="gold")
    assert labels.bearing(GOLD) == frozenset()
    labels.load_again()
    assert labels.bearing(GOLD) == {box.account.no}

r"""What may be half of a move waits for one look at the other folders, and for nothing that fails.

Whatever breaks between the two looks, a folder, the connection or the worker, the message is told once, and as moved where both
were seen.
"""

from unittest.mock import patch

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from tests.support.agreement import added, assert_agreed, moved, removed
from tests.support.hostile import METADATA, HostileServer
from tests.support.hostile_faults import leaving, refusing, refusing_message
from tests.support.mirror import Mirror


@pytest.fixture
def pair(hostile_mirror: Mirror) -> Mirror:
    """A mirror of 30 messages in INBOX and five in Sent, synced."""
    hostile_mirror.mailbox.deliver(messages(30))
    hostile_mirror.mailbox.deliver(messages(5, seed=7), "Sent")
    hostile_mirror.settle()
    return hostile_mirror


def test_a_removal_is_told_though_another_folder_fails(pair: Mirror, hostile: HostileServer) -> None:
    before = pair.head
    hostile.always(b'EXAMINE "Sent"', refusing())
    pair.mailbox.expunge("29")
    pair.poll()
    assert removed(pair, before) == 1
    assert not pair.folder()[1].leaving


def test_an_arrival_is_told_though_the_folder_it_may_be_from_fails(
    pair: Mirror, hostile: HostileServer
) -> None:
    before = pair.head
    hostile.always(b'EXAMINE "Sent"', refusing())
    pair.mailbox.move("2", "INBOX", "Sent")
    pair.poll()
    assert added(pair, before) == [31]
    hostile.heal()
    pair.clock.skipped += 600
    pair.poll()
    assert (moved(pair, before), removed(pair, before)) == ([], 1)
    assert_agreed(pair)


@pytest.mark.parametrize("worker_dies", [False, True], ids=["connection_broke", "worker_died"])
def test_a_move_is_told_though_its_two_looks_were_torn_apart(
    pair: Mirror, hostile: HostileServer, worker_dies: bool
) -> None:
    before, known = pair.head, pair.ids()
    pair.mailbox.move("3", "Sent")
    hostile.once(b'EXAMINE "Sent"', leaving())
    pair.poll()
    assert list(pair.folder()[1].leaving) == [3]
    assert pair.folder()[1].stored == 30, "it is listed until it is told"
    if worker_dies:
        pair.restart()
    pair.poll()
    assert [move.from_uid for move in moved(pair, before)] == [3]
    assert pair.ids("Sent")[6] == known[3]
    assert_agreed(pair)


def test_a_message_that_is_listed_again_before_it_was_told_as_gone_stays(
    pair: Mirror, hostile: HostileServer
) -> None:
    before, known = pair.head, pair.ids()
    inbox = hostile.mail.folders["INBOX"]
    message = inbox.messages[25]
    pair.mailbox.expunge("25,29")
    hostile.once(b'EXAMINE "Sent"', leaving())
    pair.poll()
    assert list(pair.folder()[1].leaving) == [25, 29]
    inbox.add(message, 25)
    pair.poll()
    assert removed(pair, before) == 1
    assert pair.ids() == {uid: known[uid] for uid in known if uid != 29}
    assert_agreed(pair)


def test_a_moved_message_that_the_server_does_not_give_holds_up_no_other(
    pair: Mirror, hostile: HostileServer
) -> None:
    before = pair.head
    pair.mailbox.move("3:5", "Sent")
    hostile.always(METADATA, refusing_message(7))
    for _ in range(3):
        pair.poll()
    hostile.heal()
    assert sorted(move.from_uid for move in moved(pair, before)) == [3, 5]
    assert removed(pair, before) == 1
    assert_agreed(pair)


# What it costs


def test_twins_are_looked_up_once_a_batch_of_new_mail_and_never_for_history(hostile_mirror: Mirror) -> None:
    mirror, store = hostile_mirror, hostile_mirror.store
    mirror.mailbox.deliver(messages(30))
    with patch.object(store, "twins", wraps=store.twins) as twins:
        mirror.settle()
        assert twins.call_count == 0
        mirror.mailbox.deliver(messages(25, seed=3))
        mirror.poll()
        assert twins.call_count == 3, "batches of ten"


def test_new_mail_of_an_account_with_one_folder_looks_up_nothing(hostile_mirror: Mirror) -> None:
    mirror, store = hostile_mirror, hostile_mirror.store
    mirror.settle()
    mirror.deselect("Sent")
    before = mirror.head
    with patch.object(store, "twins", wraps=store.twins) as twins:
        mirror.mailbox.deliver(messages(5))
        mirror.poll()
        mirror.mailbox.expunge("2")
        mirror.poll()
        assert twins.call_count == 0
    assert (added(mirror, before), removed(mirror, before)) == ([1, 2, 3, 4, 5], 1)


def test_unchanged_folders_are_not_looked_at_again(pair: Mirror, hostile: HostileServer) -> None:
    pair.mailbox.deliver(messages(1, seed=3))
    hostile.received.clear()
    pair.poll()
    assert len(hostile.sent(b'EXAMINE "INBOX"')) == 1, "new mail that nobody knows is no half of a move"

r"""A message that goes to another folder keeps its envelope id, where no other message can be meant.

On a Dovecot with all extensions, on one that announces none, and on the honest fake; what none of them does (EMAILID,
X-GM-MSGID, folders that fail, moves between two looks of one turn) on the hostile server.
"""

from collections.abc import Callable, Iterator
from unittest.mock import patch

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.v1 import event_pb2
from tests.support.agreement import added, assert_agreed, removed
from tests.support.hostile import METADATA, HostileServer
from tests.support.hostile_faults import leaving, meanwhile, refusing, refusing_message
from tests.support.hostile_session import FULL
from tests.support.mail import AnyMailbox, letters
from tests.support.mirror import Mirror

NAMELESS = b"From: ann@example.org\r\nSubject: no Message-ID\r\n\r\nhello\r\n"


def moved(mirror: Mirror, after: int) -> list[event_pb2.EnvelopeMoved]:
    return [event.envelope_moved for event in mirror.events(after) if event.HasField("envelope_moved")]


def synced(mirror: Mirror, *folders: str) -> Mirror:
    """The mirror, synced, with these folders chosen besides INBOX and Sent."""
    mirror.settle()
    for folder in folders:
        mirror.select(folder)
    mirror.settle()
    return mirror


# Matched


@pytest.mark.parametrize(
    ("source", "target"), [("INBOX", "Sent"), ("Sent", "INBOX")], ids=["removal_first", "arrival_first"]
)
def test_move_match(mirror: Mirror, source: str, target: str) -> None:
    mirror.mailbox.deliver(letters(12), source)
    mirror.mailbox.deliver(messages(3, seed=2), target)
    synced(mirror)
    before, known = mirror.head, mirror.ids(source)
    mirror.mailbox.store("3", r"+FLAGS (\Flagged)", source)
    mirror.mailbox.move("2:4", target, source)
    mirror.poll()
    told = moved(mirror, before)
    assert [(move.from_uid, move.envelope.uid) for move in sorted(told, key=lambda move: move.from_uid)] == [
        (2, 4),
        (3, 5),
        (4, 6),
    ]
    assert {move.from_folder for move in told} == {mirror.folder(source)[0].name}
    assert {move.evidence for move in told} == {event_pb2.MOVE_EVIDENCE_MESSAGE_ID_SIZE_DATE}
    assert {move.envelope.uid: move.envelope.flags.flagged for move in told} == {4: False, 5: True, 6: False}
    now = mirror.ids(target)
    assert [now[uid] for uid in (4, 5, 6)] == [known[uid] for uid in (2, 3, 4)]
    assert (added(mirror, before), removed(mirror, before)) == ([], 0)
    assert_agreed(mirror)
    assert [mirror.folder(name)[1].stored for name in (source, target)] == [9, 6]


def test_move_arrival_first(hostile_mirror: Mirror, hostile: HostileServer) -> None:
    """The message moves when its old folder was looked at and its new one was not: one more look finds it gone."""
    mirror = hostile_mirror
    mirror.mailbox.deliver(letters(5))
    synced(mirror)
    before, known = mirror.head, mirror.ids()
    for folder in ("INBOX", "Sent"):
        mirror.mailbox.deliver(messages(1), folder)
    hostile.once(METADATA, meanwhile(lambda: mirror.mailbox.move("2", "Sent")))
    mirror.poll()
    assert [(move.from_uid, move.envelope.uid) for move in moved(mirror, before)] == [(2, 2)]
    assert mirror.ids("Sent")[2] == known[2]
    assert (added(mirror, before), removed(mirror, before)) == ([6, 1], 0)
    assert_agreed(mirror)


@pytest.fixture(
    params=[
        pytest.param(("OBJECTID", event_pb2.MOVE_EVIDENCE_EMAIL_ID), id="emailid"),
        pytest.param(("X-GM-EXT-1", event_pb2.MOVE_EVIDENCE_GMAIL_MESSAGE_ID), id="gmail"),
    ]
)
def naming(request: pytest.FixtureRequest) -> Iterator[tuple[Mirror, int]]:
    """A mirror of a server that names its messages, and the evidence that this is."""
    capability, evidence = request.param
    with HostileServer(f"{FULL} {capability}") as server:
        mirror = Mirror(server.mailbox, SyncSettings(batch_size=10, flags_window=10))
        yield mirror, evidence
        mirror.close()


def test_a_servers_own_id_shows_a_move_though_copies_stay(naming: tuple[Mirror, int]) -> None:
    mirror, evidence = naming
    mirror.mailbox.deliver([NAMELESS, *messages(3), NAMELESS])
    mirror.mailbox.copy("1", "INBOX")
    synced(mirror)
    before, known = mirror.head, mirror.ids()
    mirror.mailbox.move("1", "Sent")
    mirror.poll()
    assert [(move.from_uid, move.evidence) for move in moved(mirror, before)] == [(1, evidence)]
    assert mirror.ids("Sent") == {1: known[1]}
    assert_agreed(mirror)


def test_many_messages_moved_at_once_are_each_told_as_moved(mirror: Mirror) -> None:
    mirror.mailbox.deliver(letters(250))
    synced(mirror)
    before, known = mirror.head, mirror.ids()
    mirror.mailbox.move("1:*", "Sent")
    for _ in range(5):
        mirror.poll()
    assert {move.from_uid for move in moved(mirror, before)} == set(range(1, 251))
    assert sorted(mirror.ids("Sent").values()) == sorted(known.values())
    assert (added(mirror, before), removed(mirror, before)) == ([], 0)
    assert_agreed(mirror)


def test_a_message_that_moves_on_and_back_keeps_its_id(mirror: Mirror) -> None:
    mirror.mailbox.create_folders("Work")
    mirror.mailbox.deliver(messages(3))
    synced(mirror, "Work")
    known = mirror.ids()[2]
    for uid, source, target in (("2", "INBOX", "Work"), ("1", "Work", "Sent"), ("1", "Sent", "INBOX")):
        mirror.mailbox.move(uid, target, source)
        mirror.poll()
        assert known in mirror.ids(target).values()
    place = mirror.store.locate(mirror.account.no, known)
    assert place is not None
    assert place.uid == 4
    assert_agreed(mirror, "INBOX", "Sent", "Work")


# Not matched


def _copied(mailbox: AnyMailbox) -> None:
    mailbox.copy("2", "Sent")


def _moved_beside_its_double(mailbox: AnyMailbox) -> None:
    mailbox.move("5", "Sent")


def _moved_to_two_folders(mailbox: AnyMailbox) -> None:
    mailbox.copy("2", "Work")
    mailbox.move("2", "Sent")


def _moved_twice_into_one(mailbox: AnyMailbox) -> None:
    mailbox.copy("2", "Sent")
    mailbox.move("2", "Sent")


def _moved_out_of_sight(mailbox: AnyMailbox) -> None:
    mailbox.move("2", "Private")


@pytest.mark.parametrize(
    ("change", "news", "gone"),
    [
        pytest.param(_copied, 1, 0, id="copy"),
        pytest.param(_moved_beside_its_double, 1, 1, id="same_message_twice"),
        pytest.param(_moved_to_two_folders, 2, 1, id="two_targets"),
        pytest.param(_moved_twice_into_one, 2, 1, id="twice_in_the_target"),
        pytest.param(_moved_out_of_sight, 0, 1, id="unsynced_target"),
    ],
)
def test_move_ambiguous(mirror: Mirror, change: Callable[[AnyMailbox], None], news: int, gone: int) -> None:
    mirror.mailbox.create_folders("Work", "Private")
    mirror.mailbox.deliver(messages(4))
    mirror.mailbox.copy("4", "INBOX")
    synced(mirror, "Work")
    before, known = mirror.head, {*mirror.ids().values()}
    change(mirror.mailbox)
    mirror.poll()
    assert (len(added(mirror, before)), removed(mirror, before)) == (news, gone)
    assert moved(mirror, before) == []
    assert not known & {*mirror.ids("Sent").values(), *mirror.ids("Work").values()}
    assert_agreed(mirror, "INBOX", "Sent", "Work")


# What fails blocks nothing


@pytest.fixture
def pair(hostile_mirror: Mirror) -> Mirror:
    """A mirror of 30 messages in INBOX and five in Sent, synced."""
    hostile_mirror.mailbox.deliver(messages(30))
    hostile_mirror.mailbox.deliver(messages(5, seed=7), "Sent")
    return synced(hostile_mirror)


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


def test_a_move_is_told_when_the_connection_broke_between_its_two_looks(
    pair: Mirror, hostile: HostileServer
) -> None:
    before, known = pair.head, pair.ids()
    pair.mailbox.move("3", "Sent")
    hostile.once(b'EXAMINE "Sent"', leaving())
    pair.poll()
    pair.poll()
    assert [move.from_uid for move in moved(pair, before)] == [3]
    assert pair.ids("Sent")[6] == known[3]
    assert_agreed(pair)


def test_a_move_is_told_when_the_worker_died_between_its_two_looks(
    pair: Mirror, hostile: HostileServer
) -> None:
    before, known = pair.head, pair.ids()
    pair.mailbox.move("3", "Sent")
    hostile.once(b'EXAMINE "Sent"', leaving())
    pair.poll()
    assert list(pair.folder()[1].leaving) == [3]
    assert pair.folder()[1].stored == 30, "it is listed until it is told"
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
        synced(mirror)
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

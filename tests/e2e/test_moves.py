r"""A message that goes to another folder keeps its envelope id, where no other message can be meant.

On a Dovecot with all extensions, on one that announces none, and on the honest fake; what none of them does (EMAILID,
X-GM-MSGID, moves between two looks of one turn) on the hostile server.
"""

from collections.abc import Callable, Iterator

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.v1 import event_pb2
from tests.support.agreement import added, assert_agreed, moved, removed
from tests.support.hostile import METADATA, HostileServer
from tests.support.hostile_faults import meanwhile
from tests.support.hostile_session import FULL
from tests.support.mail import AnyMailbox, letters
from tests.support.mirror import Mirror

NAMELESS = b"From: ann@example.org\r\nSubject: no Message-ID\r\n\r\nhello\r\n"


# Matched


@pytest.mark.parametrize(
    ("source", "target"), [("INBOX", "Sent"), ("Sent", "INBOX")], ids=["removal_first", "arrival_first"]
)
def test_move_match(mirror: Mirror, source: str, target: str) -> None:
    mirror.mailbox.deliver(letters(12), source)
    mirror.mailbox.deliver(messages(3, seed=2), target)
    mirror.settle()
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
    mirror.settle()
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
    mirror.settle()
    before, known = mirror.head, mirror.ids()
    mirror.mailbox.move("1", "Sent")
    mirror.poll()
    assert [(move.from_uid, move.evidence) for move in moved(mirror, before)] == [(1, evidence)]
    assert mirror.ids("Sent") == {1: known[1]}
    assert_agreed(mirror)


def test_many_messages_moved_at_once_are_each_told_as_moved(mirror: Mirror) -> None:
    mirror.mailbox.deliver(letters(250))
    mirror.settle()
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
    mirror.sync_also("Work")
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
    mirror.sync_also("Work")
    before, known = mirror.head, {*mirror.ids().values()}
    change(mirror.mailbox)
    mirror.poll()
    assert (len(added(mirror, before)), removed(mirror, before)) == (news, gone)
    assert moved(mirror, before) == []
    assert not known & {*mirror.ids("Sent").values(), *mirror.ids("Work").values()}
    assert_agreed(mirror, "INBOX", "Sent", "Work")

r"""Gmail's labels changed for a caller: from the call to the events, in the folders that they are and the others."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from mailsync_grpc.v1 import envelope_pb2, errors_pb2, event_pb2
from tests.support.agreement import assert_agreed
from tests.support.api import reason, violations
from tests.support.changing import SELDOM, Desk, desk, uids
from tests.support.hostile import HostileMailbox, HostileServer
from tests.support.hostile_faults import closing, refusing, saying
from tests.support.hostile_session import GMAIL
from tests.support.mail import Mailbox, letters
from tests.support.mirror import Mirror

ALL_MAIL = "[Gmail]/All Mail"
MESSAGES = 60
STORE = rb"UID STORE"
NAMES = [
    "work",
    "two words",
    'a "quoted" one',
    "back\\slash",
    "Größe & 大きい",
    "👩‍💻",
    "(a)*%{3}",
    "a/b",
    "NIL",
]


def labelled(*labels: str, seen: bool = False, flagged: bool = False) -> envelope_pb2.Flags:
    return envelope_pb2.Flags(labels=labels, seen=seen, flagged=flagged)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk over Gmail with 60 messages in INBOX and All Mail, of which INBOX and `work` are mirrored."""
    with HostileServer(GMAIL) as server:
        server.mailbox.create_folders(ALL_MAIL, "work")
        server.mail.folders[ALL_MAIL].special_use = "\\All"
        server.mailbox.deliver(letters(MESSAGES))
        server.mailbox.copy("1:*", ALL_MAIL)
        mirror = Mirror(server.mailbox, SELDOM)
        mirror.sync_also("work")
        async with desk(mirror, tmp_path) as opened:
            yield opened
        mirror.close()
        server.heal()


def gmail(office: Desk) -> HostileServer:
    assert isinstance(office.mailbox, HostileMailbox)
    return office.mailbox.server


def held(office: Desk, folder: str = "INBOX") -> dict[int, frozenset[str]]:
    """Labels on the server."""
    return gmail(office).mailbox.labels_by_uid(folder)


def mirrored(office: Desk, folder: str = "INBOX") -> dict[int, frozenset[str]]:
    return {each.uid: frozenset(each.flags.labels) for each in office.mirror.envelopes(folder)}


def told(office: Desk, after: int) -> list[tuple[str, str]]:
    """Kinds of the events after a revision and the calls that they name."""
    return [(event.WhichOneof("payload") or "", event.request_id) for event in office.events(after)]


def changes(office: Desk) -> list[bytes]:
    """The changing commands that the server was sent."""
    return gmail(office).sent(STORE)


async def test_labels_are_changed_on_the_server_and_visible_in_the_mirror_when_the_call_returns(
    office: Desk,
) -> None:
    await office.flag("3:4", add=labelled("old", "kept"))
    before, request_id = office.mirror.head, str(uuid.uuid4())
    response = await office.flag("3:4,9", add=labelled(*NAMES), remove=labelled("old"), request_id=request_id)
    assert (uids(response.succeeded), list(response.failures)) == ([3, 4, 9], [])
    assert held(office)[3] == held(office)[4] == {*NAMES, "kept"}
    assert held(office)[9] == set(NAMES)
    assert mirrored(office) == held(office)
    flags = {e.flags_changed.uid: e for e in office.events(before) if e.HasField("flags_changed")}
    assert sorted(flags) == [3, 4, 9]
    assert {event.request_id for event in flags.values()} == {request_id}
    assert list(flags[3].flags_changed.added.labels) == sorted(NAMES)
    assert list(flags[3].flags_changed.removed.labels) == ["old"]
    assert max(event.revision for event in flags.values()) <= response.visible_revision
    assert_agreed(office.mirror)


async def test_flags_and_labels_of_one_call_are_one_change_with_the_labels_last(office: Desk) -> None:
    add, remove = labelled("mine", seen=True), labelled("\\Inbox", flagged=True)
    response = await office.flag([5], add=add, remove=remove)
    assert uids(response.succeeded) == [5]
    assert changes(office) == [
        rb"UID STORE 5 +FLAGS.SILENT (\Seen)",
        rb"UID STORE 5 -FLAGS.SILENT (\Flagged)",
        rb'UID STORE 5 +X-GM-LABELS ("mine")',
        rb'UID STORE 5 -X-GM-LABELS ("\\Inbox")',
    ]
    assert gmail(office).mailbox.flags_by_uid("mine") == {1: frozenset({"\\Seen"})}
    assert 5 not in office.mirror.flags()


async def test_what_takes_messages_out_of_the_folder_is_sent_when_all_else_is_done(office: Desk) -> None:
    response = await office.flag([5], add=labelled("new", "\\Trash"), remove=labelled("old"))
    assert uids(response.succeeded) == [5]
    await office.flag([6], add=labelled("\\Trash"), remove=labelled("\\Inbox", "old"))
    assert changes(office) == [
        rb'UID STORE 5 +X-GM-LABELS ("new")',
        rb'UID STORE 5 -X-GM-LABELS ("old")',
        rb'UID STORE 5 +X-GM-LABELS ("\\Trash")',
        rb'UID STORE 6 -X-GM-LABELS ("old")',
        rb'UID STORE 6 +X-GM-LABELS ("\\Trash")',
        rb'UID STORE 6 -X-GM-LABELS ("\\Inbox")',
    ]


async def test_messages_are_in_the_folder_of_a_label_that_they_got_when_the_call_returns(
    office: Desk,
) -> None:
    response = await office.flag([7, 8], add=labelled("work"))
    assert uids(response.succeeded) == [7, 8]
    assert sorted(office.mirror.flags("work")) == [1, 2]
    assert mirrored(office, "work") == {1: {"\\Inbox"}, 2: {"\\Inbox"}}
    assert_agreed(office.mirror, "INBOX", "work")


async def test_a_message_that_loses_the_label_of_its_folder_is_told_as_removed_by_the_call(
    office: Desk,
) -> None:
    before, request_id = office.mirror.head, str(uuid.uuid4())
    response = await office.flag([5, 6], remove=labelled("\\Inbox"), request_id=request_id)
    assert (uids(response.succeeded), list(response.failures)) == ([5, 6], [])
    assert not {5, 6} & set(held(office))
    assert len(held(office, ALL_MAIL)) == MESSAGES
    assert told(office, before) == [("envelopes_removed", request_id)]
    assert response.visible_revision == office.mirror.head
    assert_agreed(office.mirror, "INBOX", "work")


async def test_an_inbox_that_is_emptied_by_a_call_is_no_riddle(office: Desk) -> None:
    """Nor does what others took meanwhile carry the call's name."""
    gmail(office).mailbox.expunge("1")
    before, request_id = office.mirror.head, str(uuid.uuid4())
    response = await office.flag(f"1:{MESSAGES}", remove=labelled("\\Inbox"), request_id=request_id)
    assert uids(response.succeeded) == list(range(2, MESSAGES + 1))
    assert office.mirror.flags() == {}
    assert sorted(told(office, before)) == [("envelopes_removed", ""), ("envelopes_removed", request_id)]


async def test_one_label_for_another_is_a_move_of_the_call(office: Desk) -> None:
    before, request_id, ids = office.mirror.head, str(uuid.uuid4()), office.mirror.ids()
    await office.flag([5], add=labelled("work"), remove=labelled("\\Inbox"), request_id=request_id)
    assert told(office, before) == [("envelope_moved", request_id)]
    (moved,) = (event.envelope_moved for event in office.events(before))
    assert moved.evidence == event_pb2.MOVE_EVIDENCE_GMAIL_MESSAGE_ID
    assert office.mirror.ids("work") == {1: ids[5]}
    assert_agreed(office.mirror, "INBOX", "work")


async def test_the_label_of_the_folder_itself_is_had_though_the_server_does_not_say_so(office: Desk) -> None:
    response = await office.flag([5], add=labelled("\\inbox", "Work"))
    assert uids(response.succeeded) == [5]
    assert held(office)[5] == {"work"}  # as the label is written that there was


@pytest.mark.parametrize(("label", "folder"), [("\\Trash", "Trash"), ("\\Spam", "Junk")])
async def test_what_is_put_aside_leaves_its_folders(office: Desk, label: str, folder: str) -> None:
    before, request_id = office.mirror.head, str(uuid.uuid4())
    response = await office.flag([5], add=labelled(label), request_id=request_id)
    assert uids(response.succeeded) == [5]
    assert 5 not in office.mirror.flags()
    assert list(office.mailbox.flags_by_uid(folder)) == [1]
    assert told(office, before) == [("envelopes_removed", request_id)]


async def test_starred_is_the_flag_too(office: Desk) -> None:
    response = await office.flag([5], add=labelled("\\Starred"))
    assert uids(response.succeeded) == [5]
    assert office.mirror.flags()[5] == {"\\Flagged"}
    assert mirrored(office)[5] == {"\\Starred"}
    response = await office.flag([5], remove=labelled(flagged=True))
    assert uids(response.succeeded) == [5]
    assert mirrored(office)[5] == frozenset()


async def test_flags_told_unasked_without_labels_make_no_failure(office: Desk) -> None:
    gmail(office).once(rb"UID FETCH 5:6 ", saying(b"* 5 FETCH (MODSEQ (99) UID 5 FLAGS ())"))
    response = await office.flag([5, 6], add=labelled("mine"))
    assert uids(response.succeeded) == [5, 6]


async def test_messages_changed_since_a_mod_sequence_keep_their_labels(office: Desk) -> None:
    modseq = office.mirror.folder()[1].modseq
    gmail(office).mailbox.label("2", "theirs")
    response = await office.flag([1, 2, 3], add=labelled("mine", "ours"), unchanged_since=modseq)
    assert uids(response.succeeded) == [1, 3]
    assert [(failure.uid, failure.reason) for failure in response.failures] == [
        (2, errors_pb2.ERROR_REASON_MODSEQ_CONFLICT)
    ]
    assert held(office)[2] == {"theirs"}
    assert held(office)[1] == {"mine", "ours"}


async def test_a_condition_of_flags_and_labels_is_held_against_the_mailbox_once(office: Desk) -> None:
    modseq = office.mirror.folder()[1].modseq
    gmail(office).mailbox.label("2", "theirs")
    response = await office.flag([1, 2], add=labelled("mine", seen=True), unchanged_since=modseq)
    assert uids(response.succeeded) == [1]
    assert [failure.uid for failure in response.failures] == [2]
    assert held(office)[2] == {"theirs"}
    assert not office.mailbox.flags_by_uid()[2]


@pytest.mark.parametrize("change", [rb"\+FLAGS", rb"\+X-GM-LABELS", rb"-X-GM-LABELS"])
async def test_a_change_whose_answer_is_lost_is_repeated(office: Desk, change: bytes) -> None:
    gmail(office).once(rb"UID STORE \S+ " + change, closing(0))
    add, remove = labelled("mine", seen=True), labelled("\\Inbox")
    response = await office.flag([5, 6], add=add, remove=remove)
    assert (uids(response.succeeded), list(response.failures)) == ([5, 6], [])
    assert gmail(office).mailbox.flags_by_uid("mine") == dict.fromkeys((1, 2), frozenset({"\\Seen"}))
    assert_agreed(office.mirror, "INBOX", "work")


async def test_what_the_server_refuses_is_said_of_each_message(office: Desk) -> None:
    gmail(office).once(rb"UID STORE \S+ \+X-GM-LABELS", refusing(b"[CANNOT] not this label"))
    response = await office.flag("5,6,99", add=labelled("[Gmail]/mine"))
    assert not response.succeeded
    assert [(failure.uid, failure.reason) for failure in response.failures] == [
        (5, errors_pb2.ERROR_REASON_IMAP_REFUSED),
        (6, errors_pb2.ERROR_REASON_IMAP_REFUSED),
        (99, errors_pb2.ERROR_REASON_ENVELOPE_NOT_FOUND),
    ]
    assert "not this label" in response.failures[0].message


async def test_many_messages_and_long_labels_are_sent_in_lines_that_servers_take(office: Desk) -> None:
    labels = [f"{number}{'ü' * 100}" for number in range(9)]
    response = await office.flag(",".join(map(str, range(1, MESSAGES + 1, 2))), add=labelled(*labels))
    assert len(uids(response.succeeded)) == MESSAGES // 2
    assert max(map(len, changes(office))) < 8_000


async def test_without_a_call_nothing_that_changes_is_sent(office: Desk) -> None:
    office.mirror.restart()
    office.mirror.poll()
    assert not gmail(office).sent(
        rb"^(?!UNSELECT|ENABLE)[A-Z ]*(STORE|SELECT|COPY|MOVE|EXPUNGE|APPEND|CREATE)"
    )


@pytest.mark.parametrize("name", ["mailbox", "mailbox_plain"])
async def test_a_server_without_labels_is_refused_before_any_change(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    mailbox: Mailbox = request.getfixturevalue(name)
    mailbox.deliver(letters(2))
    async with desk(Mirror(mailbox, SELDOM), tmp_path) as plain:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await plain.flag([1], add=labelled("work", seen=True))
    assert reason(refused.value) == "IMAP_REFUSED"
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "use keywords" in str(refused.value.details())
    assert not any(mailbox.flags_by_uid().values())


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"add": labelled("")}, "add.labels"),
        ({"add": labelled("a", "  ")}, "add.labels"),
        ({"add": labelled(" a")}, "add.labels"),
        ({"add": labelled("a\r\nx EXPUNGE")}, "add.labels"),
        ({"remove": labelled("a\nb")}, "remove.labels"),
        ({"add": labelled("a\0b")}, "add.labels"),
        ({"add": labelled("a\x7fb")}, "add.labels"),
        ({"add": labelled("x" * 226)}, "add.labels"),
        ({"add": labelled(*(f"{n}{'x' * 200}" for n in range(21)))}, "add.labels"),
        ({"add": labelled("\\Inbox x")}, "add.labels"),
        ({"add": labelled("\\")}, "add.labels"),
        ({"add": labelled("Größe"), "remove": labelled("GRÖSSE", "größe")}, "remove"),
        ({"add": labelled(flagged=True), "remove": labelled("\\Starred")}, "remove"),
    ],
)
async def test_what_is_no_label_is_refused(office: Desk, fields: dict[str, object], field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.flag([1], **fields)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in violations(refused.value)
    assert not changes(office)

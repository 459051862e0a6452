r"""What a change comes to on servers that do what no real one does when it is tested: a script plays them."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mailsync_grpc.errors import UidValidityChangedError
from mailsync_grpc.imap.changing import ChangingConnection
from mailsync_grpc.model.changes import FolderChanged, FolderChangeKind
from mailsync_grpc.model.flags import FLAGGED, Flags
from mailsync_grpc.model.intent import Intent, IntentKind, IntentState
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.sync.change_flags import FlagChange
from mailsync_grpc.sync.change_messages import MessageChange
from mailsync_grpc.sync.change_places import PlaceChange
from tests.support.store import Mailbox
from tests.unit.imap.scripted import ScriptedServer, offering

SELECTED = b"* 3 EXISTS\r\n* OK [UIDVALIDITY 77] ok\r\n* OK [UIDNEXT 9] ok\r\n<tag> OK [READ-WRITE] done\r\n"
SCRIPT = {
    **offering(b"UIDPLUS MOVE ENABLE CONDSTORE"),
    b"ENABLE": b"* ENABLED CONDSTORE\r\n<tag> OK done\r\n",
    b"SELECT": SELECTED,
    b"EXAMINE": SELECTED,
    b"UID SEARCH": b"* SEARCH 1 2\r\n<tag> OK done\r\n",
    b"UID FETCH": b"* 1 FETCH (UID 1 FLAGS ())\r\n* 2 FETCH (UID 2 FLAGS (\\Deleted))\r\n<tag> OK done\r\n",
}


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox.make(MemoryStore())


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(dict(SCRIPT)) as server:
        yield server


def change(mailbox: Mailbox, server: ScriptedServer, kind: IntentKind, **fields: object) -> MessageChange:
    """The change of messages 1 and 2, begun."""
    place = {"folder": mailbox.folder.no, "uid_validity": 77, "uids": UidSet.span(1, 2)}
    fields = {"state": IntentState.BEGUN, **place, **fields}
    intent = Intent(mailbox.account.key, 1, 2, kind, **fields)  # type: ignore[arg-type] # by name
    made = FlagChange if kind is IntentKind.MODIFY_FLAGS else PlaceChange
    return made(mailbox.store, ChangingConnection(server.connect()), intent)


def replaced(server: ScriptedServer, command: bytes, answer: bytes) -> None:
    server.script = {**server.script, command: answer}


def test_what_the_server_will_not_expunge_is_marked_no_longer(
    mailbox: Mailbox, server: ScriptedServer
) -> None:
    """Else the next client that expunges would delete it. What was marked before, by another, stays so."""
    replaced(server, b"UID EXPUNGE", b"<tag> NO [NOPERM] not yours\r\n")
    work = change(mailbox, server, IntentKind.EXPUNGE)
    outcome = work.perform(resumed=False)
    work.connection.close()
    assert outcome.done == UidSet()
    assert [(str(one.uids), one.reason) for one in outcome.refused] == [("1:2", "IMAP_REFUSED")]
    stores = [line for line in server.received if b"UID STORE" in line]
    assert [line.split(b" ", 1)[1] for line in stores] == [
        b"UID STORE 1:2 +FLAGS.SILENT (\\Deleted)\r\n",
        b"UID STORE 1 -FLAGS.SILENT (\\Deleted)\r\n",
    ]


@pytest.mark.parametrize(("resumed", "reason"), [(False, "MODSEQ_CONFLICT"), (True, "OUTCOME_UNKNOWN")])
def test_a_conflict_that_may_be_with_our_own_first_half_is_not_called_one(
    mailbox: Mailbox, server: ScriptedServer, resumed: bool, reason: str
) -> None:
    replaced(server, b"UID STORE", b"<tag> OK [MODIFIED 1] conditional STORE failed\r\n")
    work = change(mailbox, server, IntentKind.MODIFY_FLAGS, add=Flags.of(["a"]), unchanged_since=5)
    outcome = work.perform(resumed=resumed)
    work.connection.close()
    assert [(str(one.uids), one.reason) for one in outcome.refused] == [("1", reason), ("2", "IMAP_REFUSED")]


def test_a_server_that_keeps_no_keywords_is_found_out(mailbox: Mailbox, server: ScriptedServer) -> None:
    work = change(mailbox, server, IntentKind.MODIFY_FLAGS, add=Flags.of(["work"]))
    outcome = work.perform(resumed=False)
    work.connection.close()
    assert [(str(one.uids), one.reason) for one in outcome.refused] == [("1:2", "IMAP_REFUSED")]


def test_what_loses_its_star_in_the_folder_of_the_starred_has_succeeded_when_it_is_gone(
    server: ScriptedServer,
) -> None:
    mailbox = Mailbox.make(MemoryStore(), name="Starred")
    starred = replace(mailbox.folder, version=2, special_use="\\Flagged")
    shown = FolderChanged(starred, FolderChangeKind.ATTRIBUTES)
    mailbox.store.apply(Batch(mailbox.account.key, (shown,)))
    replaced(server, b"UID FETCH", b"<tag> OK done\r\n")
    replaced(server, b"UID SEARCH", b"* SEARCH\r\n<tag> OK done\r\n")
    work = change(mailbox, server, IntentKind.MODIFY_FLAGS, remove=Flags.of([FLAGGED]))
    outcome = work.perform(resumed=False)
    work.connection.close()
    assert (str(outcome.done), outcome.moved) == ("1:2", ((1, 0), (2, 0)))


def test_messages_that_others_changed_among_many_make_no_line_longer(
    mailbox: Mailbox, server: ScriptedServer
) -> None:
    """Two of five on either side of one that has another mod-sequence are two ranges, where all five are one."""
    first = 4_000_000_000
    uids = UidSet.of(first + uid for uid in range(600) if uid % 6)
    told = (b"* 1 FETCH (UID %d MODSEQ (%d))\r\n" % (uid, 8 + ((uid - first) % 6 == 3)) for uid in uids)
    replaced(server, b"UID STORE", b"".join(told) + b"<tag> OK done\r\n")
    many = Flags.of(f"{number}{'x' * 39}" for number in range(100, 195))
    work = change(
        mailbox, server, IntentKind.MODIFY_FLAGS, uids=uids, add=many, remove=many, unchanged_since=7
    )
    work.perform(resumed=False)
    work.connection.close()
    lines = [line for line in server.received if b"UID STORE" in line]
    assert any(b"UNCHANGEDSINCE 9" in line for line in lines)
    assert max(map(len, lines)) <= 8_192


LABELLED = b"* 1 FETCH (UID 1 FLAGS () X-GM-LABELS (%b))\r\n* 2 FETCH (UID 2 FLAGS () X-GM-LABELS ())\r\n<tag> OK done\r\n"


@pytest.fixture
def gmail(server: ScriptedServer) -> ScriptedServer:
    """The same with labels, of which message 1 has `work` and message 2 none."""
    server.script = {
        **server.script,
        **offering(b"ENABLE CONDSTORE X-GM-EXT-1"),
        b"UID FETCH": LABELLED % b"work",
    }
    return server


def test_labels_that_are_not_kept_are_found_out(mailbox: Mailbox, gmail: ScriptedServer) -> None:
    work = change(mailbox, gmail, IntentKind.MODIFY_FLAGS, add=Flags.of([], ["work"]))
    outcome = work.perform(resumed=False)
    work.connection.close()
    assert str(outcome.done) == "1"
    assert [(str(one.uids), one.reason) for one in outcome.refused] == [("2", "IMAP_REFUSED")]


def test_what_stays_in_the_folder_whose_label_it_was_to_lose_is_no_success(
    mailbox: Mailbox, gmail: ScriptedServer
) -> None:
    work = change(mailbox, gmail, IntentKind.MODIFY_FLAGS, remove=Flags.of([], ["\\Inbox"]))
    outcome = work.perform(resumed=False)
    work.connection.close()
    assert [(str(one.uids), one.reason) for one in outcome.refused] == [("1:2", "IMAP_REFUSED")]


def test_what_is_not_told_of_and_there_has_not_left_the_folder(
    mailbox: Mailbox, gmail: ScriptedServer
) -> None:
    replaced(gmail, b"UID FETCH", b"<tag> OK done\r\n")
    replaced(gmail, b"UID SEARCH", b"* SEARCH 1\r\n<tag> OK done\r\n")
    work = change(mailbox, gmail, IntentKind.MODIFY_FLAGS, remove=Flags.of([], ["\\Inbox"]))
    outcome = work.perform(resumed=False)
    work.connection.close()
    assert (str(outcome.done), outcome.moved) == ("2", ((2, 0),))
    assert [str(one.uids) for one in outcome.refused] == ["1"]


def test_a_message_that_is_gone_by_another_hand_is_not_taken_for_relabelled(
    mailbox: Mailbox, gmail: ScriptedServer
) -> None:
    replaced(gmail, b"UID FETCH", b"* 1 FETCH (UID 1 FLAGS () X-GM-LABELS (mine))\r\n<tag> OK done\r\n")
    work = change(mailbox, gmail, IntentKind.MODIFY_FLAGS, add=Flags.of([], ["mine"]))
    outcome = work.perform(resumed=False)
    work.connection.close()
    assert (str(outcome.done), outcome.moved) == ("1", ())
    assert [(str(one.uids), one.reason) for one in outcome.refused] == [("2", "ENVELOPE_NOT_FOUND")]


def test_labels_refused_after_flags_that_were_taken_are_a_failure(
    mailbox: Mailbox, gmail: ScriptedServer
) -> None:
    replaced(gmail, b"UID STORE 1:2 +X-GM-LABELS", b"<tag> BAD what is this\r\n")
    work = change(mailbox, gmail, IntentKind.MODIFY_FLAGS, add=Flags.of(["\\Seen"], ["mine"]))
    outcome = work.perform(resumed=False)
    work.connection.close()
    assert [(str(one.uids), one.reason) for one in outcome.refused] == [("1:2", "IMAP_REFUSED")]
    assert "what is this" in outcome.refused[0].message


def test_a_move_after_which_messages_stayed_is_no_success(mailbox: Mailbox, server: ScriptedServer) -> None:
    work = change(mailbox, server, IntentKind.MOVE, target=mailbox.folder.no)
    outcome = work.perform(resumed=False)
    work.connection.close()
    assert outcome.done == UidSet()
    assert [(str(one.uids), one.reason) for one in outcome.refused] == [("1:2", "IMAP_REFUSED")]


@pytest.mark.parametrize("kind", [IntentKind.COPY, IntentKind.MOVE])
def test_a_target_whose_name_is_another_mailboxs_is_refused_before_any_change(
    mailbox: Mailbox, server: ScriptedServer, kind: IntentKind
) -> None:
    replaced(server, b"STATUS", b"* STATUS x (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 78)\r\n<tag> OK done\r\n")
    work = change(mailbox, server, kind, target=mailbox.folder.no)
    with pytest.raises(UidValidityChangedError):
        work.begin()
    work.connection.close()
    assert not any(b"SELECT" in line or b"UID" in line[:10] for line in server.received)


def test_the_place_to_look_at_after_a_crash_is_recorded_before_the_first_command(
    mailbox: Mailbox, server: ScriptedServer
) -> None:
    replaced(server, b"STATUS", b"* STATUS x (MESSAGES 1 UIDNEXT 9 UIDVALIDITY 77)\r\n<tag> OK done\r\n")
    work = change(mailbox, server, IntentKind.MOVE, target=mailbox.folder.no, single=UidSet.parse("2,7"))
    begun = work.begin()
    work.connection.close()
    assert (begun.target_validity, begun.uid_next, str(begun.uids)) == (77, 9, "1:2")
    assert (begun.state, begun.sent) == (IntentState.BEGUN, True)
    assert [(str(one.uids), one.reason) for one in begun.outcome.refused] == [("7", "ENVELOPE_NOT_FOUND")]
    assert not any(b"UID MOVE" in line for line in server.received)

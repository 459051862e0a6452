r"""Killed at any point of a caller's change, a worker finds out what was done: nothing is done twice, and nothing is lost.

Each test kills a worker at one of the points between the commit that begins a change and the one that settles it, at each of the
commands that it sends, then has another worker carry on.
"""

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mailsync_grpc.cli.demo.loopback import PASSWORD
from mailsync_grpc.content.spool import Spool
from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.intent import NO_FOLDER, Intent, IntentKind, IntentState
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.store.base import Batch, Counter
from tests.support.agreement import assert_agreed
from tests.support.changing import SELDOM
from tests.support.crash import Site
from tests.support.crash_child import SPOOL_KEY
from tests.support.hostile import HostileMailbox, HostileServer
from tests.support.hostile_session import GMAIL
from tests.support.mail import AnyMailbox, Mailbox, letters
from tests.support.mirror import Mirror

MESSAGES = 12
CHOSEN = UidSet.parse("2,4:5,9")
REQUEST = "8b9f6a9e-7d6c-4f35-9e0a-0a9a4d5a2f11"
LETTER = b"From: ann@example.org\r\nMessage-ID: <new@example.org>\r\n\r\nhello\r\n"
ONCE = ("change_begun", "change_sent", "change_answered", "change_settled")
pytestmark = pytest.mark.timeout(120)


@dataclass(slots=True)
class Office:
    """A store with a mirror of a mailbox, no process running, in which changes are asked for."""

    site: Site
    mailbox: AnyMailbox

    def mirror(self) -> Mirror:
        mirror = Mirror(self.mailbox, SELDOM, self.site.open())
        mirror.sync.env = replace(mirror.sync.env, spool=self.spool)
        return mirror

    @property
    def spool(self) -> Spool:
        return Spool(self.site.directory / "data" / "spool", SPOOL_KEY, 1 << 30)

    def ask_append(self, octets: bytes, message_id: str) -> int:
        """Commit an intent to add a message to Sent, as the API does; return its number."""
        spool = self.spool
        draft = spool.create(len(octets))
        draft.add(octets)
        draft.finish()
        return self.ask(
            IntentKind.APPEND,
            "Sent",
            folder=NO_FOLDER,
            spool=draft.name,
            size=len(octets),
            message_id=message_id,
        )

    def ask(self, kind: IntentKind, target: str = "", **fields: object) -> int:
        """Commit an intent about `CHOSEN` of INBOX, as the API does; return its number."""
        mirror = self.mirror()
        with closing(mirror.store):
            inbox, number = mirror.folder()[0], mirror.store.allocate(Counter.INTENT)
            intent = Intent(
                mirror.account.key,
                number,
                1,
                kind,
                request_id=REQUEST,
                folder=inbox.no,
                uid_validity=inbox.uid_validity,
                uids=CHOSEN,
            )
            if target:
                intent = replace(intent, target=mirror.folder(target)[0].no)
            intent = replace(intent, **fields)  # type: ignore[arg-type] # fields of Intent, by name
            mirror.store.apply(Batch(mirror.account.key, intents=(intent,)))
        return number

    def folders(self) -> dict[str, Folder]:
        """The stored folders by path."""
        mirror = self.mirror()
        with closing(mirror.store):
            return {folder.display_name: folder for folder, _ in mirror.store.folders(mirror.account.no)}

    def folder(self, path: str) -> Folder:
        return self.folders()[path]

    def paths(self) -> list[str]:
        return sorted(self.folders())

    def carried_on(self, number: int) -> Intent:
        """Let another worker carry the change on; return it as it ended, with the mirror as it should be."""
        mirror = self.mirror()
        with closing(mirror.store), closing(mirror.sync):
            mirror.settle()
            intent = mirror.store.intent(mirror.account.no, number)
            assert intent is not None
            assert intent.state is IntentState.ENDED
            assert intent.visible > 0
            assert_agreed(mirror)
            return intent


@pytest.fixture
def office(tmp_path: Path, mailbox: Mailbox) -> Office:
    return opened(tmp_path, mailbox)


@pytest.fixture
def gmail(tmp_path: Path) -> Iterator[Office]:
    with HostileServer(GMAIL) as server:
        server.mailbox = server.mailbox.with_password(PASSWORD)
        yield opened(tmp_path, server.mailbox)


def opened(tmp_path: Path, mailbox: AnyMailbox) -> Office:
    mailbox.deliver(letters(MESSAGES))
    office = Office(Site(tmp_path), mailbox)
    mirror = office.mirror()
    with closing(mirror.store), closing(mirror.sync):
        mirror.settle()
    return office


def left() -> list[int]:
    return [uid for uid in range(1, MESSAGES + 1) if uid not in CHOSEN]


@pytest.mark.parametrize("failpoint", [*ONCE, "change_sent:2", "change_answered:2"])
def test_crash_in_changed_flags(office: Office, failpoint: str) -> None:
    number = office.ask(IntentKind.MODIFY_FLAGS, add=Flags.of(["\\Seen"]), remove=Flags.of(["\\Flagged"]))
    office.site.run_until_killed("sync", failpoint)
    assert office.carried_on(number).outcome.done == CHOSEN
    assert office.mailbox.flags_by_uid() == {
        uid: frozenset({"\\Seen"} if uid in CHOSEN else ()) for uid in range(1, MESSAGES + 1)
    }


@pytest.mark.parametrize(
    "failpoint",
    [*ONCE, *(f"{point}:{command}" for point in ("change_sent", "change_answered") for command in (2, 3))],
)
def test_crash_in_changed_flags_and_labels(gmail: Office, failpoint: str) -> None:
    """Flags, a label more, and the label of the folder less, so that what was changed is there no more."""
    assert isinstance(gmail.mailbox, HostileMailbox)
    number = gmail.ask(
        IntentKind.MODIFY_FLAGS,
        add=Flags.of(["\\Seen"], ["kept here"]),
        remove=Flags.of((), ["\\Inbox"]),
    )
    gmail.site.run_until_killed("sync", failpoint)
    outcome = gmail.carried_on(number).outcome
    assert (outcome.done, outcome.refused) == (CHOSEN, ())
    assert sorted(gmail.mailbox.flags_by_uid()) == left()
    assert gmail.mailbox.flags_by_uid("kept here") == dict.fromkeys(range(1, 5), frozenset({"\\Seen"}))
    assert set(gmail.mailbox.labels_by_uid("kept here").values()) == {frozenset()}


@pytest.mark.parametrize("failpoint", ONCE)
def test_crash_in_a_conditional_change_of_labels_is_no_conflict_with_ourselves(
    gmail: Office, failpoint: str
) -> None:
    assert isinstance(gmail.mailbox, HostileMailbox)
    mirror = gmail.mirror()
    with closing(mirror.store), closing(mirror.sync):
        modseq = mirror.folder()[1].modseq
    number = gmail.ask(IntentKind.MODIFY_FLAGS, add=Flags.of((), ["mine"]), unchanged_since=modseq)
    gmail.site.run_until_killed("sync", failpoint)
    assert gmail.carried_on(number).outcome.done == CHOSEN
    labelled = {uid for uid, labels in gmail.mailbox.labels_by_uid().items() if "mine" in labels}
    assert labelled == set(CHOSEN)


def test_a_condition_that_our_own_flags_may_have_broken_leaves_the_labels_unknown(gmail: Office) -> None:
    assert isinstance(gmail.mailbox, HostileMailbox)
    mirror = gmail.mirror()
    with closing(mirror.store), closing(mirror.sync):
        modseq = mirror.folder()[1].modseq
    both = Flags.of(["\\Seen"], ["mine"])
    number = gmail.ask(IntentKind.MODIFY_FLAGS, add=both, unchanged_since=modseq)
    gmail.site.run_until_killed("sync", "change_answered")
    (refused,) = gmail.carried_on(number).outcome.refused
    assert (refused.uids, refused.reason) == (CHOSEN, "OUTCOME_UNKNOWN")
    assert not any(gmail.mailbox.labels_by_uid().values())


@pytest.mark.parametrize("failpoint", ONCE)
def test_crash_in_a_conditional_change_is_change_is_no_conflict_with_ourselves(
    office: Office, failpoint: str
) -> None:
    office.mailbox.store("1", "+FLAGS.SILENT (earlier)")
    mirror = office.mirror()
    with closing(mirror.store), closing(mirror.sync):
        mirror.poll()
        modseq = mirror.folder()[1].modseq
    number = office.ask(IntentKind.MODIFY_FLAGS, add=Flags.of(["\\Seen"]), unchanged_since=modseq)
    office.site.run_until_killed("sync", failpoint)
    assert office.carried_on(number).outcome.done == CHOSEN


@pytest.mark.parametrize("failpoint", ONCE)
def test_crash_in_a_copy(office: Office, failpoint: str) -> None:
    office.mailbox.deliver(letters(3), "Sent")  # of which two look like what is copied
    number = office.ask(IntentKind.COPY, "Sent")
    office.site.run_until_killed("sync", failpoint)
    outcome = office.carried_on(number).outcome
    assert outcome.done == CHOSEN
    assert outcome.moved == tuple(zip(CHOSEN, range(4, 8), strict=True))
    assert len(office.mailbox.flags_by_uid("Sent")) == 3 + len(CHOSEN)
    assert len(office.mailbox.flags_by_uid()) == MESSAGES


def test_what_was_begun_is_found_out_before_anything_else_is_sent(office: Office) -> None:
    """A repeat that asks anew for what was refused keeps its number, which is lower; its copies are not the other's."""
    again = office.ask(IntentKind.COPY, "Sent")
    sent = office.folder("Sent")
    begun = office.ask(
        IntentKind.COPY,
        "Sent",
        state=IntentState.BEGUN,
        sent=True,
        uid_next=1,
        target_validity=sent.uid_validity,
    )
    assert office.carried_on(begun).outcome.moved == tuple(zip(CHOSEN, range(1, 5), strict=True))
    assert office.carried_on(again).outcome.moved == tuple(zip(CHOSEN, range(5, 9), strict=True))


@pytest.mark.parametrize("failpoint", ONCE)
def test_crash_in_a_move(office: Office, failpoint: str) -> None:
    check_move(office, failpoint)


@pytest.mark.parametrize("command", [1, 2, 3], ids=["copy", "store", "expunge"])
@pytest.mark.parametrize("failpoint", ["change_sent", "change_answered"])
def test_crash_in_a_move_made_of_a_copy_and_a_removal(
    tmp_path: Path, mailbox_without_move: Mailbox, failpoint: str, command: int
) -> None:
    check_move(opened(tmp_path, mailbox_without_move), f"{failpoint}:{command}")


def check_move(office: Office, failpoint: str) -> None:
    number = office.ask(IntentKind.MOVE, "Sent")
    office.site.run_until_killed("sync", failpoint)
    outcome = office.carried_on(number).outcome
    assert outcome.done == CHOSEN
    assert outcome.moved == tuple(zip(CHOSEN, range(1, 5), strict=True))
    assert sorted(office.mailbox.flags_by_uid("Sent")) == [1, 2, 3, 4]
    assert sorted(office.mailbox.flags_by_uid()) == left()


@pytest.mark.parametrize("failpoint", [*ONCE, "change_sent:2", "change_answered:2"])
def test_crash_in_a_deletion(office: Office, failpoint: str) -> None:
    office.mailbox.store("1,3", r"+FLAGS.SILENT (\Deleted)")
    number = office.ask(IntentKind.EXPUNGE)
    office.site.run_until_killed("sync", failpoint)
    assert office.carried_on(number).outcome.done == CHOSEN
    held = office.mailbox.flags_by_uid()
    assert sorted(held) == left()
    assert [uid for uid, flags in held.items() if "\\Deleted" in flags] == [1, 3]


def test_crash_everywhere_in_changes_at_random(office: Office) -> None:
    """SIGKILL at commits of the store, the sync's that follows a change among them."""
    rng = random.Random(office.mailbox.user)
    for _ in range(3):
        number = office.ask(IntentKind.COPY, "Sent")
        before = len(office.mailbox.flags_by_uid("Sent"))
        point = rng.choice(("before_commit", "after_commit"))
        office.site.run_until_killed("sync", f"{point}:{rng.randint(1, 5)}")
        assert office.carried_on(number).outcome.done == CHOSEN
        assert len(office.mailbox.flags_by_uid("Sent")) == before + len(CHOSEN)


@pytest.mark.parametrize("failpoint", ONCE)
def test_crash_in_a_change_of_folders(office: Office, failpoint: str) -> None:
    """Created, renamed with a folder below it, deleted: each once, whatever the worker lived to see."""
    number = office.ask(IntentKind.CREATE_FOLDER, folder=NO_FOLDER, path="New/Below")
    office.site.run_until_killed("sync", failpoint)
    assert office.carried_on(number).outcome.error_reason == ""
    made = office.folder("New/Below")
    number = office.ask(IntentKind.RENAME_FOLDER, folder=office.folder("New").no, path="Renamed")
    office.site.run_until_killed("sync", failpoint)
    assert office.carried_on(number).outcome.error_reason == ""
    assert office.folder("Renamed/Below").id == made.id
    number = office.ask(IntentKind.DELETE_FOLDER, folder=made.no)
    office.site.run_until_killed("sync", failpoint)
    assert office.carried_on(number).outcome.error_reason == ""
    assert office.paths() == ["Archive", "Drafts", "INBOX", "Junk", "Renamed", "Sent", "Trash"]


@pytest.mark.parametrize("mirrored", [True, False], ids=["mirrored", "listed"])
@pytest.mark.parametrize("kind", [IntentKind.DELETE_FOLDER, IntentKind.RENAME_FOLDER])
def test_a_folder_made_by_others_since_a_crash_is_neither_deleted_nor_renamed(
    office: Office, kind: IntentKind, mirrored: bool
) -> None:
    office.mailbox.deliver(letters(1), "Archive")
    mirror = office.mirror()
    with closing(mirror.store), closing(mirror.sync):
        mirror.sync_also(*["Archive"] * mirrored)
    number = office.ask(kind, folder=office.folder("Archive").no, path="New")
    office.site.run_until_killed("sync", "change_begun")
    office.mailbox.delete_folder("Archive")  # as the worker that died had done, or another
    office.mailbox.create_folders("Archive")
    office.mailbox.deliver(letters(2), "Archive")
    assert office.carried_on(number).outcome.error_reason == (
        "" if kind is IntentKind.DELETE_FOLDER else "OUTCOME_UNKNOWN"
    )
    assert len(office.mailbox.flags_by_uid("Archive")) == 2


def test_a_folder_that_never_held_messages_is_not_taken_for_deleted(office: Office) -> None:
    """Elsewhere a folder that holds none any more, since others are below it, is what a deletion leaves."""
    office.mailbox.create_folders("Branch/Leaf")
    mirror = office.mirror()
    with closing(mirror.store), closing(mirror.sync):
        mirror.clock.skipped += 1_000
        mirror.settle()
    branch = office.folder("Branch")
    assert not branch.selectable
    number = office.ask(IntentKind.DELETE_FOLDER, folder=branch.no, state=IntentState.BEGUN, sent=True)
    assert office.carried_on(number).outcome.error_reason == "IMAP_REFUSED"
    assert "Branch" in office.paths()


@pytest.mark.parametrize("failpoint", ONCE)
def test_crash_in_an_append(office: Office, failpoint: str) -> None:
    office.mailbox.deliver([LETTER], "Sent")  # by another, and before
    number = office.ask_append(LETTER, "new@example.org")
    office.site.run_until_killed("sync", failpoint)
    outcome = office.carried_on(number).outcome
    assert (outcome.error_reason, outcome.uid) == ("", 2)
    assert len(office.mailbox.flags_by_uid("Sent")) == 2
    assert not list((office.site.directory / "data" / "spool").iterdir())


@pytest.mark.parametrize("failpoint", ["change_begun", "change_answered"])
def test_a_message_that_nothing_tells_from_others_is_not_sent_twice(office: Office, failpoint: str) -> None:
    nameless = b"Subject: no Message-ID\r\n\r\nhello\r\n"
    number = office.ask_append(nameless, "")
    office.site.run_until_killed("sync", failpoint)
    outcome = office.carried_on(number).outcome
    # That none of its size has come is certain; that the one which came is it is not.
    assert outcome.error_reason == ("" if failpoint == "change_begun" else "OUTCOME_UNKNOWN")
    assert len(office.mailbox.flags_by_uid("Sent")) == 1

r"""Killed at any point of a copy, a move, a deletion or an append, a worker finds out what was done: nothing twice, nothing lost."""

import random
from pathlib import Path

import pytest

from mailsync_grpc.model.intent import IntentKind, IntentState
from tests.support.crash_office import CHOSEN, MESSAGES, ONCE, Office, left, opened
from tests.support.mail import Mailbox, letters

LETTER = b"From: ann@example.org\r\nMessage-ID: <new@example.org>\r\n\r\nhello\r\n"
pytestmark = pytest.mark.timeout(120)


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

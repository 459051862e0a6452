r"""Killed at any point of a change of flags and labels, a worker makes it whole, and is in no conflict with itself."""

from contextlib import closing

import pytest

from mailsync_grpc.model.flags import Flags
from mailsync_grpc.model.intent import IntentKind
from tests.support.crash_office import CHOSEN, MESSAGES, ONCE, Office, left
from tests.support.hostile import HostileMailbox

pytestmark = pytest.mark.timeout(120)


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
def test_crash_in_a_conditional_change_of_flags_is_no_conflict_with_ourselves(
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

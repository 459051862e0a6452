"""What polling cannot see, by name: what was undone before the next look. State is compared; it is not a history.

Each of these ends with the mirror equal to the server and with no event of what came between.
"""

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from tests.support.agreement import assert_agreed
from tests.support.mirror import Mirror, kinds


@pytest.fixture
def before(mirror: Mirror) -> int:
    """The log's head once 20 messages are mirrored."""
    mirror.mailbox.deliver(messages(20))
    mirror.settle()
    return mirror.head


def test_a_message_that_came_and_went_between_two_polls_is_never_told(mirror: Mirror, before: int) -> None:
    mirror.mailbox.deliver(messages(1, seed=2))
    mirror.mailbox.expunge("21")
    mirror.poll()
    assert_agreed(mirror)
    assert mirror.head == before


def test_flags_that_were_set_and_taken_back_between_two_polls_are_never_told(
    mirror: Mirror, before: int
) -> None:
    mirror.mailbox.store("20", r"+FLAGS (\Flagged)")
    mirror.mailbox.store("20", r"-FLAGS (\Flagged)")
    mirror.poll()
    assert_agreed(mirror)
    assert mirror.head == before


def test_only_the_last_of_several_flag_changes_is_told(mirror: Mirror, before: int) -> None:
    mirror.mailbox.store("20", r"FLAGS (\Flagged)")
    mirror.mailbox.store("20", r"FLAGS (\Seen)")
    mirror.poll()
    assert_agreed(mirror)
    (event,) = mirror.events(before)
    assert event.flags_changed.flags.seen
    assert not event.flags_changed.flags.flagged


def test_flags_of_a_message_that_was_expunged_meanwhile_are_not_told(mirror: Mirror, before: int) -> None:
    mirror.mailbox.store("20", r"+FLAGS (\Flagged)")
    mirror.mailbox.expunge("20")
    mirror.poll()
    assert_agreed(mirror)
    assert kinds(mirror.events(before)) == ["envelopes_removed"]

r"""One message that a server cannot give, or gives in a way that nobody can read, harms no other message.

It is found by halving, kept as a PARTIAL record with the flags the server lists for it, and not asked for again. A
server that gives nothing at all has another illness: then nothing is given up.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from tests.support.agreement import added, assert_agreed
from tests.support.hostile import METADATA, HostileServer
from tests.support.hostile_faults import (
    Fault,
    closing_at_message,
    completing,
    empty,
    refusing,
    refusing_message,
    rewriting,
)
from tests.support.mirror import POLICY, Mirror

MAX_LINE = 100_000


def long_line(uid: int) -> Fault:
    """A response that is longer than the cap on lines."""
    return rewriting(rb"(\(UID %d FLAGS \()" % uid, rb"\1" + b"k" * 2 * MAX_LINE + b" ")


POISON = {"refused": refusing_message, "long_line": long_line, "hangs_up": closing_at_message}


@pytest.fixture
def mirror(hostile_mirror: Mirror) -> Mirror:
    """A mirror of 30 messages, not yet synced, with a low cap on lines."""
    hostile_mirror.policy = replace(POLICY, max_line=MAX_LINE)
    hostile_mirror.mailbox.deliver(messages(30))
    return hostile_mirror


def poll_often(mirror: Mirror) -> None:
    """Long enough for the back-off of a connection that fails with each half of a batch."""
    for _ in range(40):
        mirror.clock.skipped += 600
        mirror.poll()


def partial(mirror: Mirror) -> list[int]:
    return [envelope.uid for envelope in mirror.envelopes() if envelope.HasField("partial")]


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
@pytest.mark.parametrize("uids", [[27], [30], [1], [24, 25], [5, 15, 25]], ids=str)
def test_poison_message(
    mirror: Mirror, hostile: HostileServer, poison: Callable[[int], Fault], uids: list[int]
) -> None:
    for uid in uids:
        hostile.always(METADATA, poison(uid))
    mirror.mailbox.store(str(uids[0]), r"+FLAGS (\Flagged)")
    mirror.settle()
    poll_often(mirror)
    assert_agreed(mirror)
    assert partial(mirror) == uids
    assert added(mirror) == []


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_poison_remembered(mirror: Mirror, hostile: HostileServer, poison: Callable[[int], Fault]) -> None:
    mirror.settle()
    hostile.always(METADATA, poison(33))
    mirror.mailbox.deliver(messages(5, seed=2))
    poll_often(mirror)
    assert_agreed(mirror)
    assert (partial(mirror), sorted(added(mirror))) == ([33], [31, 32, 33, 34, 35])
    asked = len(hostile.sent(METADATA))
    mirror.restart()
    poll_often(mirror)
    assert len(hostile.sent(METADATA)) == asked


def test_poison_after_poison_is_told_from_an_ill_server(mirror: Mirror, hostile: HostileServer) -> None:
    mirror.settle()
    hostile.always(METADATA, refusing_message(31))
    hostile.always(METADATA, refusing_message(32))
    for number in range(2):
        mirror.mailbox.deliver(messages(1, seed=number))
        mirror.poll()
    assert_agreed(mirror)
    assert partial(mirror) == [31, 32]


def test_a_poisoned_message_alone_in_its_folder_is_told_too(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    hostile_mirror.settle()
    hostile.always(METADATA, refusing_message(1))
    hostile_mirror.mailbox.deliver(messages(1))
    hostile_mirror.poll()
    assert_agreed(hostile_mirror)
    assert partial(hostile_mirror) == [1]


@pytest.mark.parametrize("synced", [False, True])
@pytest.mark.parametrize("fault", [refusing(), completing(b"BAD what", 0), empty], ids=["no", "bad", "empty"])
def test_a_server_that_gives_no_message_at_all_makes_none_partial(
    mirror: Mirror, hostile: HostileServer, fault: Fault, synced: bool
) -> None:
    if synced:
        mirror.settle()
        mirror.mailbox.deliver(messages(5, seed=2))
    hostile.always(METADATA, fault)
    for _ in range(5):
        mirror.poll()
    assert len(hostile.sent(METADATA)) < 80, "it is not asked for each message in turn"
    assert partial(mirror) == []
    hostile.heal()
    mirror.clock.skipped += 600
    mirror.poll()
    assert_agreed(mirror)
    assert (partial(mirror), sorted(added(mirror))) == ([], [31, 32, 33, 34, 35] if synced else [])

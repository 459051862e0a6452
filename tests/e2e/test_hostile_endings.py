r"""An answer may end too early: refused in the middle, cut in a literal, closed without a word, or the engine killed.

What is complete may be kept, what is not stays pending, and nothing is told of that was not stored.
"""

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from tests.support.agreement import added, assert_agreed, removed
from tests.support.hostile import FLAGS, METADATA, HostileServer
from tests.support.hostile_faults import (
    Fault,
    closing,
    completing,
    cut,
    cut_in_literal,
    leaving,
    omitting,
    refusing,
    saying,
)
from tests.support.hostile_session import PLAIN
from tests.support.mirror import Mirror


@pytest.fixture
def mirror(hostile_mirror: Mirror) -> Mirror:
    """A mirror of 30 messages, synced."""
    hostile_mirror.mailbox.deliver(messages(30))
    hostile_mirror.settle()
    return hostile_mirror


def test_pending_survives_crash(mirror: Mirror, hostile: HostileServer) -> None:
    mirror.mailbox.deliver(messages(3, seed=2))
    hostile.once(METADATA, omitting(32))
    hostile.always(rb"UID FETCH 32 .*ENVELOPE", cut(0.5))
    mirror.poll()
    _, progress = mirror.folder()
    assert (progress.cursor, list(progress.pending)) == (33, [32]), "the cursor has passed what is not stored"
    hostile.heal()
    mirror.restart()
    mirror.settle()
    assert_agreed(mirror)
    assert sorted(added(mirror)) == [31, 32, 33]


ENDS: dict[str, Fault] = {
    "refused": refusing(),
    "no": completing(b"NO [SERVERBUG] internal error", 3),
    "bad": completing(b"BAD internal error", 3),
    "unavailable": leaving(b"[UNAVAILABLE] going down", 3),
    "autologout": leaving(b"autologout", 3),
    "bye_then_ok": saying(b"* BYE going down"),
}


@pytest.mark.parametrize("commands", [FLAGS, METADATA])
@pytest.mark.parametrize("fault", ENDS.values(), ids=ENDS)
def test_no_partial_leak(
    hostile_mirror: Mirror, hostile: HostileServer, commands: bytes, fault: Fault
) -> None:
    mirror = hostile_mirror
    mirror.mailbox.deliver(messages(30))
    hostile.once(commands, fault)
    mirror.settle()
    mirror.poll()
    assert_agreed(mirror)
    before = mirror.head
    mirror.mailbox.deliver(messages(5, seed=2))
    hostile.once(commands, fault)
    mirror.poll()
    mirror.poll()
    assert_agreed(mirror)
    assert (added(mirror, before), removed(mirror)) == ([31, 32, 33, 34, 35], 0)


@pytest.mark.parametrize("fault", [cut_in_literal, cut(0.3), cut(0.95)], ids=["in_literal", "early", "late"])
def test_drop_mid_literal(hostile_mirror: Mirror, hostile: HostileServer, fault: Fault) -> None:
    mirror = hostile_mirror
    mirror.mailbox.deliver(messages(30))
    hostile.once(METADATA, fault)
    mirror.settle()
    mirror.poll()
    assert_agreed(mirror)
    assert not any(envelope.HasField("partial") for envelope in mirror.envelopes())


@pytest.mark.parametrize("lines", [0, 5, 10])
def test_close_mid_fetch(mirror: Mirror, hostile: HostileServer, lines: int) -> None:
    before = mirror.head
    mirror.mailbox.store("21:30", r"+FLAGS (\Seen)")
    hostile.once(FLAGS, closing(lines))
    mirror.poll()
    assert removed(mirror, before) == 0, "an answer without its end tells of nothing that is gone"
    mirror.poll()
    assert_agreed(mirror)


@pytest.mark.parametrize("hostile", [PLAIN], indirect=True)
def test_a_connection_that_heard_bye_is_not_used_again(mirror: Mirror, hostile: HostileServer) -> None:
    hostile.once(FLAGS, saying(b"* BYE going down"))
    sent = len(hostile.received)
    mirror.poll()
    assert hostile.received[sent:] == [b'EXAMINE "INBOX"', b"UID FETCH 21:* (UID FLAGS)"]
    assert mirror.connections[-1].closed
    mirror.poll()
    assert hostile.connections == 2
    assert_agreed(mirror)

"""HIGHESTMODSEQ and UIDNEXT are hints: late, lost, rewound or stuck ones cost work, never a message or a flag for long."""

from contextlib import suppress

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from tests.support.agreement import added, assert_agreed, removed
from tests.support.dying import Crash, dying_after
from tests.support.hostile import HostileServer
from tests.support.hostile_faults import Fault, meanwhile, rewriting
from tests.support.hostile_session import CONDSTORE, FULL
from tests.support.mirror import Mirror

HINTED = pytest.mark.parametrize("hostile", [FULL, CONDSTORE], indirect=True, ids=["qresync", "condstore"])
WHOLE = rb"UID FETCH 1:\* \(UID FLAGS\)$"


@pytest.fixture
def mirror(hostile_mirror: Mirror) -> Mirror:
    """A mirror of 30 messages, synced."""
    hostile_mirror.mailbox.deliver(messages(30))
    hostile_mirror.settle()
    return hostile_mirror


def change(mirror: Mirror, seed: int = 2) -> None:
    """New mail, flags of an old message and of the newest, and a message gone."""
    mirror.mailbox.deliver(messages(2, seed=seed))
    mirror.mailbox.store("2,29", r"+FLAGS (\Flagged)")
    mirror.mailbox.expunge("5")


# What comes during a look


@HINTED
@pytest.mark.parametrize("commands", [b'STATUS "INBOX"', b'EXAMINE "INBOX"', b"CHANGEDSINCE", b"ENVELOPE"])
def test_modseq_after_commit(mirror: Mirror, hostile: HostileServer, commands: bytes) -> None:
    before = mirror.head
    mirror.mailbox.deliver(messages(1, seed=3))
    hostile.once(commands, meanwhile(lambda: change(mirror)))
    mirror.poll()
    mirror.poll()
    assert_agreed(mirror)
    assert (added(mirror, before), removed(mirror, before)) == ([31, 32, 33], 1)
    assert mirror.folder()[1].modseq == hostile.mail.folders["INBOX"].modseq


@HINTED
@pytest.mark.parametrize("commits", range(6))
def test_a_crash_in_a_look_loses_nothing_that_it_had_not_committed(mirror: Mirror, commits: int) -> None:
    change(mirror)
    with suppress(Crash), dying_after(mirror.store, commits):
        mirror.poll()
    mirror.restart()
    mirror.poll()
    assert_agreed(mirror)
    assert (added(mirror), removed(mirror)) == ([31, 32], 1)


# What a server tells wrong

TOLD = rb"\[?HIGHESTMODSEQ \d+\]?"
TRAPS: dict[str, tuple[bytes, Fault]] = {
    "zero": (b"EXAMINE|STATUS", rewriting(rb"HIGHESTMODSEQ \d+", b"HIGHESTMODSEQ 0")),
    "absent": (b"EXAMINE|STATUS", rewriting(TOLD, b"")),
    "nomodseq": (b"EXAMINE", rewriting(rb"HIGHESTMODSEQ \d+", b"NOMODSEQ")),
    "lower": (b"EXAMINE|STATUS", rewriting(rb"HIGHESTMODSEQ \d+", b"HIGHESTMODSEQ 1")),
}


@HINTED
@pytest.mark.parametrize(("commands", "fault"), TRAPS.values(), ids=TRAPS)
def test_modseq_traps(mirror: Mirror, hostile: HostileServer, commands: bytes, fault: Fault) -> None:
    """A mod-sequence that is lost or goes down: the folder is compared whole, once, and looked at the plain way."""
    hostile.always(commands, fault)
    change(mirror)
    mirror.poll()
    assert_agreed(mirror)
    whole = len(hostile.sent(WHOLE))
    mirror.mailbox.deliver(messages(1, seed=4))
    mirror.poll()
    assert_agreed(mirror)
    assert len(hostile.sent(WHOLE)) - whole <= 1, "Sent, which is empty"
    hostile.heal()
    mirror.clock.skipped += mirror.settings.full_interval
    mirror.poll()
    change(mirror, seed=5)
    mirror.poll()
    assert_agreed(mirror)


@HINTED
@pytest.mark.parametrize("arrivals", [0, 1], ids=["expunge", "arrival_and_expunge"])
def test_modseq_traps_when_it_stays_although_something_changed(
    mirror: Mirror, hostile: HostileServer, arrivals: int
) -> None:
    """Counts and UIDNEXT show the rest, in the same poll; flags are found by the next comparison of the whole."""
    stuck = mirror.folder()[1].modseq
    hostile.always(b'(EXAMINE|STATUS) "INBOX"', rewriting(rb"HIGHESTMODSEQ \d+", b"HIGHESTMODSEQ %d" % stuck))
    mirror.mailbox.expunge("5")
    mirror.mailbox.deliver(messages(arrivals, seed=2))
    mirror.mailbox.store("2", r"+FLAGS (\Flagged)")
    mirror.poll()
    assert mirror.flags().keys() == mirror.mailbox.flags_by_uid().keys()
    mirror.clock.skipped += mirror.settings.full_interval
    mirror.poll()
    assert_agreed(mirror)


def test_a_uidnext_that_went_back_has_the_folder_compared_whole_once(
    mirror: Mirror, hostile: HostileServer
) -> None:
    hostile.always(b"EXAMINE|STATUS", rewriting(rb"UIDNEXT \d+", b"UIDNEXT 7"))
    mirror.mailbox.store("2", r"+FLAGS (\Flagged)")
    verified = mirror.folder()[1].verified_at
    mirror.poll()
    assert_agreed(mirror)
    compared = mirror.folder()[1]
    assert compared.verified_at > verified
    assert compared.uid_next == 0, "what cannot be is not kept"
    mirror.mailbox.store("30", r"+FLAGS (\Flagged)")
    mirror.poll()
    assert mirror.folder()[1].verified_at == compared.verified_at
    assert_agreed(mirror)

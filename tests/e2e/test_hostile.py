r"""What a mail server says of messages may be incomplete, out of order, mixed with news or plainly wrong.

Whatever it says, no message is lost, invented, doubled or told of too early, and once it is honest again the log, the
store and the server agree. Each scenario is a rule or two of `tests.support.hostile`.
"""

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from tests.support.agreement import added, assert_agreed, removed
from tests.support.hostile import FLAGS, METADATA, HostileServer
from tests.support.hostile_faults import (
    Fault,
    doubled,
    empty,
    meanwhile,
    omitting,
    rewriting,
    saying,
    shuffled,
)
from tests.support.hostile_session import FULL, PLAIN
from tests.support.mirror import Mirror, kinds

LISTINGS = pytest.mark.parametrize(
    ("hostile", "full"),
    [
        pytest.param(PLAIN, False, id="newest"),
        pytest.param(PLAIN, True, id="whole"),
        pytest.param(FULL, True, id="whole_of_extended"),
    ],
    indirect=["hostile"],
)
"""Looks that list messages although nothing changed."""


@pytest.fixture
def mirror(hostile_mirror: Mirror) -> Mirror:
    """A mirror of 30 messages, synced."""
    hostile_mirror.mailbox.deliver(messages(30))
    hostile_mirror.settle()
    return hostile_mirror


def look(mirror: Mirror, *, full: bool) -> None:
    """Poll, with a comparison of the whole folder when `full`."""
    mirror.clock.skipped += mirror.settings.full_interval if full else 0.0
    mirror.poll()


# What is not in an answer


@LISTINGS
def test_omitted_not_deleted(mirror: Mirror, hostile: HostileServer, full: bool) -> None:
    before, sent = mirror.head, len(hostile.received)
    hostile.once(FLAGS, omitting(25, 28))
    look(mirror, full=full)
    assert removed(mirror, before) == 0
    assert_agreed(mirror)
    again = hostile.received.index(b"UID FETCH 25,28 (UID FLAGS)", sent)
    assert hostile.received[again - 1] == b'EXAMINE "INBOX"', "asked again in a folder opened anew"


def test_a_message_omitted_from_a_batch_is_asked_for_again(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    hostile_mirror.mailbox.deliver(messages(30))
    hostile.once(METADATA, omitting(22, 27))
    hostile_mirror.settle()
    assert_agreed(hostile_mirror)
    assert not any(envelope.HasField("partial") for envelope in hostile_mirror.envelopes())


def test_a_message_listed_but_never_given_is_kept_as_partial(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    hostile_mirror.mailbox.deliver(messages(30))
    hostile.always(METADATA, omitting(22))
    hostile_mirror.settle()
    assert_agreed(hostile_mirror)
    assert [envelope.uid for envelope in hostile_mirror.envelopes() if envelope.HasField("partial")] == [22]
    asked = len(hostile.sent(METADATA))
    hostile_mirror.poll()
    assert len(hostile.sent(METADATA)) == asked, "not fetched for ever"


@LISTINGS
def test_empty_listing(mirror: Mirror, hostile: HostileServer, full: bool) -> None:
    before = mirror.head
    hostile.always(FLAGS, empty)
    look(mirror, full=full)
    assert removed(mirror, before) == 0
    assert len(mirror.flags()) == 30
    assert mirror.folder()[0].error_reason == "IMAP_PROTOCOL"
    hostile.heal()
    mirror.poll()
    assert_agreed(mirror)
    assert removed(mirror, before) == 0


def test_an_empty_answer_to_the_first_look_is_no_empty_folder(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    hostile_mirror.mailbox.deliver(messages(5))
    hostile.once(FLAGS, empty, times=2)
    hostile_mirror.settle()
    assert not hostile_mirror.folder()[1].synced
    hostile_mirror.poll()
    assert_agreed(hostile_mirror)
    assert added(hostile_mirror) == []


def test_a_history_that_is_listed_and_then_not_shown_is_not_lost(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    hostile_mirror.mailbox.deliver(messages(30))
    hostile.always(METADATA, empty)
    hostile.always(rb"UID FETCH \d+:\d+ \(UID FLAGS\)", empty)
    hostile_mirror.settle()
    assert len(hostile_mirror.folder()[1].pending) == 30
    hostile.heal()
    hostile_mirror.poll()
    assert_agreed(hostile_mirror)
    assert added(hostile_mirror) == [], "history is no new mail"


# What is in an answer and should not be, or not so


@pytest.mark.parametrize("fault", [shuffled, doubled, saying(b"* 1 FETCH (UID 0 FLAGS ())")])
def test_unsorted_uids(hostile_mirror: Mirror, hostile: HostileServer, fault: Fault) -> None:
    hostile.always(b"UID FETCH", fault)
    hostile_mirror.mailbox.deliver(messages(30))
    hostile_mirror.settle()
    hostile_mirror.mailbox.deliver(messages(12, seed=2))
    hostile_mirror.mailbox.store("40", r"+FLAGS (\Seen)")
    hostile_mirror.mailbox.expunge("36")
    hostile_mirror.poll()
    hostile_mirror.poll()
    assert_agreed(hostile_mirror)
    assert added(hostile_mirror) == [uid for uid in range(31, 43) if uid != 36]


@pytest.mark.parametrize("hostile", [PLAIN], indirect=True)
def test_star_range(mirror: Mirror, hostile: HostileServer) -> None:
    before = mirror.head
    hostile.always(rb"UID FETCH \d+:\*", saying(rb"* 1 FETCH (UID 1 FLAGS (\Flagged))"))
    mirror.poll()
    assert mirror.head == before, "a UID below the range is not in the answer"


def test_unsolicited_no_uid(mirror: Mirror, hostile: HostileServer) -> None:
    before = mirror.head
    hostile.always(
        b"UID FETCH", saying(rb"* 7 FETCH (FLAGS (\Deleted))", rb"* 27 FETCH (FLAGS (\Deleted \Seen))")
    )
    mirror.mailbox.deliver(messages(3, seed=2))
    mirror.poll()
    assert added(mirror, before) == [31, 32, 33]
    assert_agreed(mirror)


# What changes while an answer is made


@pytest.mark.parametrize("commands", [FLAGS, METADATA])
@pytest.mark.parametrize("uids", ["21", "30", "1:30"])
def test_expunge_midfetch(hostile_mirror: Mirror, hostile: HostileServer, commands: bytes, uids: str) -> None:
    mirror = hostile_mirror
    mirror.mailbox.deliver(messages(30))
    hostile.once(commands, meanwhile(lambda: mirror.mailbox.expunge(uids)))
    hostile.once(commands, saying(b"* 3 EXPUNGE"))
    mirror.settle()
    mirror.poll()
    mirror.poll()
    assert_agreed(mirror)
    assert not any(envelope.HasField("partial") for envelope in mirror.envelopes())


def test_arrivals_expunged_before_they_are_fetched_are_not_announced(
    mirror: Mirror, hostile: HostileServer
) -> None:
    before = mirror.head
    mirror.mailbox.deliver(messages(3, seed=2))
    hostile.once(FLAGS, meanwhile(lambda: mirror.mailbox.expunge("32")))
    mirror.poll()
    assert_agreed(mirror)
    assert added(mirror, before) == [31, 33]


def test_an_expunge_and_an_arrival_during_one_look_contradict_nothing(
    mirror: Mirror, hostile: HostileServer
) -> None:
    before = mirror.head
    mirror.mailbox.expunge("28")
    hostile.once(FLAGS, meanwhile(lambda: mirror.mailbox.deliver(messages(1, seed=2))))
    mirror.poll()
    mirror.poll()
    assert_agreed(mirror)
    assert "folder_changed" not in kinds(mirror.events(before)), "the folder was never in trouble"


GHOST = rewriting(
    rb'^(\* \d+ FETCH \(UID (?:27|32) FLAGS \([^)]*\) INTERNALDATE) "[^"]*" (RFC822\.SIZE) \d+ ENVELOPE (?s:.*)$',
    rb'\1 "01-Jan-1970 00:00:00 +0000" \2 0 ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)'
    rb' BODYSTRUCTURE ("text" "plain" NIL NIL NIL "7bit" 0 0) BODY[HEADER.FIELDS (REFERENCES AUTO-SUBMITTED)] "")',
)


def test_ghost_envelope(mirror: Mirror, hostile: HostileServer) -> None:
    before = mirror.head
    mirror.mailbox.deliver(messages(3, seed=2))
    hostile.once(METADATA, meanwhile(lambda: mirror.mailbox.expunge("32")))
    hostile.once(METADATA, GHOST)
    mirror.poll()
    assert added(mirror, before) == [31, 33], "the husk of an expunged message is no message"
    assert_agreed(mirror)


def test_ghost_envelope_in_the_history(hostile_mirror: Mirror, hostile: HostileServer) -> None:
    hostile_mirror.mailbox.deliver(messages(30))
    hostile.once(METADATA, meanwhile(lambda: hostile_mirror.mailbox.expunge("27")))
    hostile.once(METADATA, GHOST)
    hostile_mirror.settle()
    assert_agreed(hostile_mirror)
    assert 27 not in hostile_mirror.flags()


def test_a_message_that_only_looks_like_a_ghost_is_kept(mirror: Mirror, hostile: HostileServer) -> None:
    mirror.mailbox.deliver(messages(3, seed=2))
    hostile.always(METADATA, GHOST)
    mirror.poll()
    assert_agreed(mirror)
    assert sorted(added(mirror)) == [31, 32, 33]


@pytest.mark.parametrize("commands", [FLAGS, METADATA])
def test_cursor_no_skip(hostile_mirror: Mirror, hostile: HostileServer, commands: bytes) -> None:
    mirror = hostile_mirror
    mirror.mailbox.deliver(messages(30))
    hostile.once(commands, meanwhile(lambda: mirror.mailbox.deliver(messages(2, seed=2))))
    mirror.settle()
    mirror.mailbox.deliver(messages(1, seed=3))
    hostile.once(commands, meanwhile(lambda: mirror.mailbox.deliver(messages(2, seed=4))))
    mirror.poll()
    mirror.poll()
    assert_agreed(mirror)
    assert added(mirror) == [31, 32, 33, 34, 35], "mail that came during a look is new mail of the next"

"""Much of a folder gone at once is believed after three looks, each on a connection of its own; then it is told."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import REGISTRY

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.sync import brake
from tests.support.agreement import added, assert_agreed, removed
from tests.support.hostile import HostileServer
from tests.support.hostile_faults import omitting
from tests.support.mirror import Mirror


@contextmanager
def showing_only(hostile: HostileServer, last: int) -> Iterator[None]:
    """A server that has lost its index of INBOX above this UID, in every answer and in EXISTS."""
    folder = hostile.mail.folders["INBOX"]
    with hostile.mail.lock:
        whole = folder.messages
        folder.messages = {uid: message for uid, message in whole.items() if uid <= last}
    yield
    with hostile.mail.lock:
        folder.messages = whole


def look_again(mirror: Mirror) -> None:
    mirror.clock.skipped += brake.PAUSE
    mirror.settle()


def looks(result: str) -> float:
    return REGISTRY.get_sample_value("mailsync_sync_brake_looks_total", {"result": result}) or 0.0


def test_mass_delete_brake(mirror: Mirror) -> None:
    """A folder that was really emptied: nothing is told before the third look, the rest of the account goes on."""
    mirror.mailbox.deliver(messages(100))
    mirror.settle()
    before, confirmed = mirror.head, looks("confirmed")
    mirror.mailbox.expunge("31:90")
    mirror.poll()
    mirror.mailbox.deliver(messages(1, seed=2), "Sent")
    mirror.mailbox.deliver(messages(1, seed=3))
    mirror.mailbox.store("5", r"+FLAGS (\Flagged)")
    mirror.poll()
    assert removed(mirror, before) == 0
    assert mirror.same_as_server("Sent")
    assert sorted(added(mirror, before)) == [1, 101]
    assert mirror.flags()[5] == {r"\Flagged"}
    assert mirror.folder()[1].expected_exists == 101
    look_again(mirror)
    assert (removed(mirror, before), looks("confirmed") - confirmed) == (1, 1)
    assert_agreed(mirror)
    assert len({id(connection) for connection in mirror.connections}) == 3


@pytest.mark.parametrize("glitches", [1, 2])
def test_mass_delete_brake_survives_a_server_that_showed_a_part(
    hostile_mirror: Mirror, hostile: HostileServer, glitches: int
) -> None:
    hostile_mirror.mailbox.deliver(messages(100))
    hostile_mirror.settle()
    before = hostile_mirror.head
    with showing_only(hostile, 10):
        hostile_mirror.poll()
        for _ in range(glitches - 1):
            look_again(hostile_mirror)
    look_again(hostile_mirror)
    hostile_mirror.poll()
    assert_agreed(hostile_mirror)
    assert (removed(hostile_mirror, before), added(hostile_mirror, before)) == (0, [])


def test_mass_delete_brake_looks_again_after_ten_seconds_whatever_the_interval(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    hostile_mirror.mailbox.deliver(messages(100))
    hostile_mirror.settle()
    before = hostile_mirror.head
    hostile_mirror.mailbox.expunge("1:60")
    hostile_mirror.poll()
    for _ in range(2):
        opened = hostile.connections
        hostile_mirror.settle()
        assert hostile.connections == opened, "it is not time yet"
        look_again(hostile_mirror)
        assert hostile.connections == opened + 1
    assert_agreed(hostile_mirror)
    assert removed(hostile_mirror, before) == 1


def test_mass_delete_brake_counts_anew_after_a_restart(hostile_mirror: Mirror) -> None:
    hostile_mirror.mailbox.deliver(messages(100))
    hostile_mirror.settle()
    before = hostile_mirror.head
    hostile_mirror.mailbox.expunge("1:60")
    for _ in range(2):
        hostile_mirror.poll()
    hostile_mirror.restart()
    for _ in range(2):
        hostile_mirror.poll()
        assert removed(hostile_mirror, before) == 0
    hostile_mirror.poll()
    assert removed(hostile_mirror, before) == 1
    assert_agreed(hostile_mirror)


def test_an_answer_that_omits_much_and_then_some_of_it_removes_nothing(
    hostile_mirror: Mirror, hostile: HostileServer
) -> None:
    """What is asked for again may be omitted again, although others of the same question are shown."""
    hostile_mirror.mailbox.deliver(messages(100))
    hostile_mirror.settle()
    before = hostile_mirror.head
    hostile.once(rb"UID FETCH \d+:\* \(UID FLAGS\)", omitting(*range(1, 91)), times=2)
    hostile.once(rb"UID FETCH [\d:,]+ \(UID FLAGS\)", omitting(*range(1, 31)))
    hostile_mirror.clock.skipped += hostile_mirror.settings.full_interval
    for _ in range(3):
        hostile_mirror.poll()
    assert_agreed(hostile_mirror)
    assert (removed(hostile_mirror, before), added(hostile_mirror, before)) == (0, [])


def test_a_folder_that_is_renumbered_while_in_doubt_begins_anew(hostile_mirror: Mirror) -> None:
    hostile_mirror.mailbox.create_folders("Work")
    hostile_mirror.mailbox.deliver(messages(100), "Work")
    hostile_mirror.settle()
    hostile_mirror.select("Work")
    hostile_mirror.settle()
    hostile_mirror.mailbox.expunge("1:60", "Work")
    hostile_mirror.poll()
    hostile_mirror.mailbox.delete_folder("Work")
    hostile_mirror.mailbox.create_folders("Work")
    hostile_mirror.mailbox.deliver(messages(3, seed=4), "Work")
    for _ in range(3):
        hostile_mirror.poll()
    assert_agreed(hostile_mirror, "INBOX", "Work")

"""Renames on servers that tell identities badly, or well: what is sure is taken for a rename, what is not stays apart."""

from collections.abc import Iterator

import pytest

from mailsync_grpc.cli.demo.mailbox import deliveries
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.v1 import event_pb2
from tests.support.agreement import added, assert_agreed, removed
from tests.support.hostile import METADATA, HostileServer
from tests.support.hostile_faults import Fault, closing, refusing, silent_of
from tests.support.hostile_session import OBJECT_IDS
from tests.support.mirror import Mirror, kinds


def filled(server: HostileServer) -> Mirror:
    """A mirror of Work and Other, selected and synced, and of INBOX; Plain is known by name only."""
    mirror = Mirror(server.mailbox)
    mirror.mailbox.create_folders("Work", "Other", "Plain")
    for seed, name in enumerate(("INBOX", "Work", "Other")):
        mirror.mailbox.deliver(deliveries(5 + seed, seed=seed), name)
    mirror.settle()
    mirror.select("Work")
    mirror.select("Other")
    mirror.settle()
    return mirror


@pytest.fixture
def mirror(hostile: HostileServer) -> Iterator[Mirror]:
    """The mirror on a server that knows no MAILBOXID."""
    mirror = filled(hostile)
    yield mirror
    mirror.close()


def poll_with_listing(mirror: Mirror) -> None:
    mirror.clock.skipped += 600
    mirror.poll()


def number(mirror: Mirror, name: str) -> FolderNo:
    return mirror.folder(name)[0].no


def assert_only_renamed(mirror: Mirror, before: int) -> None:
    told = mirror.events(before)
    assert set(kinds(told)) == {"folder_changed"}
    assert {event.folder_changed.change for event in told} == {event_pb2.FOLDER_CHANGE_RENAMED}


# Servers that know MAILBOXID (RFC 8474)


@pytest.fixture
def objects() -> Iterator[HostileServer]:
    """A server that tells the identity of its mailboxes."""
    with HostileServer(OBJECT_IDS) as server:
        yield server


def test_a_mailbox_id_is_enough_for_folders_never_opened_and_for_uidvalidities_that_are_all_one(
    objects: HostileServer,
) -> None:
    for held in objects.mail.folders.values():
        held.uid_validity = 1
    objects.mailbox.create_folders("Work", "Other")
    objects.mail.folders["Work"].uid_validity = objects.mail.folders["Other"].uid_validity = 1
    mirror = filled(objects)
    known = {name: number(mirror, name) for name in ("Work", "Other", "Plain")}
    assert mirror.folder("Plain")[0].mailbox_id == objects.mail.folders["Plain"].mailbox_id
    before, asked = mirror.head, len(objects.sent(METADATA))
    for old, new in (("Work", "Passing"), ("Other", "Work"), ("Passing", "Other"), ("Plain", "Simple")):
        mirror.mailbox.rename_folder(old, new)
    poll_with_listing(mirror)
    assert [number(mirror, name) for name in ("Other", "Work", "Simple")] == list(known.values())
    assert_only_renamed(mirror, before)
    assert len(objects.sent(METADATA)) == asked, "no message has to prove it"
    assert_agreed(mirror, "INBOX", "Work", "Other")
    mirror.close()


# Servers that do not


def test_another_folder_with_the_same_uidvalidity_is_not_the_one_that_went(
    mirror: Mirror, hostile: HostileServer
) -> None:
    gone, validity = number(mirror, "Work"), hostile.mail.folders["Work"].uid_validity
    mirror.mailbox.delete_folder("Work")
    mirror.mailbox.create_folders("New")
    hostile.mail.folders["New"].uid_validity = validity
    mirror.mailbox.deliver(deliveries(6, seed=77), "New")
    poll_with_listing(mirror)
    poll_with_listing(mirror)
    assert number(mirror, "New") != gone
    assert not mirror.folder("New")[0].selected
    assert mirror.store.folder_by_no(mirror.account.no, gone) is None


def test_two_copies_of_a_folder_that_went_are_two_new_ones(mirror: Mirror, hostile: HostileServer) -> None:
    gone, held = number(mirror, "Work"), hostile.mail.folders["Work"]
    mirror.mailbox.delete_folder("Work")
    hostile.mail.folders |= {"One": held, "Two": held}
    poll_with_listing(mirror)
    assert gone not in {number(mirror, "One"), number(mirror, "Two")}
    del hostile.mail.folders["Two"]
    poll_with_listing(mirror)
    assert number(mirror, "One") == gone, "until one of them is left"


@pytest.mark.parametrize("fault", [refusing(), closing(0)], ids=["refused", "broken_off"])
def test_messages_that_cannot_be_compared_leave_the_word_to_a_uidvalidity_of_its_own(
    mirror: Mirror, hostile: HostileServer, fault: Fault
) -> None:
    known, before = number(mirror, "Work"), mirror.head
    mirror.mailbox.rename_folder("Work", "Done")
    hostile.always(METADATA, fault)
    poll_with_listing(mirror)
    mirror.clock.skipped += 600
    mirror.settle()
    hostile.heal()
    assert number(mirror, "Done") == known
    poll_with_listing(mirror)
    assert (added(mirror, before), removed(mirror, before)) == ([], 0)
    assert_agreed(mirror, "INBOX", "Done", "Other")


def test_a_new_name_that_one_listing_lacks_is_found_in_the_next(
    mirror: Mirror, hostile: HostileServer
) -> None:
    known, before = number(mirror, "Work"), mirror.head
    mirror.mailbox.rename_folder("Work", "Done")
    hostile.once(b"LIST", silent_of(b"Done"))
    poll_with_listing(mirror)
    poll_with_listing(mirror)
    assert number(mirror, "Done") == known
    assert_only_renamed(mirror, before)


def test_a_server_that_refuses_counters_still_gets_its_renumbered_folder_reset(
    mirror: Mirror, hostile: HostileServer
) -> None:
    before = mirror.head
    hostile.always(b"STATUS", refusing())
    hostile.mail.renumber("Work", 4_000_000_000)
    mirror.poll()
    mirror.poll()
    hostile.heal()
    assert kinds(mirror.events(before)).count("folder_reset") == 1
    assert_agreed(mirror, "INBOX", "Work", "Other")

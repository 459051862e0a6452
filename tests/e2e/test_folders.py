r"""Folders that are renamed, exchanged, deleted, created again and kept under prefixes stay what they are to their users.

The suite runs on Dovecot, with and without its extensions, and on a server in memory, which alone knows MAILBOXID here.
"""

from collections.abc import Callable

import pytest

from mailsync_grpc.cli.demo.mailbox import deliveries, messages
from mailsync_grpc.v1 import event_pb2
from tests.support.agreement import added, assert_agreed, removed
from tests.support.mirror import Mirror, kinds

Look = Callable[[Mirror], None]
Identity = tuple[bytes, int, int, int]


def poll_with_listing(mirror: Mirror) -> None:
    mirror.clock.skipped += 600
    mirror.poll()


@pytest.fixture(
    params=[pytest.param(poll_with_listing, id="listed"), pytest.param(Mirror.poll, id="looked_at")]
)
def meet(request: pytest.FixtureRequest) -> Look:
    """What meets a change first: a listing that is due, or a look at the folder."""
    look: Look = request.param
    return look


@pytest.fixture
def filled(mirror: Mirror) -> Mirror:
    """A mirror of INBOX, Other, Work, Work/Inner and Top/Leaf; Top and Other/Inner are known by name only."""
    mirrored = ("Other", "Work", "Work/Inner", "Top/Leaf")
    mirror.mailbox.create_folders("Top", *mirrored, "Other/Inner")
    for seed, name in enumerate(("INBOX", *mirrored)):
        mirror.mailbox.deliver(deliveries(5 + seed, seed=seed), name)
    mirror.settle()
    for name in mirrored:
        mirror.select(name)
    mirror.settle()
    return mirror


def identities(mirror: Mirror) -> dict[str, Identity]:
    return {
        folder.display_name: (folder.id, folder.no, folder.mirror, folder.uid_validity)
        for folder, _ in mirror.store.folders(mirror.account.no)
    }


def renames(mirror: Mirror, before: int) -> dict[str, str]:
    """The renames told after a revision, new path by old."""
    told = [
        (event.folder_changed.previous_path, event.folder_changed.folder.path)
        for event in mirror.events(before)
        if event.folder_changed.change == event_pb2.FOLDER_CHANGE_RENAMED
    ]
    assert len(dict(told)) == len(told), "each is told once"
    return dict(told)


def assert_nothing_else_told(mirror: Mirror, before: int) -> None:
    """No mail came or went, no folder appeared or vanished, and nothing failed."""
    told = mirror.events(before)
    assert set(kinds(told)) <= {"folder_changed"}
    assert {event.folder_changed.change for event in told} <= {
        event_pb2.FOLDER_CHANGE_RENAMED,
        event_pb2.FOLDER_CHANGE_ATTRIBUTES,
    }


# Renames


def swap(one: str, other: str) -> list[tuple[str, str]]:
    return [(one, "Passing"), (other, one), ("Passing", other)]


RENAMES: dict[str, tuple[list[tuple[str, str]], dict[str, str]]] = {
    "one_folder": ([("Top/Leaf", "Ärger & Co")], {"Top/Leaf": "Ärger & Co"}),
    "to_another_parent": ([("Work/Inner", "Top/Deep")], {"Work/Inner": "Top/Deep"}),
    "with_children": ([("Work", "Done")], {"Work": "Done", "Work/Inner": "Done/Inner"}),
    "known_by_name_only_with_children": ([("Top", "Peak")], {"Top": "Peak", "Top/Leaf": "Peak/Leaf"}),
    "swapped": (swap("Work/Inner", "Top/Leaf"), {"Work/Inner": "Top/Leaf", "Top/Leaf": "Work/Inner"}),
    "swapped_with_children": (
        swap("Work", "Other"),
        {"Work": "Other", "Work/Inner": "Other/Inner", "Other": "Work", "Other/Inner": "Work/Inner"},
    ),
    "into_a_name_that_is_free_since": (
        [("Work/Inner", "Gone"), ("Top/Leaf", "Work/Inner")],
        {"Work/Inner": "Gone", "Top/Leaf": "Work/Inner"},
    ),
}


@pytest.mark.parametrize(("steps", "expected"), RENAMES.values(), ids=RENAMES)
def test_rename_detect(
    filled: Mirror, meet: Look, steps: list[tuple[str, str]], expected: dict[str, str]
) -> None:
    before, head = identities(filled), filled.head
    for old, new in steps:
        filled.mailbox.rename_folder(old, new)
    meet(filled)
    assert renames(filled, head) == expected
    assert identities(filled) == {expected.get(name, name): known for name, known in before.items()}
    assert_nothing_else_told(filled, head)
    filled.poll()
    mirrored = ("INBOX", "Work", "Work/Inner", "Other", "Top/Leaf")
    assert_agreed(filled, *(expected.get(name, name) for name in mirrored))
    poll_with_listing(filled)
    assert_nothing_else_told(filled, head)


def test_new_mail_in_a_renamed_folder_is_announced_and_old_mail_is_not(filled: Mirror, meet: Look) -> None:
    head = filled.head
    filled.mailbox.expunge("1:2", "Work")
    filled.mailbox.rename_folder("Work", "Done")
    filled.mailbox.deliver(messages(2, seed=99), "Done")
    meet(filled)
    filled.poll()
    assert len(added(filled, head)) == 2
    assert removed(filled, head) == 1
    assert_agreed(filled, "Done", "Done/Inner", "INBOX")


def test_a_renamed_folder_whose_messages_all_went_is_still_the_same(filled: Mirror, meet: Look) -> None:
    known = identities(filled)["Top/Leaf"]
    filled.mailbox.expunge("1:*", "Top/Leaf")
    filled.mailbox.rename_folder("Top/Leaf", "Leaf")
    meet(filled)
    filled.poll()
    assert identities(filled)["Leaf"] == known
    assert_agreed(filled, "Leaf")


def test_a_rename_during_a_backfill_goes_on_with_it(mirror: Mirror) -> None:
    mirror.mailbox.create_folders("Work")
    mirror.mailbox.deliver(messages(350), "Work")
    mirror.settle()
    mirror.select("Work")
    planned = mirror.sync.turn(nudged=True)
    assert planned is not None
    known = identities(mirror)["Work"]
    mirror.mailbox.rename_folder("Work", "Done")
    poll_with_listing(mirror)
    mirror.poll()
    assert identities(mirror)["Done"][:2] == known[:2]
    assert_agreed(mirror, "Done")


def test_the_sent_folder_under_another_name_stays_selected(mirror: Mirror, meet: Look) -> None:
    mirror.mailbox.deliver(messages(3), "Sent")
    mirror.settle()
    known, head = identities(mirror)["Sent"], mirror.head
    mirror.mailbox.rename_folder("Sent", "Old Mail")
    meet(mirror)
    poll_with_listing(mirror)
    assert identities(mirror)["Old Mail"] == known
    assert mirror.folder("Old Mail")[0].selected
    assert (added(mirror, head), removed(mirror, head)) == ([], 0)
    assert_agreed(mirror, "INBOX", "Old Mail")


def test_recreate_folder(filled: Mirror, meet: Look) -> None:
    known, head = identities(filled)["Top/Leaf"], filled.head
    filled.mailbox.delete_folder("Top/Leaf")
    filled.mailbox.create_folders("Top/Leaf")
    filled.mailbox.deliver(deliveries(7, seed=4), "Top/Leaf")
    meet(filled)
    filled.poll()
    told = kinds(filled.events(head))
    assert told.count("folder_reset") == 1
    assert not {"folder_removed", "envelope_added", "envelopes_removed", "folder_changed"} & set(told)
    assert identities(filled)["Top/Leaf"][:2] == known[:2]
    assert_agreed(filled, "Top/Leaf", "INBOX")


def test_a_folder_that_takes_the_place_of_a_deleted_one_is_itself(filled: Mirror, meet: Look) -> None:
    before, head = identities(filled), filled.head
    filled.mailbox.delete_folder("Top/Leaf")
    filled.mailbox.rename_folder("Work/Inner", "Top/Leaf")
    meet(filled)
    poll_with_listing(filled)
    assert identities(filled)["Top/Leaf"] == before["Work/Inner"]
    assert kinds(filled.events(head)).count("folder_removed") == 1
    assert {"folder_reset", "envelope_added"}.isdisjoint(kinds(filled.events(head)))
    assert_agreed(filled, "Top/Leaf", "INBOX")


def test_a_deleted_folder_is_removed_without_being_called_broken(filled: Mirror, meet: Look) -> None:
    head = filled.head
    filled.mailbox.delete_folder("Top/Leaf")
    meet(filled)
    poll_with_listing(filled)
    assert kinds(filled.events(head)).count("folder_removed") == 1
    assert all(not event.folder_changed.folder.state_message for event in filled.events(head))
    assert_agreed(filled, "INBOX", "Work", "Other")

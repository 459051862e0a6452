"""Folders that come into the mirror and leave it: by a call while a turn is under way, and by the server's word."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.changes import AccountChanged
from mailsync_grpc.store.base import Batch, Counter
from tests.support.agreement import assert_agreed
from tests.support.hostile import METADATA, HostileServer
from tests.support.hostile_faults import meanwhile, rewriting
from tests.support.mirror import Mirror

FLAGS = rb"UID FETCH 1:\*"


@pytest.fixture
def mirror(hostile_mirror: Mirror) -> Mirror:
    """A mirror of 30 messages, not yet synced."""
    hostile_mirror.mailbox.deliver(messages(30))
    return hostile_mirror


def before_anything(_: Mirror) -> None:
    """The first look is under way."""


def after_the_first_sync(mirror: Mirror) -> None:
    """A full comparison is under way."""
    mirror.settle()
    mirror.clock.skipped += mirror.settings.full_interval


@pytest.mark.parametrize("stage", [before_anything, after_the_first_sync])
def test_a_folder_deselected_during_a_look_is_mirrored_anew_once_selected_again(
    mirror: Mirror, hostile: HostileServer, stage: Callable[[Mirror], None]
) -> None:
    stage(mirror)
    hostile.once(FLAGS, meanwhile(mirror.deselect))
    mirror.settle()
    assert mirror.flags() == {}
    assert mirror.folder()[1].expected_exists is None, (
        "what was seen of the old mirror says nothing of the new one"
    )
    mirror.select("INBOX")
    mirror.settle()
    assert_agreed(mirror)


def test_a_folder_deselected_during_its_backfill_keeps_nothing_of_it(
    mirror: Mirror, hostile: HostileServer
) -> None:
    hostile.once(METADATA, meanwhile(mirror.deselect))
    mirror.settle()
    assert (mirror.flags(), mirror.folder()[1].pending.ranges) == ({}, ())
    mirror.select("INBOX")
    mirror.settle()
    assert_agreed(mirror)


def test_a_folder_that_its_server_calls_sent_no_more_leaves_the_mirror(
    mirror: Mirror, hostile: HostileServer
) -> None:
    mirror.mailbox.create_folders("Work")
    mirror.mailbox.deliver(messages(3, seed=5), "Sent")
    mirror.settle()
    demoted = rewriting(rb' .Sent\) "/" "Sent"', rb') "/" "Sent"')
    promoted = rewriting(rb'\) "/" "Work"', rb' \\Sent) "/" "Work"')
    hostile.always(b"LIST", lambda reply: promoted(demoted(reply)))
    mirror.clock.skipped += 600
    mirror.poll()
    assert [mirror.folder(name)[0].selected for name in ("Sent", "Work")] == [False, True]
    assert mirror.flags("Sent") == {}, "what is not mirrored is not kept as it once was"
    assert mirror.folder("Sent")[1].stored == 0
    assert_agreed(mirror, "INBOX", "Work")
    hostile.heal()
    mirror.clock.skipped += 600
    mirror.poll()
    assert_agreed(mirror)


def test_only_folders_that_are_looked_at_count_as_stale(mirror: Mirror) -> None:
    mirror.settle()
    assert set(mirror.sync.as_of) == {mirror.folder(name)[0].no for name in ("INBOX", "Sent")}
    mirror.deselect()
    mirror.poll()
    assert set(mirror.sync.as_of) == {mirror.folder("Sent")[0].no}
    account = mirror.store.account("test")
    assert account is not None
    paused = replace(account, version=account.version + 1, paused=True)
    mirror.store.apply(Batch(account.key, (AccountChanged(paused),)))
    mirror.poll()
    assert mirror.sync.as_of == {}


def test_folders_that_are_found_together_get_their_numbers_together(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each number that is allocated alone would be a commit of its own."""
    allocate, asked = mirror.store.allocate, list[Counter]()

    def counting(counter: Counter, count: int = 1) -> int:
        asked.append(counter)
        return allocate(counter, count)

    monkeypatch.setattr(mirror.store, "allocate", counting)
    mirror.mailbox.create_folders(*(f"Archive/{year}" for year in range(2000, 2020)))
    mirror.settle()
    assert asked == [Counter.FOLDER, Counter.MIRROR]
    folders = [folder for folder, _ in mirror.store.folders(mirror.account.no)]
    assert len({(folder.no, folder.mirror) for folder in folders}) == len(folders) > 20

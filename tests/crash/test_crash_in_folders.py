r"""Killed at any point of a change of folders, a worker makes it once, and touches no folder of others."""

from contextlib import closing

import pytest

from mailsync_grpc.model.intent import NO_FOLDER, IntentKind, IntentState
from tests.support.crash_office import ONCE, Office
from tests.support.mail import letters

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("failpoint", ONCE)
def test_crash_in_a_change_of_folders(office: Office, failpoint: str) -> None:
    """Created, renamed with a folder below it, deleted: each once, whatever the worker lived to see."""
    number = office.ask(IntentKind.CREATE_FOLDER, folder=NO_FOLDER, path="New/Below")
    office.site.run_until_killed("sync", failpoint)
    assert office.carried_on(number).outcome.error_reason == ""
    made = office.folder("New/Below")
    number = office.ask(IntentKind.RENAME_FOLDER, folder=office.folder("New").no, path="Renamed")
    office.site.run_until_killed("sync", failpoint)
    assert office.carried_on(number).outcome.error_reason == ""
    assert office.folder("Renamed/Below").id == made.id
    number = office.ask(IntentKind.DELETE_FOLDER, folder=made.no)
    office.site.run_until_killed("sync", failpoint)
    assert office.carried_on(number).outcome.error_reason == ""
    assert office.paths() == ["Archive", "Drafts", "INBOX", "Junk", "Renamed", "Sent", "Trash"]


@pytest.mark.parametrize("mirrored", [True, False], ids=["mirrored", "listed"])
@pytest.mark.parametrize("kind", [IntentKind.DELETE_FOLDER, IntentKind.RENAME_FOLDER])
def test_a_folder_made_by_others_since_a_crash_is_neither_deleted_nor_renamed(
    office: Office, kind: IntentKind, mirrored: bool
) -> None:
    office.mailbox.deliver(letters(1), "Archive")
    mirror = office.mirror()
    with closing(mirror.store), closing(mirror.sync):
        mirror.sync_also(*["Archive"] * mirrored)
    number = office.ask(kind, folder=office.folder("Archive").no, path="New")
    office.site.run_until_killed("sync", "change_begun")
    office.mailbox.delete_folder("Archive")  # as the worker that died had done, or another
    office.mailbox.create_folders("Archive")
    office.mailbox.deliver(letters(2), "Archive")
    assert office.carried_on(number).outcome.error_reason == (
        "" if kind is IntentKind.DELETE_FOLDER else "OUTCOME_UNKNOWN"
    )
    assert len(office.mailbox.flags_by_uid("Archive")) == 2


def test_a_folder_that_never_held_messages_is_not_taken_for_deleted(office: Office) -> None:
    """Elsewhere a folder that holds none any more, since others are below it, is what a deletion leaves."""
    office.mailbox.create_folders("Branch/Leaf")
    mirror = office.mirror()
    with closing(mirror.store), closing(mirror.sync):
        mirror.clock.skipped += 1_000
        mirror.settle()
    branch = office.folder("Branch")
    assert not branch.selectable
    number = office.ask(IntentKind.DELETE_FOLDER, folder=branch.no, state=IntentState.BEGUN, sent=True)
    assert office.carried_on(number).outcome.error_reason == "IMAP_REFUSED"
    assert "Branch" in office.paths()

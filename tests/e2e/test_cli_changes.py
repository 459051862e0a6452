"""The commands that change a mailbox on its mail server, against a running service."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from tests.support.cli import USER, Stage
from tests.support.mail import Mailbox, letters
from tests.support.service import Service, running


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as data, DovecotServer((USER,)) as server:
        server.deliver(USER, "INBOX", letters(10))
        with running(Service(Path(data))) as service:
            made = Stage(service, server)
            added = made.add("work")
            assert added.returncode == 0, added.stderr + service.log()
            yield made


def mailbox(stage: Stage) -> Mailbox:
    return Mailbox(stage.server, USER)


def test_messages_are_flagged_copied_moved_and_deleted(stage: Stage) -> None:
    changed = stage.run("envelope", "flag", "work", "INBOX", "1:2,4", "--add", "seen", "--add", "work")
    assert changed.stdout == "3 messages changed\n"
    assert mailbox(stage).flags_by_uid()[4] == {"\\Seen", "work"}
    (answer,) = stage.objects("envelope", "flag", "work", "INBOX", "4", "--remove", r"\Seen")
    assert answer["succeeded"] == [{"first": 4, "last": 4}]
    assert mailbox(stage).flags_by_uid()[4] == {"work"}
    assert stage.run("envelope", "copy", "work", "INBOX", "1", "Sent").stdout == "1 message copied\n"
    assert stage.run("envelope", "move", "work", "INBOX", "1:2", "Sent").stdout == "2 messages moved\n"
    assert sorted(mailbox(stage).flags_by_uid("Sent")) == [1, 2, 3]
    assert stage.run("envelope", "delete", "work", "INBOX", "3").stdout == "1 message deleted\n"
    assert sorted(mailbox(stage).flags_by_uid("Trash")) == [1]
    assert stage.run("envelope", "delete", "work", "INBOX", "5", "--permanent", "--yes").returncode == 0
    assert sorted(mailbox(stage).flags_by_uid()) == [4, 6, 7, 8, 9, 10]


def test_what_was_not_changed_is_said_and_is_a_failure(stage: Stage) -> None:
    done = stage.try_("envelope", "flag", "work", "INBOX", "10,99", "--add", "seen")
    assert (done.returncode, done.stdout) == (1, "1 message changed\n")
    assert done.stderr.startswith("99: ENVELOPE_NOT_FOUND: ")
    assert "not UIDs: x" in stage.try_("envelope", "flag", "work", "INBOX", "x", "--add", "seen").stderr
    labelled = stage.try_("envelope", "flag", "work", "INBOX", "10", "--add-label", r"\Important")
    assert labelled.returncode == 1
    assert labelled.stderr.startswith("IMAP_REFUSED: the server has no labels")
    asked = stage.try_("envelope", "delete", "work", "INBOX", "10", "--permanent", input="n\n")
    assert asked.returncode == 1
    assert 10 in mailbox(stage).flags_by_uid()


def test_folders_are_created_renamed_subscribed_to_and_deleted(stage: Stage) -> None:
    assert "● New" in stage.run("folder", "create", "work", "Projects/New", "--mirror").stdout
    (folder,) = stage.objects("folder", "rename", "work", "Projects/New", "Projects/Old")
    assert (folder["path"], folder["selected"]) == ("Projects/Old", True)
    (folder,) = stage.objects("folder", "subscribe", "work", "Projects/Old")
    assert folder["subscribed"]
    (folder,) = stage.objects("folder", "unsubscribe", "work", "Projects/Old")
    assert "subscribed" not in folder
    assert stage.run("folder", "delete", "work", "Projects/Old", "--yes").stdout == "deleted\n"
    paths = {folder["path"] for folder in stage.objects("folder", "list", "work")}
    assert "Projects/Old" not in paths
    taken = stage.try_("folder", "create", "work", "Sent")
    assert taken.stderr.startswith("FOLDER_EXISTS: ")

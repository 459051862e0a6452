"""Where folders are and which of them are synced: prefixes, other users' and shared folders, the one of sent mail."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.dovecot_config import DovecotOptions
from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.folder import Folder
from tests.support.hostile import HostileServer
from tests.support.hostile_session import FULL, PLAIN
from tests.support.mail import Mailbox
from tests.support.mirror import Mirror

OTHERS = b'* NAMESPACE (("" "/")) (("Users/" "/")) (("Team/" "/"))'


@pytest.fixture(scope="module")
def prefixing() -> Iterator[DovecotServer]:
    """A Dovecot that keeps personal folders inside INBOX, and others that all users share."""
    with DovecotServer(("ann", "bob"), DovecotOptions(prefix="INBOX.", shared="Team.")) as server:
        yield server


@pytest.fixture(params=["dovecot", "fake"])
def prefixed(request: pytest.FixtureRequest) -> Iterator[Mirror]:
    """A mirror, not yet synced, of a mailbox whose personal folders are inside INBOX."""
    if request.param == "dovecot":
        with closing(Mirror(Mailbox(request.getfixturevalue("prefixing"), "ann"))) as mirror:
            yield mirror
        return
    with HostileServer(prefix="INBOX.") as server, closing(Mirror(server.mailbox)) as mirror:
        yield mirror


def folders(mirror: Mirror) -> dict[str, Folder]:
    return {folder.display_name: folder for folder, _ in mirror.store.folders(mirror.account.no)}


def selected(mirror: Mirror) -> set[str]:
    return {name for name, folder in folders(mirror).items() if folder.selected}


def test_inbox_prefix(prefixed: Mirror) -> None:
    prefixed.mailbox.create_folders("INBOX.Kunden", "INBOX.Kunden.Müller")
    prefixed.mailbox.deliver(messages(3), "INBOX.Sent")
    prefixed.settle()
    found = folders(prefixed)
    assert found.keys() >= {"INBOX", "Sent", "Kunden", "Kunden.Müller"}
    assert (found["Sent"].raw_name, found["Sent"].parent_id) == (b"INBOX.Sent", b"")
    assert found["Kunden.Müller"].path == ("Kunden", "Müller")
    assert found["Kunden.Müller"].parent_id == found["Kunden"].id
    assert selected(prefixed) == {"INBOX", "Sent"}
    assert prefixed.flags("Sent") == prefixed.mailbox.flags_by_uid("INBOX.Sent")


def test_a_folder_that_would_be_shown_as_inbox_keeps_its_prefix() -> None:
    with HostileServer(prefix="INBOX.") as server, closing(Mirror(server.mailbox)) as mirror:
        server.mailbox.create_folders("INBOX.INBOX")
        mirror.settle()
        found = folders(mirror)
        assert found["INBOX.INBOX"].raw_name == b"INBOX.INBOX"
        assert found["INBOX.INBOX"].parent_id == found["INBOX"].id


def test_a_rename_under_a_prefix_is_told_without_it(prefixed: Mirror) -> None:
    prefixed.mailbox.create_folders("INBOX.Alt")
    prefixed.mailbox.deliver(messages(3), "INBOX.Alt")
    prefixed.settle()
    prefixed.select("Alt")
    prefixed.settle()
    head, known = prefixed.head, folders(prefixed)["Alt"].id
    prefixed.mailbox.rename_folder("INBOX.Alt", "INBOX.Neu")
    prefixed.poll()
    (told,) = [event.folder_changed for event in prefixed.events(head)]
    assert (told.previous_path, told.folder.path, folders(prefixed)["Neu"].id) == ("Alt", "Neu", known)


@pytest.fixture(params=["dovecot", "fake"])
def sharing(request: pytest.FixtureRequest) -> Iterator[Mirror]:
    """A mirror, not yet synced, of a mailbox beside which there is a shared folder for sent mail, Team/Sent."""
    if request.param == "dovecot":
        prefixing = request.getfixturevalue("prefixing")
        Mailbox(prefixing, "ann").create_folders("Team.Sent")
        with closing(Mirror(Mailbox(prefixing, "bob"))) as mirror:
            yield mirror
        return
    with HostileServer() as server, closing(Mirror(server.mailbox)) as mirror:
        server.mail.namespaces = OTHERS
        server.mailbox.create_folders("Team/Sent", "Users/eve/Gesendet")
        server.mail.folders["Team/Sent"].special_use = "\\Sent"
        del server.mail.folders["Sent"]
        yield mirror


def test_folders_of_others_are_listed_and_synced_only_when_asked_for(sharing: Mirror) -> None:
    sharing.settle()
    foreign = {name: one for name, one in folders(sharing).items() if one.path[0] in {"Team", "Users"}}
    assert not any(folder.selected or folder.special_use for folder in foreign.values())
    (name,) = (name for name, folder in foreign.items() if folder.path[-1] == "Sent")
    sharing.select(name)
    sharing.mailbox.deliver(messages(2), name)
    sharing.settle()
    sharing.clock.skipped += 600
    sharing.poll()
    assert sharing.flags(name) == sharing.mailbox.flags_by_uid(name)


@pytest.mark.parametrize(
    ("capabilities", "found"),
    [(FULL, "Verschicktes"), (PLAIN, "Gesendete Objekte")],
    ids=["marked", "by_name"],
)
def test_special_use(capabilities: str, found: str) -> None:
    with HostileServer(capabilities) as server, closing(Mirror(server.mailbox)) as mirror:
        server.mailbox.rename_folder("Sent", "Verschicktes")
        server.mail.folders["Verschicktes"].special_use = "\\Sent"
        server.mailbox.create_folders("Gesendete Objekte", "Kopien")
        mirror.settle()
        assert selected(mirror) == {"INBOX", found}
        assert folders(mirror)[found].special_use == "\\Sent"
        mirror.select("Kopien")
        mirror.deselect(found)
        mirror.clock.skipped += 600
        mirror.poll()
        assert selected(mirror) == {"INBOX", "Kopien"}, "what the user chose goes before"


@pytest.mark.parametrize("name", ["Envoyés", "Отправленные", "已发送", "送信済み"])
def test_sent_mail_is_found_in_other_languages(name: str) -> None:
    with HostileServer(PLAIN) as server, closing(Mirror(server.mailbox)) as mirror:
        server.mailbox.rename_folder("Sent", name)
        mirror.settle()
        assert selected(mirror) == {"INBOX", name}

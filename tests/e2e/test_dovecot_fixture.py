"""The mail server the other tests rely on is what they take it for."""

import imaplib
from email import message_from_bytes

import pytest

from mailsync_grpc.cli.demo.dovecot import DovecotMissingError, DovecotServer, find_dovecot
from mailsync_grpc.cli.demo.dovecot_config import SPECIAL_USE
from mailsync_grpc.cli.demo.loopback import PASSWORD
from mailsync_grpc.cli.demo.mailbox import demo_folders
from mailsync_grpc.cli.demo.second_client import Delivery, connect
from tests.support.mail import Mailbox

_MESSAGE = b"From: a@example.org\r\nSubject: %d\r\nMessage-ID: <%d@example.org>\r\n\r\nhello\r\n"


def _messages(number: int) -> list[bytes]:
    return [_MESSAGE % (n, n) for n in range(number)]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_user_logs_in(mailbox: Mailbox, tls: bool) -> None:
    with mailbox.connect(tls=tls) as client:
        assert client.noop()[0] == "OK"


def test_a_wrong_password_or_unknown_user_is_refused(mailbox: Mailbox) -> None:
    for user, password in ((mailbox.user, "wrong"), ("nobody-here", PASSWORD)):
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            connect(mailbox.host, mailbox.port, user, password)


def test_each_test_has_an_empty_mailbox_of_its_own(mailbox: Mailbox, mailbox_plain: Mailbox) -> None:
    mailbox.deliver(_messages(1))
    assert mailbox.user != mailbox_plain.user
    assert mailbox_plain.flags_by_uid() == {}


def test_delivered_messages_keep_their_order_bytes_and_date(mailbox: Mailbox) -> None:
    assert mailbox.deliver(_messages(450)) == 450
    with mailbox.connect() as client:
        client.select("INBOX", readonly=True)
        _, fetched = client.fetch("450", "(UID RFC822)")
    assert isinstance(fetched[0], tuple)
    assert fetched[0][1] == _messages(450)[-1]
    assert message_from_bytes(fetched[0][1])["Subject"] == "449"


def test_flags_and_keywords_are_kept_and_changed(mailbox: Mailbox) -> None:
    mailbox.deliver([Delivery(_MESSAGE % (1, 1), (r"\Seen", "$Forwarded", "work")), _MESSAGE % (2, 2)])
    assert mailbox.flags_by_uid() == {1: {r"\Seen", "$Forwarded", "work"}, 2: set()}
    mailbox.store("2", r"+FLAGS (\Flagged later)")
    mailbox.store("1", r"-FLAGS (\Seen work)")
    assert mailbox.flags_by_uid() == {1: {"$Forwarded"}, 2: {r"\Flagged", "later"}}


def test_messages_are_copied_moved_and_expunged(mailbox: Mailbox) -> None:
    mailbox.create_folders("Projects/Ärger & Söhne")
    mailbox.deliver(_messages(3))
    mailbox.copy("1", "Archive")
    mailbox.move("2", "Projects/Ärger & Söhne")
    mailbox.expunge("3")
    assert mailbox.flags_by_uid().keys() == {1}
    assert mailbox.flags_by_uid("Archive").keys() == {1}
    assert mailbox.flags_by_uid("Projects/Ärger & Söhne").keys() == {1}


def test_special_use_folders_exist_and_are_announced(mailbox: Mailbox) -> None:
    with mailbox.connect() as client:
        _, listed = client.list()
    lines = [line.decode() for line in listed if isinstance(line, bytes)]
    for name, use in SPECIAL_USE.items():
        assert any(line.endswith(f" {name}") and use in line for line in lines)


def test_the_plain_server_announces_no_extension(mailbox: Mailbox, mailbox_plain: Mailbox) -> None:
    extensions = {"CONDSTORE", "QRESYNC", "ESEARCH", "LIST-STATUS", "UIDPLUS", "SPECIAL-USE", "MOVE"}
    with mailbox.connect() as full, mailbox_plain.connect() as plain:
        assert extensions <= set(full.capability()[1][0].decode().split())
        assert not extensions & set(plain.capability()[1][0].decode().split())


def test_a_server_that_was_down_returns_with_its_mail_on_the_same_port() -> None:
    with DovecotServer(["alone"]) as server:
        server.deliver("alone", "INBOX", _messages(2))
        client = server.connect("alone")
        server.stop()
        with pytest.raises(imaplib.IMAP4.abort):
            client.noop()
        client.shutdown()
        with pytest.raises(ConnectionRefusedError):
            server.connect("alone")
        server.start()
        assert Mailbox(server, "alone").flags_by_uid().keys() == {1, 2}
    assert not server.directory.exists()


def test_a_missing_dovecot_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailsync_grpc.cli.demo.dovecot.shutil.which", lambda *_args, **_more: None)
    with pytest.raises(DovecotMissingError, match=r"apt-get install .*dovecot-imapd"):
        find_dovecot()


def test_the_demo_mailbox_arrives_whole(mailbox: Mailbox) -> None:
    folders = demo_folders()
    mailbox.create_folders(*(folder.name for folder in folders))
    for folder in folders:
        assert mailbox.deliver(folder.deliveries, folder.name) == len(folder.deliveries)
    for folder in folders:
        flags = list(mailbox.flags_by_uid(folder.name).values())
        assert flags == [frozenset(delivery.flags) for delivery in folder.deliveries]


def test_root_runs_the_server_as_a_user_without_privileges(dovecot: DovecotServer) -> None:
    assert (dovecot.directory / "dovecot.log").stat().st_uid != 0
    assert dovecot.directory.stat().st_mode & 0o777 == 0o711

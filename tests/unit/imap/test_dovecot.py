"""The connection against a real Dovecot, over each kind of security, compared with Python's own readers."""

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailsync_grpc.cli.demo import mailbox as demo
from mailsync_grpc.cli.demo.loopback import PASSWORD
from mailsync_grpc.errors import ImapAuthError, ImapTlsError
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connection import Connection, connect
from mailsync_grpc.imap.endpoint import Endpoint, Security
from mailsync_grpc.model.uidset import UidSet
from tests.support.mail import Mailbox
from tests.unit.imap.scripted import POLICY

COUNT = 120
SECURITIES = [Security.PLAINTEXT, Security.STARTTLS, Security.IMPLICIT_TLS]


def endpoint(mailbox: Mailbox, security: Security) -> Endpoint:
    server = mailbox.server
    port = server.tls_port if security == Security.IMPLICIT_TLS else server.port
    return Endpoint("localhost", port, security, Path(server.certificates.ca_file).read_text("ascii"))


def opened(mailbox: Mailbox, security: Security = Security.PLAINTEXT) -> Connection:
    return connect(endpoint(mailbox, security), POLICY, Password(mailbox.user, PASSWORD))


@pytest.mark.parametrize("security", SECURITIES)
def test_every_kind_of_security_reaches_the_mailbox(mailbox: Mailbox, security: Security) -> None:
    with opened(mailbox, security) as connection:
        assert connection.enabled == {"CONDSTORE", "QRESYNC"}
        assert "INBOX" in {folder.name for folder in connection.list_folders()}
        assert connection.examine(b"INBOX").exists == 0


def test_plain_server_is_used_by_the_plain_commands(mailbox_plain: Mailbox) -> None:
    mailbox_plain.server.deliver(mailbox_plain.user, "INBOX", demo.messages(3))
    with opened(mailbox_plain) as connection:
        assert connection.enabled == set()
        (status,) = connection.status([b"INBOX"])
        assert status is not None
        assert (status.messages, status.highest_modseq) == (3, None)
        assert connection.examine(b"INBOX").exists == 3
        assert len(connection.uid_search("ALL")) == len(connection.fetch_flags("1:*")) == 3


def test_a_certificate_of_an_unknown_authority_is_named(mailbox: Mailbox) -> None:
    for security in (Security.STARTTLS, Security.IMPLICIT_TLS):
        untrusted = replace(endpoint(mailbox, security), ca_pem="")
        with pytest.raises(ImapTlsError, match=r"certificate of localhost:[0-9]+ is not trusted: "):
            connect(untrusted, POLICY, Password(mailbox.user, PASSWORD))


def test_a_wrong_password_is_an_auth_error(mailbox: Mailbox) -> None:
    with pytest.raises(ImapAuthError, match="AUTHENTICATIONFAILED"):
        connect(endpoint(mailbox, Security.PLAINTEXT), POLICY, Password(mailbox.user, "wrong"))


def sent_at(message: EmailMessage) -> int | None:
    moment = message["Date"] and message["Date"].datetime
    return int(moment.timestamp()) if moment else None


def test_what_is_fetched_is_what_the_messages_say(mailbox: Mailbox) -> None:
    mailbox.server.deliver(mailbox.user, "INBOX", demo.deliveries(COUNT))
    with opened(mailbox) as connection:
        connection.examine(b"INBOX")
        listing = connection.fetch_flags("1:*")
        messages = connection.fetch_metadata(UidSet.of(listing.uids))
        assert [message.uid for message in messages] == listing.uids
        assert [message.flags.hash for message in messages] == listing.hashes
        assert len(messages) == COUNT
        for message in messages:
            envelope = message.envelope
            raw = connection.fetch_section(message.uid, "", 0, 1 << 20)
            parsed = email.message_from_bytes(raw, policy=email.policy.default)
            assert envelope.partial is None
            assert envelope.size == len(raw)
            assert envelope.subject.split() == str(parsed["Subject"] or "").split()
            assert [person.address for person in envelope.to] == [
                person.addr_spec for person in parsed["To"].addresses
            ]
            assert envelope.message_id == str(parsed["Message-ID"] or "").strip("<>")
            assert envelope.header_date == sent_at(parsed)
            names = [part.get_filename() for part in parsed.walk() if part.get_filename()]
            assert [part.file_name for part in envelope.attachments if part.file_name] == names
        assert connection.fetch_flags("1:*").hashes == listing.hashes
        assert not connection.folder_dirty

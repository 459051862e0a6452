r"""The hostile server's honest half tells of the same mail what Dovecot tells, so what is learnt from it holds."""

import pytest

from mailsync_grpc.cli.demo.mailbox import deliveries
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connection import connect
from mailsync_grpc.imap.endpoint import Endpoint, Security
from mailsync_grpc.model.envelope import Attachment, FetchedMessage
from mailsync_grpc.model.uidset import UidSet
from tests.support.hostile import HostileServer
from tests.support.mail import AnyMailbox, Mailbox
from tests.support.mirror import POLICY

COUNT = 200


def read(mailbox: AnyMailbox) -> list[FetchedMessage]:
    endpoint = Endpoint(mailbox.host, mailbox.port, Security.PLAINTEXT)
    with connect(endpoint, POLICY, Password(mailbox.user, mailbox.password)) as connection:
        connection.examine(b"INBOX")
        return connection.fetch_metadata(UidSet.span(1, COUNT))


def comparable(attachments: tuple[Attachment, ...]) -> list[Attachment]:
    """Attachments, without the size of messages inside: their last line end is one server's and not the other's."""
    return [part._replace(size=0) if part.media_type == "message" else part for part in attachments]


@pytest.fixture
def pair(mailbox: Mailbox, hostile: HostileServer) -> tuple[list[FetchedMessage], list[FetchedMessage]]:
    """What both tell of the same mail."""
    mails = list(deliveries(COUNT))
    mailbox.deliver(mails)
    hostile.mailbox.deliver(mails)
    return read(mailbox), read(hostile.mailbox)


def test_both_tell_the_same_of_every_message(
    pair: tuple[list[FetchedMessage], list[FetchedMessage]],
) -> None:
    real, fake = pair
    assert [(m.uid, m.flags) for m in real] == [(m.uid, m.flags) for m in fake]
    for one, other in zip(real, fake, strict=True):
        assert one.envelope._replace(attachments=()) == other.envelope._replace(attachments=())
        assert comparable(one.envelope.attachments) == comparable(other.envelope.attachments)

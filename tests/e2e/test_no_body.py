"""A sync reads metadata and no message: counted on the wire, between the client and a real mail server.

Report messages are the exception, and of them only the parts made for programs are read (see `test_reports`).
"""

import re
from collections.abc import Iterator

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.account import SyncSettings
from tests.support.mail import Mailbox
from tests.support.mirror import Mirror
from tests.support.relay import Relay, RelayedMailbox

CANARY = b"not-to-be-fetched"
BODY_LINES = 2_000
OCTETS_A_MESSAGE = 3_000
"""Above the 1,300 or so that metadata of the demo's mail takes, and far below one of these bodies."""

# Everything of a message that FETCH can name (RFC 3501 section 6.4.5), but for single header fields and its size.
CONTENT = re.compile(
    rb"BODY(?:\.PEEK)?\[(?!HEADER\.FIELDS )|RFC822(?!\.SIZE)|BINARY|PREVIEW|SNIPPET|\bALL\b|\bFULL\b"
)


def with_a_long_body(message: bytes) -> bytes:
    """The headers of a message over a body of 80 KB in which every line is a canary."""
    headers = message.partition(b"\r\n\r\n")[0]
    plain = [
        line for line in headers.split(b"\r\n") if not line.lower().startswith((b"content-", b" ", b"\t"))
    ]
    return b"\r\n".join(plain) + b"\r\n\r\n" + (CANARY + b" " * 20 + b"x\r\n") * BODY_LINES


@pytest.fixture(params=["mailbox", "mailbox_plain"])
def relayed(request: pytest.FixtureRequest) -> Iterator[Mirror]:
    """A mirror of a mailbox with long bodies, reached through a relay."""
    mailbox: Mailbox = request.getfixturevalue(request.param)
    mailbox.deliver([with_a_long_body(message) for message in messages(60)])
    with Relay(mailbox.host, mailbox.port) as relay:
        mirror = Mirror(
            RelayedMailbox(mailbox.server, mailbox.user, relay=relay), SyncSettings(batch_size=100)
        )
        yield mirror
        mirror.close()


def relay_of(mirror: Mirror) -> Relay:
    assert isinstance(mirror.mailbox, RelayedMailbox)
    assert mirror.mailbox.relay is not None
    return mirror.mailbox.relay


def fetches(relay: Relay) -> list[bytes]:
    return [command for command in relay.commands() if b"FETCH" in command]


def test_no_sync_asks_for_a_body_nor_receives_one(relayed: Mirror) -> None:
    relayed.settle()
    relayed.mailbox.deliver([with_a_long_body(message) for message in messages(5, seed=3)])
    relayed.poll()
    relayed.clock.skipped += relayed.settings.full_interval
    relayed.poll()
    relay = relay_of(relayed)
    assert len(relayed.flags()) == 65
    assert any(b"ENVELOPE" in command for command in fetches(relay))
    assert [command for command in fetches(relay) if CONTENT.search(command)] == []
    assert not any(CANARY in received for received in relay.received)


def test_what_a_message_costs_on_the_wire_does_not_depend_on_its_body(relayed: Mirror) -> None:
    relayed.settle()
    relay = relay_of(relayed)
    assert relay.octets_received / len(relayed.flags()) < OCTETS_A_MESSAGE < BODY_LINES * len(CANARY)

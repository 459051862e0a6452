"""The demo's mail: whichever server this machine has, filled with the demo mailbox, and how to reach it.

Dovecot where it is installed, over TLS with the authority made for it, so that the demo shows settings as real ones are;
else pymap, in clear text, which the demo's service is told to allow.
"""

import imaplib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Protocol

from mailsync_grpc.cli.demo.dovecot import DovecotMissingError, DovecotServer
from mailsync_grpc.cli.demo.loopback import PASSWORD
from mailsync_grpc.cli.demo.mailbox import demo_folders
from mailsync_grpc.cli.demo.pymap_server import PymapServer
from mailsync_grpc.cli.demo.second_client import Delivery, create_folders
from mailsync_grpc.cli.demo.texts import OWNER
from mailsync_grpc.v1.account_pb2 import Account, ImapEndpoint, ImapSecurity

_USER = "dana"


class MailServer(Protocol):
    """What the demo needs of a mail server: a second client's connection, and delivery."""

    def connect(self, user: str) -> imaplib.IMAP4:
        """A connection, logged in."""
        ...

    def deliver(self, user: str, folder: str, messages: Iterable[bytes | Delivery]) -> int:
        """Store messages in a folder; their number."""
        ...


@dataclass(frozen=True, slots=True)
class DemoMail:
    """A running mail server with one user's mailbox, and what it can do.

    ``fetches_undated``: whether it answers for messages whose Date nobody understands; pymap breaks the connection off.
    """

    server: MailServer
    program: str
    endpoint: ImapEndpoint
    keeps_keywords: bool
    fetches_undated: bool

    def fill(self) -> tuple[int, int]:
        """Put the demo mailbox in, its newest messages from just now; how many messages and folders."""
        folders = demo_folders(newest=datetime.now(UTC))
        with self.connect() as client:
            create_folders(client, (folder.name for folder in folders if folder.name != "INBOX"))
        messages = 0
        for folder in folders:
            deliveries = [delivery for delivery in folder.deliveries if self._fetches(delivery)]
            messages += self.server.deliver(_USER, folder.name, deliveries)
        return messages, len(folders)

    def _fetches(self, delivery: Delivery) -> bool:
        if self.fetches_undated:
            return True
        date = message_from_bytes(delivery.raw, policy=policy.default)["Date"]
        return date is None or date.datetime is not None

    def connect(self) -> imaplib.IMAP4:
        """A connection of the second client, which changes the mailbox behind the service's back."""
        return self.server.connect(_USER)

    def account(self) -> Account:
        """The account as it is registered with the service."""
        name, address = OWNER
        account = Account(display_name=name, email_address=address, imap=self.endpoint)
        account.auth.password.username, account.auth.password.password = _USER, PASSWORD
        # The least the contract allows: changes are shown soon even where the demo does not ask for a sync.
        account.sync.poll_interval.FromSeconds(10)
        return account


@contextmanager
def demo_mail() -> Iterator[DemoMail]:
    """A mail server while the block runs. PymapMissingError when there is neither, saying what to install."""
    try:
        dovecot = DovecotServer((_USER,))
    except DovecotMissingError:
        with PymapServer(_USER) as pymap:
            endpoint = ImapEndpoint(
                host=pymap.host, port=pymap.port, security=ImapSecurity.IMAP_SECURITY_PLAINTEXT
            )
            yield DemoMail(pymap, "pymap", endpoint, keeps_keywords=False, fetches_undated=False)
        return
    with dovecot:
        endpoint = ImapEndpoint(
            host="localhost", port=dovecot.tls_port, security=ImapSecurity.IMAP_SECURITY_IMPLICIT_TLS
        )
        endpoint.tls.ca_pem = dovecot.certificates.ca_file.read_text("ascii")
        yield DemoMail(dovecot, "Dovecot", endpoint, keeps_keywords=True, fetches_undated=True)

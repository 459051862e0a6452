"""A content reader on a real mailbox, and beside it the independent reading: imaplib for what is sent, email for what it means."""

import email
import email.message
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

from mailsync_grpc.config import Config, ContentConfig, ImapConfig
from mailsync_grpc.content.reader import ContentReader, open_reader
from mailsync_grpc.content.values import MessageKey, Wanted, What
from mailsync_grpc.imap.budget import Process, Use
from mailsync_grpc.imap.connecting import connector, ledger_of, with_password
from mailsync_grpc.imap.sessions import Sessions
from mailsync_grpc.model.account import Account, Security
from mailsync_grpc.model.folder import Folder, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.vault import Vault
from tests.support.mail import Mailbox
from tests.unit.content.fakes import Download, download


class ContentRig:
    """A reader on an account of a mailbox's INBOX, and the independent reading."""

    def __init__(self, mailbox: Mailbox, directory: Path) -> None:
        self.mailbox = mailbox
        self.directory = directory
        self.vault = Vault(b"m" * 32)
        sealed = self.vault.seal_password(AccountNo(1), mailbox.password)
        self.account = Account(
            AccountNo(1), "test", 1, mailbox.host, mailbox.port, Security.PLAINTEXT, mailbox.user, sealed
        )
        self.client = mailbox.connect()
        self.client.select("INBOX", readonly=True)
        self.reader = self.new_reader()

    @property
    def folder(self) -> Folder:
        (validity,) = self.client.untagged_responses["UIDVALIDITY"][-1:]
        assert isinstance(validity, bytes)
        return Folder(
            self.account.key,
            FolderNo(1),
            b"0123456789",
            MirrorNo(1),
            1,
            b"INBOX",
            "INBOX",
            uid_validity=int(validity),
        )

    def new_reader(self) -> ContentReader:
        loopback = ImapConfig(allow_networks=(ip_network("127.0.0.0/8"),), allow_plaintext=True)
        config = Config(data_dir=self.directory, imap=loopback, content=ContentConfig(max_disk_use=1))
        books = ledger_of(config, Process.API)
        sessions = Sessions(connector(loopback, self.vault, with_password(self.vault), books, Use.CONTENT))
        return open_reader(config, self.vault, sessions)

    async def get(self, uid: int, what: What, *, decode: bool = False, offset: int = 0) -> Download:
        message = MessageKey(self.account, self.folder, uid)
        return await download(self.reader.open(message, Wanted(what, decode, offset)))

    def wire(self, uid: int, section: str) -> bytes:
        """BODY.PEEK[section] as imaplib reads it."""
        _, answer = self.client.uid("FETCH", str(uid), f"(BODY.PEEK[{section}])")
        found = answer[0]
        return found[1] if isinstance(found, tuple) else b""


class Leaf(NamedTuple):
    """A part as the email package sees it."""

    section: str
    part: email.message.Message

    @property
    def decoded(self) -> bytes:
        """Its content decoded, text as UTF-8."""
        payload = self.part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        if self.part.get_content_maintype() != "text":
            return payload
        return payload.decode(self.part.get_content_charset("us-ascii")).encode()


def leaves(message: email.message.Message, section: str = "") -> Iterator[Leaf]:
    """Number the parts of a message as RFC 3501 section 6.4.5 does, those of messages attached to it too."""
    parts = message.get_payload() if message.get_content_maintype() == "multipart" else [message]
    for number, part in enumerate(parts, 1):
        assert isinstance(part, email.message.Message)
        place = f"{section}.{number}" if section else str(number)
        if part is not message and part.get_content_maintype() == "multipart":
            yield from leaves(part, place)
            continue
        yield Leaf(place, part)
        if part.get_content_type() == "message/rfc822":
            attached = part.get_payload(0)
            assert isinstance(attached, email.message.Message)
            yield from leaves(attached, place)

"""A test's own mailbox, and how to look at and change it without the code under test: on the shared Dovecot, or faked."""

import imaplib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, Self

from mailsync_grpc.cli.demo import second_client
from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.loopback import PASSWORD
from mailsync_grpc.cli.demo.second_client import Delivery, mailbox_argument

_DATED = re.compile(rb'UID (\d+) INTERNALDATE "\s*([^"]+)"')


def letters(count: int) -> Iterator[bytes]:
    """Yield small messages, each with a Message-ID of its own."""
    for number in range(count):
        yield b"From: ann@example.org\r\nMessage-ID: <%d@example.org>\r\n\r\nhello\r\n" % number


class AnyMailbox(Protocol):
    """What the core suite needs of a mailbox, so that real and faked servers pass the same tests."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def user(self) -> str: ...
    @property
    def password(self) -> str: ...
    def with_password(self, password: str) -> Self: ...
    def create_folders(self, *folders: str) -> None: ...
    def delete_folder(self, folder: str) -> None: ...
    def rename_folder(self, folder: str, name: str) -> None: ...
    def deliver(self, messages: Iterable[bytes | Delivery], folder: str = "INBOX") -> int: ...
    def store(self, uids: str, change: str, folder: str = "INBOX") -> None: ...
    def expunge(self, uids: str, folder: str = "INBOX") -> None: ...
    def copy(self, uids: str, target: str, folder: str = "INBOX") -> None: ...
    def move(self, uids: str, target: str, folder: str = "INBOX") -> None: ...
    def flags_by_uid(self, folder: str = "INBOX") -> dict[int, frozenset[str]]: ...
    def dates_by_uid(self, folder: str = "INBOX") -> dict[int, datetime]: ...


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A user nobody else on this server has, with INBOX and the special-use folders, all empty."""

    server: DovecotServer
    user: str
    password: str = PASSWORD

    @property
    def host(self) -> str:
        return self.server.host

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def tls_port(self) -> int:
        return self.server.tls_port

    def connect(self, *, tls: bool = False) -> imaplib.IMAP4:
        return self.server.connect(self.user, tls=tls)

    def with_password(self, password: str) -> Self:
        return replace(self, password=password)

    def create_folders(self, *folders: str) -> None:
        with self.connect() as client:
            second_client.create_folders(client, folders)

    def delete_folder(self, folder: str) -> None:
        with self.connect() as client:
            _accepted("DELETE", *client.delete(mailbox_argument(folder)))

    def rename_folder(self, folder: str, name: str) -> None:
        with self.connect() as client:
            _accepted("RENAME", *client.rename(mailbox_argument(folder), mailbox_argument(name)))

    def deliver(self, messages: Iterable[bytes | Delivery], folder: str = "INBOX") -> int:
        return self.server.deliver(self.user, folder, messages)

    def store(self, uids: str, change: str, folder: str = "INBOX") -> None:
        """UID STORE, e.g. ``store("1:5", r"+FLAGS.SILENT (\\Seen work)")``."""
        self._in(folder, "STORE", uids, *change.split(" ", 1))

    def expunge(self, uids: str, folder: str = "INBOX") -> None:
        r"""Mark \Deleted and expunge."""
        self._in(folder, "STORE", uids, "+FLAGS.SILENT", r"(\Deleted)")
        self._in(folder, "EXPUNGE", uids)

    def copy(self, uids: str, target: str, folder: str = "INBOX") -> None:
        self._in(folder, "COPY", uids, mailbox_argument(target))

    def move(self, uids: str, target: str, folder: str = "INBOX") -> None:
        self._in(folder, "MOVE", uids, mailbox_argument(target))

    def flags_by_uid(self, folder: str = "INBOX") -> dict[int, frozenset[str]]:
        r"""What the server holds now: each UID with its flags, without \Recent."""
        with self.connect() as client:
            client.select(mailbox_argument(folder), readonly=True)
            _, answers = client.uid("FETCH", "1:*", "(FLAGS)")
        held: dict[int, frozenset[str]] = {}
        for answer in answers:
            if isinstance(answer, bytes):
                words = answer.decode("ascii").replace("(", " ").replace(")", " ").split()
                flags = imaplib.ParseFlags(answer)
                held[int(words[words.index("UID") + 1])] = frozenset(
                    flag.decode("ascii") for flag in flags if flag != rb"\Recent"
                )
        return held

    def dates_by_uid(self, folder: str = "INBOX") -> dict[int, datetime]:
        """Each UID with its INTERNALDATE."""
        with self.connect() as client:
            client.select(mailbox_argument(folder), readonly=True)
            _, answers = client.uid("FETCH", "1:*", "(INTERNALDATE)")
        found = [_DATED.search(answer) for answer in answers if isinstance(answer, bytes)]
        return {
            int(row[1]): datetime.strptime(row[2].decode(), "%d-%b-%Y %H:%M:%S %z") for row in found if row
        }

    def _in(self, folder: str, command: str, *arguments: str) -> None:
        with self.connect() as client:
            client.select(mailbox_argument(folder))
            _accepted(f"UID {command}", *client.uid(command, *arguments))


def _accepted(command: str, status: str, answer: object) -> None:
    if status != "OK":
        raise imaplib.IMAP4.error(f"{command}: {answer!r}")

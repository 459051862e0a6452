r"""A mail server that lies, stalls and hangs up on purpose, in one line of Python a scenario.

Honest by default: `Session` answers as RFC 3501 asks, and the core suite passes on it as on Dovecot. A rule, made by
`once` or `always`, names commands by a regular expression and a fault that their answers get::

    hostile.once(rb"UID FETCH .* \(UID FLAGS\)", omitting(28))
    hostile.always(b"EXAMINE", silent_of(b"UIDVALIDITY"))
"""

import base64
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from mailsync_grpc.cli.demo.second_client import Delivery
from tests.support.hostile_faults import PIECE, After, Fault, Reply
from tests.support.hostile_session import FULL, Session
from tests.support.hostile_store import HeldMail

METADATA = rb"UID FETCH .*ENVELOPE"
FLAGS = rb"UID FETCH \S+ \(UID FLAGS\)"
LOGIN = rb"AUTHENTICATE|LOGIN"


class Answering(Protocol):
    """What stands behind one connection."""

    def answer(self, command: bytes) -> Reply:
        """The answer to a command line without tag and line end; with AUTHENTICATE comes the client's response."""

    def close(self) -> None:
        """Let go of what is held; the connection has ended."""


@dataclass(slots=True)
class _Rule:
    commands: re.Pattern[bytes]
    fault: Fault
    left: float = float("inf")
    used: bool = False


class FaultyServer:
    """Serves connections inside a ``with`` block, each with what `behind` returns; rules spoil the answers.

    `received` are the commands of all connections, without tags; `connections` counts them.
    """

    def __init__(self, behind: Callable[[], Answering]) -> None:
        self.host = "127.0.0.1"
        self.greeting = b"* OK ready\r\n"
        self.received: list[bytes] = []
        self.connections = 0
        self._behind = behind
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((self.host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._sockets: list[socket.socket] = []

    # Rules

    def once(self, commands: bytes, fault: Fault, times: int = 1) -> None:
        """Spoil the answers to the next `times` commands that match."""
        self._rules.append(_Rule(re.compile(commands), fault, times))

    def always(self, commands: bytes, fault: Fault) -> None:
        """Spoil the answer to every command that matches, until `heal`."""
        self._rules.append(_Rule(re.compile(commands), fault))

    def heal(self) -> None:
        """Be honest again. A rule that no command met is an error of the test, which showed nothing."""
        unused = [rule.commands.pattern for rule in self._rules if not rule.used]
        self._rules.clear()
        assert not unused, f"no command met the rules for {unused}"

    def sent(self, commands: bytes) -> list[bytes]:
        """The commands received that match."""
        return [command for command in self.received if re.search(commands, command)]

    def finish(self) -> None:
        """Wait until every connection is served to its end; clients must have closed theirs."""
        for thread in self._threads[1:]:
            thread.join()

    # Serving

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for end in (self._listener, *self._sockets):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self._sockets.append(client)
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, client.makefile("rb") as lines, closing(self._behind()) as behind:
            client.sendall(self.greeting)
            for line in lines:
                tag, _, command = line.rstrip(b"\r\n").partition(b" ")
                if not self._answered(client, lines, tag, command, behind):
                    return

    def _answered(
        self, client: socket.socket, lines: Iterator[bytes], tag: bytes, command: bytes, behind: Answering
    ) -> bool:
        """Answer one command; False when the connection ends with it."""
        self.received.append(command)
        if command.startswith(b"AUTHENTICATE"):
            client.sendall(b"+ \r\n")
            command += b" " + next(lines).rstrip(b"\r\n")
        reply = self._spoiled(command, behind.answer(command))
        if reply.challenge:
            client.sendall(b"+ " + base64.b64encode(reply.challenge) + b"\r\n")
            self.received.append(next(lines).rstrip(b"\r\n"))
        _send(client, reply.octets(tag), reply.pace)
        if reply.after is After.HANG:
            for _ in lines:
                pass  # until the client gives up
        return reply.after is After.SERVE

    def _spoiled(self, command: bytes, reply: Reply) -> Reply:
        with self._lock:
            matching = [rule for rule in self._rules if rule.left > 0 and rule.commands.search(command)]
            for rule in matching:
                rule.left -= 1
                rule.used = True
        for rule in matching:
            reply = rule.fault(reply)
        return reply


def _send(client: socket.socket, octets: bytes, pace: float | None) -> None:
    if pace is None:
        client.sendall(octets)
        return
    for start in range(0, len(octets), PIECE):
        client.sendall(octets[start : start + PIECE])
        time.sleep(pace)


class HostileServer(FaultyServer):
    """A faulty server with a mailbox of its own in memory; `prefix` is that of its personal folders.

    `capabilities` are those of connections to come.
    """

    def __init__(self, capabilities: str = FULL, prefix: str = "") -> None:
        self.mail = HeldMail(prefix)
        self.mailbox = HostileMailbox(self)
        self.capabilities = capabilities
        super().__init__(
            lambda: Session(self.mail, self.mailbox.user, self.mailbox.password, self.capabilities)
        )


@dataclass(frozen=True, slots=True)
class HostileMailbox:
    """The hostile server's mailbox as tests change and read it, without a connection."""

    server: HostileServer = field(repr=False)
    user: str = "ann"
    password: str = "secret"

    @property
    def host(self) -> str:
        return self.server.host

    @property
    def port(self) -> int:
        return self.server.port

    def with_password(self, password: str) -> Self:
        return replace(self, password=password)

    def create_folders(self, *folders: str) -> None:
        self.server.mail.create_folders(folders)

    def delete_folder(self, folder: str) -> None:
        self.server.mail.delete_folder(folder)

    def rename_folder(self, folder: str, name: str) -> None:
        self.server.mail.rename_folder(folder, name)

    def deliver(self, messages: Iterable[bytes | Delivery], folder: str = "INBOX") -> int:
        return self.server.mail.deliver(messages, folder)

    def store(self, uids: str, change: str, folder: str = "INBOX") -> None:
        self.server.mail.store(uids, change, folder)

    def label(self, uids: str, *labels: str, folder: str = "INBOX") -> None:
        self.server.mail.label(uids, *labels, folder=folder)

    def expunge(self, uids: str, folder: str = "INBOX") -> None:
        self.server.mail.expunge(uids, folder)

    def copy(self, uids: str, target: str, folder: str = "INBOX") -> None:
        self.server.mail.copy(uids, target, folder)

    def move(self, uids: str, target: str, folder: str = "INBOX") -> None:
        with self.server.mail.lock:
            self.copy(uids, target, folder)
            self.expunge(uids, folder)

    def flags_by_uid(self, folder: str = "INBOX") -> dict[int, frozenset[str]]:
        with self.server.mail.lock:
            held = self.server.mail.folders[folder].shown
            return {uid: message.flags for uid, message in held.items()}

    def labels_by_uid(self, folder: str = "INBOX") -> dict[int, frozenset[str]]:
        with self.server.mail.lock:
            held = self.server.mail.folders[folder].shown
            return {uid: message.labels for uid, message in held.items()}

    def dates_by_uid(self, folder: str = "INBOX") -> dict[int, datetime]:
        with self.server.mail.lock:
            held = self.server.mail.folders[folder].shown
            return {uid: message.date for uid, message in held.items()}

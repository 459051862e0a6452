r"""A proxy between the engine and a real mail server that spoils answers on their way.

It takes a command, has the server behind it answer, reads that answer to its end and sends it on, whole or as a rule
says: cut, stalled, dripped, split, doubled, out of order, with a literal too short, with foreign lines, ended by BYE.
The rules and faults are those of the hostile server.
"""

import re
import socket
from dataclasses import dataclass

from tests.support.hostile import FaultyServer
from tests.support.hostile_faults import After, Reply
from tests.support.mail import Mailbox

_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")
_TAG = b"PROXY"


class Upstream:
    """One connection to the real server."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=30)
        self._answers = self._socket.makefile("rb")
        self._answers.readline()  # the greeting; the proxy has its own

    def answer(self, command: bytes) -> Reply:
        """Have the server answer and return all it says, as it says it."""
        if command.startswith(b"AUTHENTICATE"):
            mechanism, _, response = command.rpartition(b" ")
            self._socket.sendall(_TAG + b" " + mechanism + b"\r\n")
            self._answers.readline()
            self._socket.sendall(response + b"\r\n")
        else:
            self._socket.sendall(_TAG + b" " + command + b"\r\n")
        return self._read(After.CLOSE if command == b"LOGOUT" else After.SERVE)

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def _read(self, after: After) -> Reply:
        lines: list[bytes] = []
        while line := self._response():
            if line.startswith(_TAG + b" "):
                return Reply(tuple(lines), line[len(_TAG) + 1 : -2], after=after)
            lines.append(line[:-2])
        return Reply(tuple(lines), b"", after=After.CLOSE)

    def _response(self) -> bytes:
        """One response with its literals and its line end; nothing when the server has gone."""
        response = self._answers.readline()
        while literal := _LITERAL.search(response):
            response += self._answers.read(int(literal[1])) + self._answers.readline()
        return response


class FaultProxy(FaultyServer):
    """Serves in front of the server that holds `mailbox`."""

    def __init__(self, mailbox: Mailbox) -> None:
        super().__init__(lambda: Upstream(mailbox.host, mailbox.port))


@dataclass(frozen=True, slots=True)
class ProxiedMailbox(Mailbox):
    """A mailbox that the code under test reaches through a proxy, and the second client without it."""

    proxy: FaultProxy | None = None

    @property
    def port(self) -> int:
        assert self.proxy is not None
        return self.proxy.port

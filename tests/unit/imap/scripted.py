"""A mail server that plays a script: what it answers is given by the test, what it was sent is kept."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from typing import Self

from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connection import Connection, connect
from mailsync_grpc.imap.endpoint import Endpoint, Policy, Security

Play = Callable[[socket.socket, bytes], None]
Script = Mapping[bytes, bytes | Play]

TAG = b"<tag>"
CAPABILITIES = b"IMAP4rev1 AUTH=PLAIN"
CREDENTIALS = Password("ann", "canary-secret")
EXAMINED = b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 9] ok\r\n<tag> OK [READ-ONLY] done\r\n"
POLICY = Policy(allow_networks=(ip_network("127.0.0.0/8"),), allow_plaintext=True)


def closing(data: bytes) -> Play:
    """Answer `data` and hang up."""

    def play(client: socket.socket, _tag: bytes) -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_RDWR)

    return play


def offering(capabilities: bytes) -> Script:
    """After the login these are offered."""
    return {b"AUTHENTICATE": b"<tag> OK [CAPABILITY IMAP4rev1 " + capabilities + b"] done\r\n"}


class ScriptedServer:
    """Answers each command by the longest matching beginning in `script`; `<tag>` stands for the command's tag.

    What the script does not mention is answered OK. A value that is a function plays with the socket itself.
    """

    def __init__(self, script: Script, greeting: bytes = b"* OK ready\r\n") -> None:
        self.script = {
            b"CAPABILITY": b"* CAPABILITY " + CAPABILITIES + b"\r\n<tag> OK done\r\n",
            b"AUTHENTICATE": b"<tag> OK [CAPABILITY " + CAPABILITIES + b"] logged in\r\n",
            **script,
        }
        self.received: list[bytes] = []
        self._greeting = greeting
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def endpoint(self, security: Security = Security.PLAINTEXT) -> Endpoint:
        return Endpoint("127.0.0.1", self.port, security)

    def connect(self, policy: Policy = POLICY, security: Security = Security.PLAINTEXT) -> Connection:
        return connect(self.endpoint(security), policy, CREDENTIALS)

    def sent(self, command: bytes) -> list[bytes]:
        """The lines received that hold `command`."""
        return [line for line in self.received if command in line]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            client.settimeout(10)
            with client, client.makefile("rb") as lines:
                client.sendall(self._greeting)
                for line in lines:
                    self._answer(client, line, lines)

    def _answer(self, client: socket.socket, line: bytes, lines: Iterator[bytes]) -> None:
        self.received.append(line)
        tag, _, command = line.rstrip(b"\r\n").partition(b" ")
        if command.startswith(b"AUTHENTICATE"):
            client.sendall(b"+ \r\n")
            self.received.append(next(lines))
        matching = [begin for begin in self.script if command.startswith(begin)]
        answer = self.script[max(matching, key=len)] if matching else b"<tag> OK done\r\n"
        if callable(answer):
            answer(client, tag)
        else:
            client.sendall(answer.replace(TAG, tag))

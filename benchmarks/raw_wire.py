"""The mail server's own speed: a socket that sends the commands of a sync and reads each answer to its end, unparsed.

No client can be faster over one connection, so times are given as multiples of this. The commands are those that our
own sync was seen to send (`benchmarks.place`), in their order, one at a time.
"""

import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Self

_CHUNK = 256 * 1024
# Long enough that no message's text holds it by chance.
_TAG = b"rawwire0f3b9c51d7"
_LONGEST_COMPLETION = 4_096


class RawWire:
    """A connection that is logged in inside a ``with`` block. ConnectionError when a command is not answered OK."""

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._login = b'LOGIN "%b" "%b"' % (user.encode(), password.encode())

    def __enter__(self) -> Self:
        self._socket.recv(_CHUNK)  # the greeting
        self.run([self._login])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def run(self, commands: Iterable[bytes]) -> int:
        """Send each command when the one before is answered; return the octets of all answers."""
        return sum(self._answer(command) for command in commands)

    def _answer(self, command: bytes) -> int:
        self._socket.sendall(b"%b %b\r\n" % (_TAG, command))
        octets, end = 0, b""
        while not (end.endswith(b"\r\n") and (b"\n" + end).rfind(b"\n" + _TAG) >= 0):
            data = self._socket.recv(_CHUNK)
            if not data:
                raise ConnectionError("the server closed the connection")
            octets += len(data)
            end = (
                (end + data)[-_LONGEST_COMPLETION:]
                if len(data) < _LONGEST_COMPLETION
                else data[-_LONGEST_COMPLETION:]
            )
        if _TAG + b" OK" not in end:
            raise ConnectionError(f"{command[:60]!r}: {end[-200:]!r}")
        return octets

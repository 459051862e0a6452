r"""The receive buffer: bytes in, lines and whole answers out, without a socket.

A server ends its answer to a command with a line that begins with the command's tag (RFC 3501 section 2.2.2). Text
that looks like such a line can also stand inside a literal (`{n}` CRLF and n octets, section 4.3), put there by anyone
who can send mail, so literals are stepped over while looking for the end. The search goes on where it stopped when
more bytes arrive; each byte is looked at twice, at C speed. The caps bound what a server can make us hold.
"""

from typing import NamedTuple

from mailsync_grpc.errors import ImapProtocolError
from mailsync_grpc.imap.answer import LITERAL, literal_size

_TAIL = 64
"""Octets at the end that may be half of a tag or of a literal's size, and are looked at again with what follows."""


class Answer(NamedTuple):
    """What a server sent in answer to one command: all untagged lines as received, and the tagged line without tag."""

    untagged: bytes
    completion: bytes


class ReceiveBuffer:
    """Bytes received and not yet taken. Sizes in octets; a cap that is passed raises ImapProtocolError."""

    def __init__(self, max_line: int, max_literal: int, max_response: int) -> None:
        self._data = bytearray()
        self._line = 0  # where the line begins that is being received
        self._scanned = 0
        self._max_line = max_line
        self._max_literal = max_literal
        self._max_response = max_response

    def __len__(self) -> int:
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Add what the socket gave."""
        self._data += data
        if len(self._data) > self._max_response + self._max_line:
            raise ImapProtocolError(f"the server's answer is longer than {self._max_response} octets")

    def take_line(self) -> bytes | None:
        """Return the next line with its line end, or None while it is incomplete."""
        end = self._data.find(b"\n")
        if end < 0 or end > self._max_line:
            self._check_line(0, end if end >= 0 else len(self._data))
            return None
        return self._cut(end + 1)

    def take(self, size: int) -> bytes | None:
        """Return the next `size` bytes, or None while they have not all arrived."""
        self._check_literal(size)
        return self._cut(size) if len(self._data) >= size else None

    def take_response(self) -> bytes | None:
        """Return the next line with the literals in it and its line end, or None while it is incomplete."""
        while (end := self._data.find(b"\r\n", self._scanned)) >= 0:
            self._check_line(self._line, end)
            literal = LITERAL.search(self._data, max(self._line, end - _TAIL), end + 2)
            # What a tagged response says is text, in which the same may stand.
            if literal is None or not self._data.startswith(b"*"):
                return self._cut(end + 2)
            size = literal_size(literal)
            self._check_literal(size)
            self._line = self._scanned = end + 2 + size
        self._check_line(self._line, len(self._data))
        self._scanned = max(self._scanned, len(self._data) - 1)
        return None

    def take_answer(self, tag: bytes) -> Answer | None:
        """Return the answer to the command sent with `tag`, or None while it is incomplete."""
        start = self._find_tag(tag)
        while self._scanned <= len(self._data):
            literal = LITERAL.search(self._data, self._scanned, start if start >= 0 else len(self._data))
            if literal is None:
                if start >= 0:
                    return self._take_through(start, tag)
                self._keep_last_line()
                return None
            self._check_line(self._line, literal.start())
            size = literal_size(literal)
            self._check_literal(size)
            self._line = self._scanned = literal.end() + size
            if 0 <= start < self._scanned + 2:
                # The tag, or the line end before it, was the literal's.
                start = self._find_tag(tag)
        return None

    def last_line(self) -> bytes:
        """Return what follows the last line end but one: the farewell, when the server just closed the connection."""
        return bytes(self._data).rstrip(b"\r\n").rpartition(b"\n")[2]

    def _find_tag(self, tag: bytes) -> int:
        if self._scanned == 0 and self._data.startswith(tag + b" "):
            return 0
        found = self._data.find(b"\r\n" + tag + b" ", self._scanned)
        return found + 2 if found >= 0 else -1

    def _take_through(self, start: int, tag: bytes) -> Answer | None:
        end = self._data.find(b"\r\n", start)
        if end < 0:
            self._check_line(start, len(self._data))
            return None
        untagged = self._cut(start)
        return Answer(untagged, self._cut(end + 2 - start)[len(tag) + 1 : -2])

    def _keep_last_line(self) -> None:
        last = self._data.rfind(b"\r\n", self._scanned)
        if last >= 0:
            self._line = last
        self._scanned = max(self._line, len(self._data) - _TAIL)
        self._check_line(self._line, len(self._data))

    def _check_line(self, start: int, end: int) -> None:
        if end - start > self._max_line:
            raise ImapProtocolError(f"the server sent a line longer than {self._max_line} octets")

    def _check_literal(self, size: int) -> None:
        if size > self._max_literal:
            raise ImapProtocolError(f"the server announced a literal longer than {self._max_literal} octets")

    def _cut(self, size: int) -> bytes:
        taken = bytes(memoryview(self._data)[:size])
        del self._data[:size]
        self._line = self._scanned = 0
        return taken

r"""Windows of one body section, several asked for before the first is there.

Who waits for a window before asking for the next pays a round trip for each. So FETCHes are sent ahead, and each
response is taken as it comes, not with its command's completion: a server may answer several commands before it
completes the first (RFC 3501 section 5.5), and Dovecot does whenever the next one is there in time. Which window a
response holds is told by its origin octet (section 7.4.2).
"""

from collections import deque
from types import TracebackType
from typing import NamedTuple, Self

from mailsync_grpc.errors import ImapProtocolError, ImapRefusedError
from mailsync_grpc.imap import commands
from mailsync_grpc.imap.channel import Channel
from mailsync_grpc.imap.fetch import parse_window

_TAG = 32
"""Octets within which a tag of ours ends."""
_MOST_PASSED_OVER = 16 << 20
"""Octets of other responses in a block: what is on its way when it ends, and news of a million messages."""


class _Asked(NamedTuple):
    """One FETCH that was sent, and which octets it asks for."""

    tag: bytes
    offset: int
    length: int


class SectionWindows:
    """Windows of one section of message `uid`, inside a ``with`` block, in which nothing else may be sent.

    They are taken in the order they were asked for. `section` is as `Connection.fetch_section` has it.
    """

    def __init__(self, channel: Channel, uid: int, section: str) -> None:
        self._channel = channel
        self._uid = uid
        self._section = section
        self._asked: deque[_Asked] = deque()
        self._incomplete: set[bytes] = set()
        self._arrived: dict[int, bytes] = {}
        self._passed_over = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def ask(self, offset: int, length: int) -> None:
        """Ask for at most `length` octets from `offset`, without waiting."""
        line = commands.section_fetch(self._uid, self._section, offset, length)
        (tag,) = self._channel.send([line])
        self._asked.append(_Asked(tag, offset, length))
        self._incomplete.add(tag)

    def take(self) -> bytes:
        """Return the next window, at the section's end one that is shorter than asked for, or empty.

        Raises ImapRefusedError when the folder does not hold the message.
        """
        asked = self._asked[0]
        while asked.offset not in self._arrived:
            if asked.tag not in self._incomplete:
                raise ImapRefusedError(f"the folder holds no message with UID {self._uid}")
            self._receive()
        self._asked.popleft()
        return self._arrived.pop(asked.offset)

    def end(self) -> None:
        """Read what is still to come, for nobody. Raises ImapRefusedError when a command was refused after all."""
        self._asked.clear()
        self._arrived.clear()
        refusal: ImapRefusedError | None = None
        while self._incomplete and not self._channel.wire.closed:
            try:
                self._receive()
            except ImapRefusedError as refused:
                refusal = refused
        if refusal is not None:
            raise refusal

    def _receive(self) -> None:
        response = self._channel.receive()
        tag = response[:_TAG].partition(b" ")[0]
        if tag in self._incomplete:
            self._incomplete.remove(tag)
            self._channel.check(response[len(tag) + 1 : -2])
            return
        window = parse_window(response, self._uid)
        asked = window and self._awaited(window.offset)
        with self._channel.closing_on_breach():
            if window and asked:
                self._keep(asked, window.octets)
            else:
                self._pass_over(len(response))

    def _awaited(self, offset: int | None) -> _Asked | None:
        """Return what a window from `offset` on answers; a server that does not say from where means the first."""
        awaited = (asked for asked in self._asked if asked.offset not in self._arrived)
        return next((asked for asked in awaited if offset in {None, asked.offset}), None)

    def _keep(self, asked: _Asked, octets: bytes) -> None:
        if len(octets) > asked.length:
            raise ImapProtocolError("the server sent more of a message than was asked for")
        self._arrived[asked.offset] = octets

    def _pass_over(self, size: int) -> None:
        """Count a response that is news of the folder, or a window that nobody waits for (any more)."""
        self._passed_over += size
        if self._passed_over > _MOST_PASSED_OVER:
            raise ImapProtocolError("the server says much, and nothing that was asked for")

r"""Commands and their whole answers on an authenticated wire: tags, completion, and what was announced meanwhile.

Each command is sent under its own tag and its answer read up to the tagged line (RFC 3501 section 2.2). A NO or BAD
leaves the channel sound; a breach of the protocol or a BYE closes it. What a server announces unasked is noticed in
every answer (`announcements`), so `exists` and `dirty` always speak of the folder opened last.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator

from mailsync_grpc.errors import ImapError, ImapProtocolError, ImapRefusedError
from mailsync_grpc.imap.announcements import announced
from mailsync_grpc.imap.receive import Answer
from mailsync_grpc.imap.refusal import farewell, first_line, response_code
from mailsync_grpc.imap.wire import Wire
from mailsync_grpc.model.uidset import UidSet

_GOODBYE_PATIENCE = 5.0
_MAX_BEFORE_LITERAL = 10_000
"""Lines that a server may say before it takes a literal: what others do to the folder that is open."""
_IN_PART = re.compile(rb"NO \[MODIFIED [0-9:,]+\]", re.IGNORECASE)
"""Of a conditional STORE that left messages alone and changed the others, as OK with this code is (RFC 7162 section 3.1.3)."""


class Channel:
    """Sends commands over `wire` and reads their answers, in the order they were sent."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.exists = 0
        self.dirty = False
        self._tag_number = 0

    def reset(self, exists: int) -> None:
        """Begin the state of a newly opened folder."""
        self.exists, self.dirty = exists, False

    def run(self, command: bytes) -> bytes:
        """Send one command and return its untagged answer. Raises ImapRefusedError for NO and BAD."""
        return self.finish(self.send([command])[0])

    def send(self, command_lines: list[bytes]) -> list[bytes]:
        """Send commands without waiting and return their tags; `finish` is then due for each, in order."""
        tags = [self._new_tag() for _ in command_lines]
        self.wire.send_lines([b"%s %s\r\n" % pair for pair in zip(tags, command_lines, strict=True)])
        return tags

    def finish(self, tag: bytes) -> bytes:
        """Return the untagged answer to the command sent with `tag`, once it is complete and OK."""
        return self.conclude(tag).untagged

    def conclude(self, tag: bytes) -> Answer:
        """Return the whole answer to the command sent with `tag`, once it is complete and OK."""
        answer = self._read(tag)
        self.check(answer.completion)
        return answer

    def send_literal(self, command: bytes, octets: Iterable[bytes]) -> bytes:
        """Send a command that ends with a literal's size and, when the server asks for them, its octets; return the tag.

        Raises ImapRefusedError when the server does not want them.
        """
        tag = self.send([command])[0]
        with self.closing_on_breach():
            self._await_go_ahead(tag)
        try:
            for piece in octets:
                self.wire.send_octets(piece)
            self.wire.send_octets(b"\r\n")
        except BaseException:
            # The server waits for octets that will not come.
            self.wire.shutdown()
            raise
        return tag

    def _await_go_ahead(self, tag: bytes) -> None:
        for _ in range(_MAX_BEFORE_LITERAL):
            line = self.wire.readline()
            if line.startswith(b"+"):
                return
            if line.startswith(tag + b" "):
                _check_completion(line[len(tag) + 1 :].rstrip(b"\r\n"))
                raise ImapProtocolError("the server completed a command whose literal it has not seen")
        raise ImapProtocolError("the server says much and neither takes a message nor refuses it")

    def gather(self, tags: list[bytes]) -> bytes:
        """Return all untagged answers to the commands sent with `tags`, also where the server refuses one of them.

        A server may answer several commands before it completes the first (RFC 3501 section 5.5).
        """
        answers = [self._read(tag) for tag in tags]
        with self.closing_on_breach():
            for answer in answers:
                with contextlib.suppress(ImapRefusedError):
                    _check_completion(answer.completion)
        return b"".join(answer.untagged for answer in answers)

    def receive(self) -> bytes:
        """Return the next response as it came, tagged or not."""
        response = self.wire.read_response()
        self._notice(response)
        return response

    def check(self, completion: bytes) -> None:
        """Raise ImapRefusedError unless `completion`, a tagged response without its tag, says OK."""
        with self.closing_on_breach():
            _check_completion(completion)

    def _read(self, tag: bytes) -> Answer:
        answer = self.wire.read_answer(tag)
        self._notice(answer.untagged)
        return answer

    def _notice(self, untagged: bytes) -> None:
        news = announced(untagged, self.exists)
        self.exists, self.dirty = news.exists, self.dirty or news.changed
        if news.bye:
            with self.closing_on_breach():
                raise farewell(news.bye)

    def log_out(self) -> None:
        """Say goodbye and close, whatever the server makes of it."""
        with contextlib.suppress(ImapError):
            tag = self._new_tag()
            self.wire.send_lines([tag + b" LOGOUT\r\n"], _GOODBYE_PATIENCE)
            self.wire.read_answer(tag)
        self.wire.shutdown()

    @contextlib.contextmanager
    def closing_on_breach(self) -> Iterator[None]:
        """Close the wire when the body raises an ImapError, except for a refusal, after which it is sound."""
        try:
            yield
        except ImapRefusedError:
            raise
        except ImapError:
            self.wire.shutdown()
            raise

    def _new_tag(self) -> bytes:
        self._tag_number += 1
        return b"M%d" % self._tag_number


class PendingFetch:
    """A FETCH of `uids` that was sent; `read` returns its raw answer. Nothing else may be sent before that."""

    def __init__(self, channel: Channel, uids: UidSet, lines: list[bytes]) -> None:
        self.uids = uids
        self._channel = channel
        self._lines = lines
        self._tags = channel.send(lines[:1])

    def read(self) -> bytes:
        """Return the whole untagged answer. Long UID sets go in several commands, each sent when the last is read."""
        pieces = [self._channel.finish(tag) for tag in self._tags]
        pieces += [self._channel.run(line) for line in self._lines[1:]]
        return b"".join(pieces)


def _check_completion(completion: bytes) -> None:
    if _IN_PART.match(completion):
        return
    status, _, text = completion.decode("latin-1").partition(" ")
    if status.upper() in {"NO", "BAD"}:
        raise ImapRefusedError(f"the server refused the command: {first_line(text)}", response_code(text))
    if status.upper() != "OK":
        raise ImapProtocolError("the server ended its answer with neither OK, NO nor BAD")

r"""What can go wrong with one answer of a mail server, each as a function from the honest answer to the broken one.

A `Reply` is the answer to one command before it is octets: untagged responses, the tagged completion, and how the
connection behaves while and after it is sent. A `Fault` alters it. The same faults are used on a server held in memory
(`hostile`) and between the engine and a real one (`fault_proxy`).
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

_UID = re.compile(rb"\* \d+ FETCH \(.*?\bUID (\d+)", re.DOTALL)
_LITERAL = re.compile(rb"\{(\d+)\}\r\n")
PIECE = 7
"""Octets sent at a time by an answer with a pace; no divisor of anything that matters."""


class After(Enum):
    """What the server does once an answer is sent: serve on, hang up, or never say anything again."""

    SERVE = auto()
    CLOSE = auto()
    HANG = auto()


@dataclass(frozen=True, slots=True)
class Reply:
    """Untagged responses without line ends, literals inside; the completion without its tag, empty for none.

    `kept` octets of all that are sent, None for all; `pace` seconds pass after each PIECE, None sends all at once.
    A `challenge` is sent before it all, and what the client says to it is awaited.
    """

    lines: tuple[bytes, ...] = ()
    completion: bytes = b"OK done"
    kept: int | None = None
    pace: float | None = None
    after: After = After.SERVE
    challenge: bytes = b""

    def octets(self, tag: bytes) -> bytes:
        """The answer as it is sent to the command of this tag."""
        told = b"".join(line + b"\r\n" for line in self.lines)
        if self.completion:
            told += tag + b" " + self.completion + b"\r\n"
        return told[: self.kept]


Fault = Callable[[Reply], Reply]


# What is left out.


def empty(reply: Reply) -> Reply:
    return replace(reply, lines=())


def silent_of(word: bytes) -> Fault:
    """No untagged response that holds `word`."""
    return lambda reply: replace(reply, lines=tuple(line for line in reply.lines if word not in line))


def omitting(*uids: int) -> Fault:
    return lambda reply: replace(
        reply,
        lines=tuple(line for line in reply.lines if not ((uid := _UID.match(line)) and int(uid[1]) in uids)),
    )


# What is there and should not be, or not so.


def rewriting(pattern: bytes, text: bytes) -> Fault:
    return lambda reply: replace(reply, lines=tuple(re.sub(pattern, text, line) for line in reply.lines))


def saying(*lines: bytes) -> Fault:
    """Unasked-for responses in the middle of the others."""

    def fault(reply: Reply) -> Reply:
        middle = len(reply.lines) // 2
        return replace(reply, lines=(*reply.lines[:middle], *lines, *reply.lines[middle:]))

    return fault


def shuffled(reply: Reply) -> Reply:
    return replace(reply, lines=tuple(random.Random(len(reply.lines)).sample(reply.lines, len(reply.lines))))


def doubled(reply: Reply) -> Reply:
    return replace(reply, lines=tuple(line for line in reply.lines for _ in range(2)))


def short_literal(reply: Reply) -> Reply:
    """The first literal is an octet shorter than it says, so that it takes in the line end behind it."""

    def shortened(line: bytes) -> bytes:
        found = _LITERAL.search(line)
        return line if found is None else line[: found.end()] + line[found.end() + 1 :]

    first = next((n for n, line in enumerate(reply.lines) if _LITERAL.search(line)), None)
    lines = [shortened(line) if n == first else line for n, line in enumerate(reply.lines)]
    return replace(reply, lines=tuple(lines))


# How it ends.


def completing(completion: bytes, lines: int | None = None) -> Fault:
    """The first `lines` responses, then this completion, whatever is missing."""
    return lambda reply: replace(reply, lines=reply.lines[:lines], completion=completion)


def refusing(text: bytes = b"[SERVERBUG] not now") -> Fault:
    return completing(b"NO " + text, 0)


def refusing_message(uid: int) -> Fault:
    """NO to every command whose answer would hold this message."""
    return _at(uid, refusing())


def closing_at_message(uid: int) -> Fault:
    """The end of the connection instead of every answer that would hold this message."""
    return _at(uid, closing(0))


def _at(uid: int, fault: Fault) -> Fault:
    def conditional(reply: Reply) -> Reply:
        held = {int(found[1]) for line in reply.lines if (found := _UID.match(line))}
        return fault(reply) if uid in held else reply

    return conditional


def leaving(text: bytes = b"going down", lines: int | None = None) -> Fault:
    """The first `lines` responses, then BYE and the end of the connection."""
    return lambda reply: replace(
        reply, lines=(*reply.lines[:lines], b"* BYE " + text), completion=b"", after=After.CLOSE
    )


def closing(lines: int) -> Fault:
    """The first `lines` responses, then the end of the connection without a word."""
    return lambda reply: replace(reply, lines=reply.lines[:lines], completion=b"", after=After.CLOSE)


def cut(share: float) -> Fault:
    """This share of the answer's octets, then the end of the connection."""
    return lambda reply: replace(reply, kept=int(len(reply.octets(b"")) * share), after=After.CLOSE)


def cut_in_literal(reply: Reply) -> Reply:
    """The end of the connection two octets into the first literal, or before the completion where there is none."""
    told = replace(reply, completion=b"").octets(b"")
    found = _LITERAL.search(told)
    return replace(reply, kept=found.end() + 2 if found else len(told), after=After.CLOSE)


# How fast.


def hanging(reply: Reply) -> Reply:
    return replace(reply, lines=(), completion=b"", after=After.HANG)


def stalling(reply: Reply) -> Reply:
    """Half of the answer, and nothing more for ever."""
    return replace(reply, kept=len(reply.octets(b"")) // 2, after=After.HANG)


def dripping(reply: Reply) -> Reply:
    return replace(reply, pace=0.02)


def split(reply: Reply) -> Reply:
    """In small pieces without a pause: no line, literal or tag arrives whole."""
    return replace(reply, pace=0.0)


# What happens meanwhile.


def meanwhile(action: Callable[[], object]) -> Fault:
    """The honest answer, and `action` done on the mailbox after it was made and before it is sent."""

    def fault(reply: Reply) -> Reply:
        action()
        return reply

    return fault

r"""The grammar that all answers share: lines, literals, quoted strings, parenthesised lists (RFC 3501 section 9).

An answer is first freed of its literals: each `{n}` CRLF and its n octets become the quoted string `"\0i"`, where i
is the literal's number. NUL can occur nowhere else (RFC 3501 forbids it in quoted strings; a server's own is dropped),
so afterwards every response is one line without line ends inside, which regular expressions and C parsers can read.

Text is carried as `str` with one character an octet (latin-1): C-speed tools then work on it and nothing is lost;
`header_text` makes real text of it. A value is a `Node`: None for NIL, a string, or a list of nodes; numbers are
strings here and integers when they came through the JSON parser (see `bodystructure`).
"""

import re
from typing import NamedTuple, TypeAlias

Node: TypeAlias = "str | int | list[Node] | None"

LITERAL = re.compile(rb"\{(\d+)\}\r\n")
"""What announces a literal (RFC 3501 section 4.3)."""
_MAX_DIGITS = 12
_PLACEHOLDER = "\0"

# A bracket, the inside of a quoted string, an atom, or all that follows a quote that nothing closes; four empty groups
# are `""`. No alternative looks far ahead in vain, so that hostile text costs no more than its length.
_TOKEN = re.compile(
    r"""([()])|"([^"\\]*+(?:\\.[^"\\]*+)*+)"|(BODY\[[^\]]{0,200}+\](?:<\d+>)?|[^\s()"]+)|(".*)""",
    re.IGNORECASE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class MalformedError(Exception):
    """Text that is not what the grammar asks for; never leaves the parsers."""


def untagged_text(data: bytes | tuple[bytes, ...]) -> str:
    """Return what imaplib keeps of an untagged response, which is a tuple where the server used a literal."""
    return (data if isinstance(data, bytes) else data[0]).decode("latin-1")


class Split(NamedTuple):
    """An answer without its literals: its lines, and the literals that the placeholders in them stand for."""

    lines: list[str]
    literals: list[bytes]


def literal_size(opening: re.Match[bytes]) -> int:
    """Return the octets of the literal that `opening` announces; of a number too long to be one, its last digits."""
    return int(opening[1][-_MAX_DIGITS:])


def split_answer(answer: bytes) -> Split:
    """Return the lines and literals of `answer`, the untagged part of what `ReceiveBuffer.take_answer` gave."""
    pieces: list[bytes] = []
    literals: list[bytes] = []
    start = 0
    while found := LITERAL.search(answer, start):
        opening, begin = found.span()
        # A literal of binary content (RFC 3516) has a tilde before it.
        pieces += (
            answer[start : opening - (answer[opening - 1 : opening] == b"~")],
            b'"\0%d"' % len(literals),
        )
        start = begin + literal_size(found)
        literals.append(answer[begin:start])
    pieces.append(answer[start:])
    if b"\0" in answer:
        pieces[::2] = [piece.replace(b"\0", b"") for piece in pieces[::2]]
    return Split(b"".join(pieces).decode("latin-1").split("\r\n"), literals)


def unquote(wire: str, literals: list[bytes]) -> str:
    """Return the string that `wire` stands for: a quoted string, a literal's placeholder or NIL (empty)."""
    if wire[1:2] == _PLACEHOLDER:
        return literals[int(wire[2:-1])].decode("latin-1")
    if wire[:1] != '"':
        return "" if wire == "NIL" else wire
    inner = wire[1:-1]
    return _ESCAPE.sub(r"\1", inner) if "\\" in inner else inner


def resolve_literal(text: str, literals: list[bytes]) -> str:
    """Return the literal that `text`, the inside of a quoted string, stands for, or `text` itself."""
    return literals[int(text[1:])].decode("latin-1") if text[:1] == _PLACEHOLDER else text


def parse_nodes(text: str, literals: list[bytes], start: int = 0) -> list[Node]:
    """Return the values in `text` from `start` on, without recursion. Raises MalformedError."""
    values: list[Node] = []
    above: list[list[Node]] = []
    for bracket, quoted, atom, stray in _TOKEN.findall(text, start):
        if atom:
            values.append(None if atom.upper() == "NIL" else atom)
        elif bracket == "(":
            above.append(values)
            values = []
        elif bracket:
            values = _closed(values, above)
        elif stray:
            raise MalformedError("a quoted string does not end")
        else:
            values.append(resolve_literal(_ESCAPE.sub(r"\1", quoted), literals))
    if above:
        raise MalformedError("a list does not end")
    return values


def _closed(values: list[Node], above: list[list[Node]]) -> list[Node]:
    if not above:
        raise MalformedError("a list ends that did not begin")
    outer = above.pop()
    outer.append(values)
    return outer

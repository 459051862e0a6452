r"""BODYSTRUCTURE (RFC 3501 section 7.4.2): which parts a message has, and which of them a reader calls attachments.

The parenthesised text differs from JSON in brackets, commas and NIL only, so it is rewritten by bulk replacements
outside its quoted strings and read by the C JSON parser, eight times faster than a tokenizer in Python. Text that the
rewriting does not fit (escapes, literals where none belong, deep nesting) goes through the general grammar.

Parts are numbered as FETCH numbers them (section 6.4.5): the children of a multipart count from 1, a message that is
no multipart is its own part 1, an attached message is one part and is not opened. The walk uses a stack, never
recursion: hostile mail nests deeper than Python does.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple, cast

from mailsync_grpc.imap.answer import MalformedError, Node, parse_nodes, resolve_literal
from mailsync_grpc.imap.fetch import number_of
from mailsync_grpc.imap.header_text import clean, header_text, octets_text, parameter
from mailsync_grpc.model.envelope import Attachment, BodyPart

MAX_DEPTH = 100
MAX_PARTS = 1_000

_SHOWN = {"plain", "html"}
_REWRITE = str.maketrans("() ", "[],")
_DECODER = json.JSONDecoder(strict=False)


class TooDeepError(MalformedError):
    """The message nests more than MAX_DEPTH multiparts."""


class Parts(NamedTuple):
    """The text parts and attachments of one message; `truncated` when it has more parts than are kept."""

    text_parts: tuple[BodyPart, ...]
    attachments: tuple[Attachment, ...]
    truncated: bool


def read_structure(text: str, literals: list[bytes]) -> Node:
    """Return the value of a BODYSTRUCTURE as on the wire. Raises MalformedError."""
    if "\\" not in text:
        try:
            return cast(Node, _DECODER.decode(_as_json(text)))
        except (ValueError, RecursionError):
            pass
    nodes = parse_nodes(text, literals)
    return nodes[0] if len(nodes) == 1 else None


def _as_json(text: str) -> str:
    pieces = text.split('"')
    # Every second piece is outside the quotes; joined by a quote they are rewritten at once and split again.
    outside = '"'.join(pieces[::2]).translate(_REWRITE).replace("][", "],[").replace("NIL", "null")
    pieces[::2] = outside.split('"')
    return '"'.join(pieces)


def parts_of(structure: Node, literals: list[bytes]) -> Parts:
    """Return the parts of a message. Raises TooDeepError, or MalformedError when the structure is none."""
    texts: list[BodyPart] = []
    attachments: list[Attachment] = []
    for count, (section, body) in enumerate(_leaves(structure)):
        if count == MAX_PARTS:
            return Parts(tuple(texts), tuple(attachments), truncated=True)
        leaf = _Leaf(section, body, literals)
        if leaf.is_shown:
            texts.append(leaf.body_part())
        else:
            attachments.append(leaf.attachment())
    return Parts(tuple(texts), tuple(attachments), truncated=False)


def _leaves(structure: Node) -> Iterator[tuple[str, list[Node]]]:
    """Yield each part that is no multipart with its section number, in the message's order."""
    stack: list[tuple[str, Node, int]] = [("", structure, 0)]
    while stack:
        section, body, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise TooDeepError
        if not isinstance(body, list) or not body:
            raise MalformedError("a part without fields")
        if not isinstance(body[0], list):
            yield section or "1", body
            continue
        prefix = f"{section}." if section else ""
        children = [child for child in body if isinstance(child, list)][: _child_count(body)]
        numbered = [(f"{prefix}{number}", child, depth + 1) for number, child in enumerate(children, 1)]
        stack.extend(reversed(numbered))


def _child_count(body: list[Node]) -> int:
    """The children come first, before the subtype and the multipart's own fields."""
    return next((index for index, node in enumerate(body) if not isinstance(node, list)), len(body))


class _Leaf:
    """One part that is no multipart, its fields by their place in the grammar's `body-type-1part`."""

    def __init__(self, section: str, body: list[Node], literals: list[bytes]) -> None:
        if len(body) < 2:
            raise MalformedError("a part without type")
        self._section = section
        self._body = body
        self._literals = literals
        self._type = self._token(0)
        self._subtype = self._token(1)
        self._disposition, self._file_name = self._describe()

    @property
    def is_shown(self) -> bool:
        """Whether mail programs show the part as the message's text."""
        shown = self._type == "text" and self._subtype in _SHOWN
        return shown and self._disposition != "attachment" and not self._file_name

    def body_part(self) -> BodyPart:
        return BodyPart(
            self._section,
            self._type,
            self._subtype,
            self._parameter(2, "charset").lower(),
            self._token(5),
            self._number(6),
            self._number(7),
        )

    def attachment(self) -> Attachment:
        content_id = header_text(self._string(3)).strip().removeprefix("<").removesuffix(">")
        inline = self._disposition == "inline" or (not self._disposition and bool(content_id))
        return Attachment(
            self._section,
            self._file_name,
            self._type,
            self._subtype,
            self._number(6),
            content_id,
            inline,
            self._token(5),
            self._parameter(2, "charset").lower(),
        )

    def _describe(self) -> tuple[str, str]:
        """Return the disposition and the file name, which Content-Disposition or else Content-Type carries."""
        disposition, name = "", ""
        match self._at(self._disposition_index()):
            case [str(kind), *rest]:
                disposition = _lower(resolve_literal(kind, self._literals))
                name = parameter(self._pairs(rest[0] if rest else None), "filename")
        return disposition, name or self._parameter(2, "name")

    def _disposition_index(self) -> int:
        """Text parts have a line count before the extension fields, attached messages their envelope, body and lines."""
        if self._type == "text":
            return 9
        if self._type == "message" and isinstance(self._at(7), list):
            return 11
        return 8

    def _parameter(self, index: int, name: str) -> str:
        node = self._at(index)
        return parameter(self._pairs(node), name) if node else ""

    def _pairs(self, node: Node) -> list[tuple[str, str]]:
        if not isinstance(node, list):
            return []
        texts = [resolve_literal(str(item), self._literals) if item is not None else "" for item in node]
        return list(zip(texts[::2], texts[1::2], strict=False))

    def _at(self, index: int) -> Node:
        return self._body[index] if index < len(self._body) else None

    def _string(self, index: int) -> str:
        node = self._at(index)
        return resolve_literal(node, self._literals) if isinstance(node, str) else ""

    def _token(self, index: int) -> str:
        return _lower(self._string(index))

    def _number(self, index: int) -> int:
        return min(number_of(self._at(index)) or 0, (1 << 63) - 1)


def _lower(text: str) -> str:
    return (
        text.lower() if text.isascii() and text.isprintable() else clean(octets_text(text.encode("latin-1")))
    )

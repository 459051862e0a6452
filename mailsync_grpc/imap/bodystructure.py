r"""BODYSTRUCTURE (RFC 3501 section 7.4.2): which parts a message has, and which of them a reader calls attachments.

The parenthesised text differs from JSON in brackets, commas and NIL only, so it is rewritten by bulk replacements
outside its quoted strings and read by the C JSON parser, eight times faster than a tokenizer in Python. Text that the
rewriting does not fit (escapes, literals where none belong, deep nesting) goes through the general grammar.

Most structures of a mailbox differ in octet counts, line counts and boundaries only. So each structure without these is
read once and its layout remembered, and the next message of that shape only has its counts filled in.

Parts are numbered as FETCH numbers them (section 6.4.5): the children of a multipart count from 1, a message that is
no multipart is its own part 1, an attached message is one part and is not opened. The walk uses a stack, never
recursion: hostile mail nests deeper than Python does.
"""

import json
import re
from functools import lru_cache, partial
from itertools import takewhile
from typing import NamedTuple, cast

from mailsync_grpc.imap.answer import MalformedError, Node, parse_nodes
from mailsync_grpc.imap.fetch import number_of
from mailsync_grpc.imap.header_text import header_text, message_id, parameter
from mailsync_grpc.imap.report import Child, Reporting, reporting
from mailsync_grpc.model.envelope import Attachment, BodyPart

MAX_DEPTH = 100
MAX_PARTS = 1_000

_SHOWN = {"plain", "html"}
_SHORTEST = 12
"""Fields that are looked at; a part that has fewer lacks optional ones."""
_MAX_PARAMETERS, _MAX_PARAMETER = 128, 1_024
"""Parameter names and values of one part that are read, and characters of each."""
_MAX_COUNT = (1 << 63) - 1
# Stand for escapes while quotes are looked for; control characters are no part of sound text.
_BACKSLASH, _QUOTE = "\1", "\2"
_REWRITE = str.maketrans("() ", "[],")
_DECODER = json.JSONDecoder(strict=False)

# After a closing quote: the counts that follow a transfer encoding, or a multipart's parameters up to the boundary.
_VARYING = re.compile(
    r'" (?:(\d{1,18}(?: \d{1,18})?)(?=[ )])|\((?:"(?:type|protocol|micalg)" "[^"]*" )*"boundary" "[^"]*")'
)
# Without escapes, literals and blanks at the ends of strings, every quote before a blank is a closing one. With a
# Content-ID or an attached message's envelope no second structure would be the same; a report's type must not be lost.
_UNREPEATED = ("\\", "\0", '(" ', ' " ', '"<', '"report-type"')
_LITERAL = re.compile(r'"\0(\d+)"')
_MARK = 10**18
"""Stands for a count while a layout is read: it has one digit more than the counts that are taken out."""


# A named tuple's own constructor takes four times as long.
_text_part = partial(tuple.__new__, BodyPart)
_attachment = partial(tuple.__new__, Attachment)


class TooDeepError(MalformedError):
    """The message nests more than MAX_DEPTH multiparts."""


class Parts(NamedTuple):
    """The text parts and attachments of one message; `truncated` when it has more parts than are kept.

    `report` tells of its first multipart/report, when that is a bounce or a complaint.
    """

    text_parts: tuple[BodyPart, ...]
    attachments: tuple[Attachment, ...]
    truncated: bool
    report: Reporting | None = None


class _Layout(NamedTuple):
    """The parts of structures that differ in counts and boundaries only.

    A text part is its fields up to the size and the indices of size and lines, an attachment its fields before the
    size, the size's index and the fields behind it. Indices are into the counts taken out, followed by `fixed`.
    """

    texts: tuple[tuple[tuple[str, ...], int, int], ...]
    attachments: tuple[tuple[tuple[str, ...], int, tuple[str | bool, ...]], ...]
    truncated: bool
    report: Reporting | None
    fixed: tuple[int, ...]

    def filled(self, counts: list[int]) -> Parts:
        """Return the parts of the structure that `counts` were taken out of."""
        counts += self.fixed
        texts = [_text_part((*fields, counts[size], counts[lines])) for fields, size, lines in self.texts]
        attachments = [_attachment((*head, counts[size], *tail)) for head, size, tail in self.attachments]
        return Parts(tuple(texts), tuple(attachments), self.truncated, self.report)


def read_parts(text: str, literals: list[bytes]) -> Parts:
    """Return the parts of a BODYSTRUCTURE as on the wire. Raises TooDeepError and MalformedError."""
    if any(sign in text for sign in _UNREPEATED):
        return parts_of(read_structure(text, literals))
    pieces = _VARYING.split(text)
    taken = pieces[1::2]
    layout = _layout(tuple(pieces[::2]), tuple([counts.count(" ") if counts else None for counts in taken]))
    return layout.filled([int(count) for count in " ".join(filter(None, taken)).split()])


@lru_cache(maxsize=4_096)
def _layout(pieces: tuple[str, ...], taken: tuple[int | None, ...]) -> _Layout:
    """Return the layout of the structure made of `pieces` with a boundary (None), one count or two between them."""
    text, marks = pieces[0], 0
    for blanks, piece in zip(taken, pieces[1:], strict=True):
        number = 0 if blanks is None else blanks + 1
        counts = "".join(f" {_MARK + mark}" for mark in range(marks, marks + number))
        text += '"' + (counts or ' ("boundary" ""') + piece
        marks += number
    parts = parts_of(read_structure(text, []))
    fixed: list[int] = []

    def index_of(count: int) -> int:
        if _MARK <= count < _MARK + marks:
            return count - _MARK
        fixed.append(count)
        return marks + len(fixed) - 1

    return _Layout(
        tuple((part[:5], index_of(part.size), index_of(part.lines)) for part in parts.text_parts),
        tuple((part[:4], index_of(part.size), part[5:]) for part in parts.attachments),
        parts.truncated,
        parts.report,
        tuple(fixed),
    )


def read_structure(text: str, literals: list[bytes]) -> Node:
    """Return the value of a BODYSTRUCTURE as on the wire, literals in place. Raises MalformedError."""
    json_text = _as_json(text)
    if "\0" in text:
        json_text = _LITERAL.sub(lambda found: _as_json_string(literals[int(found[1])]), json_text)
    try:
        structure, end = _DECODER.raw_decode(json_text)
    except (ValueError, RecursionError):
        pass
    else:
        if end == len(json_text):
            return cast(Node, structure)
    nodes = parse_nodes(text, literals)
    return nodes[0] if len(nodes) == 1 else None


def _as_json(text: str) -> str:
    escapes = "\\" in text
    if escapes:
        text = text.replace("\\\\", _BACKSLASH).replace('\\"', _QUOTE)
    pieces = text.split('"')
    # Every second piece is outside the quotes; joined by a quote they are rewritten at once and split again.
    outside = '"'.join(pieces[::2]).translate(_REWRITE).replace("][", "],[").replace("NIL", "null")
    pieces[::2] = outside.split('"')
    text = '"'.join(pieces)
    return text.replace(_QUOTE, '\\"').replace(_BACKSLASH, "\\\\") if escapes else text


def _as_json_string(literal: bytes) -> str:
    return json.dumps(literal.decode("latin-1"))


def parts_of(structure: Node) -> Parts:
    """Return the parts of a message. Raises TooDeepError, or MalformedError when the structure is none."""
    texts: list[BodyPart] = []
    attachments: list[Attachment] = []
    leaves, report = _leaves(structure)
    for section, body in leaves[:MAX_PARTS]:
        part = _part(section, body)
        if isinstance(part, BodyPart):
            texts.append(part)
        else:
            attachments.append(part)
    return Parts(tuple(texts), tuple(attachments), len(leaves) > MAX_PARTS, report)


def _leaves(structure: Node) -> tuple[list[tuple[str, list[Node]]], Reporting | None]:
    """Return each part that is no multipart with its section number, in the message's order, and what it reports."""
    found: list[tuple[str, list[Node]]] = []
    report: Reporting | None = None
    stack: list[tuple[str, Node, int]] = [("", structure, 0)]
    while stack and len(found) <= MAX_PARTS:
        section, body, depth = stack.pop()
        if not isinstance(body, list) or not body:
            raise MalformedError("a part without fields")
        if not isinstance(body[0], list):
            found.append((section or "1", body))
            continue
        if depth == MAX_DEPTH:
            raise TooDeepError
        prefix = f"{section}." if section else ""
        # The children come first, before the subtype and the multipart's own fields.
        children = takewhile(_is_list, body)
        numbered = [(f"{prefix}{number}", child, depth + 1) for number, child in enumerate(children, 1)]
        stack.extend(reversed(numbered))
        if report is None and _word(_field(body, len(numbered))) == "report":
            report = _reporting(numbered, _field(body, len(numbered) + 1))
    return found, report


def _reporting(numbered: list[tuple[str, Node, int]], parameters: Node) -> Reporting | None:
    report_type = parameter(_pairs(_flat(parameters)), "report-type").lower()
    return reporting(report_type, [_child(section, body) for section, body, _ in numbered[:MAX_PARTS]])


def _child(section: str, body: Node) -> Child:
    if not isinstance(body, list) or not body or isinstance(body[0], list):
        return Child(section, "multipart", "")
    match _field(body, 7):
        case [_, _, _, _, _, _, _, _, _, str(attached), *_]:
            identifier = message_id(attached)
        case _:
            identifier = ""
    return Child(section, f"{_word(body[0])}/{_word(_field(body, 1))}", _word(_field(body, 5)), identifier)


def _field(body: list[Node], index: int) -> Node:
    return body[index] if index < len(body) else None


def _is_list(node: Node) -> bool:
    return isinstance(node, list)


def _part(section: str, body: list[Node]) -> BodyPart | Attachment:
    """Return what a part is to a reader; its fields are those of `body-type-1part` in the grammar."""
    if len(body) < _SHORTEST:
        body = [*body, *[None] * (_SHORTEST - len(body))]
    media_type, subtype, parameters, content_id, _, encoding, size, lines = body[:8]
    kind, minor = _word(media_type), _word(subtype)
    charset, name = _content_type(_flat(parameters))
    disposition, file_name = _disposition(body[_disposition_index(kind, body)])
    file_name = file_name or name
    if kind == "text" and minor in _SHOWN and disposition != "attachment" and not file_name:
        return BodyPart(section, kind, minor, charset, _word(encoding), _count(size), _count(lines))
    identifier = _content_id(content_id)
    inline = disposition == "inline" or (not disposition and bool(identifier))
    return Attachment(
        section, file_name, kind, minor, _count(size), identifier, inline, _word(encoding), charset
    )


def _disposition_index(kind: str, body: list[Node]) -> int:
    """Text has a line count before the extension fields, an attached message its envelope, body and line count."""
    if kind == "text":
        return 9
    if kind == "message" and isinstance(body[7], list):
        return 11
    return 8


def _disposition(node: Node) -> tuple[str, str]:
    match node:
        case [str(kind), *rest]:
            return _word(kind), parameter(_pairs(_flat(rest[0] if rest else None)), "filename")
    return "", ""


@lru_cache(maxsize=1_024)
def _content_type(parameters: tuple[str, ...]) -> tuple[str, str]:
    """Return the charset and the file name among the parameters of Content-Type."""
    pairs = _pairs(parameters)
    return parameter(pairs, "charset").lower(), parameter(pairs, "name")


def _flat(node: Node) -> tuple[str, ...]:
    if not isinstance(node, list):
        return ()
    return tuple([item[:_MAX_PARAMETER] if isinstance(item, str) else "" for item in node[:_MAX_PARAMETERS]])


def _pairs(items: tuple[str, ...]) -> list[tuple[str, str]]:
    return list(zip(items[::2], items[1::2], strict=False))


def _content_id(node: Node) -> str:
    return header_text(node).strip().removeprefix("<").removesuffix(">") if isinstance(node, str) else ""


def _count(node: Node) -> int:
    number = node if isinstance(node, int) else number_of(node)
    return min(max(number or 0, 0), _MAX_COUNT)


def _word(node: Node) -> str:
    return _folded(node[:_MAX_PARAMETER]) if isinstance(node, str) else ""


@lru_cache(maxsize=1_024)
def _folded(text: str) -> str:
    return header_text(text).lower()

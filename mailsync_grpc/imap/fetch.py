r"""FETCH answers: which UIDs a folder holds and their flags, and the splitting of any FETCH response into attributes.

UID+FLAGS of a whole folder is the bulk of what a mailbox mirror reads, so one compiled `findall` takes the form every
common server sends and a dictionary knows the hash of each distinct flag list; what is left over goes line by line
through the general grammar. A response without a UID is never data (RFC 3501 section 7: a server may send one at any
time for any message, and sequence numbers are no identity here); it only tells that the folder changed.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import NamedTuple

from mailsync_grpc.imap.answer import MalformedError, Node, parse_nodes, split_answer
from mailsync_grpc.imap.folder_names import decode_name
from mailsync_grpc.imap.header_text import clean, header_text, octets_text
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.uidset import UidSet

MAX_UID = 0xFFFFFFFF
# Where CONDSTORE is on, a server may add MODSEQ to any response with FLAGS (RFC 7162 section 3.2).
_UID_FIRST = re.compile(rb"\* \d+ FETCH \(UID (\d{1,10}) FLAGS \(([^()\"{\r\n]*)\)(?: MODSEQ \(\d+\))?\)\r\n")
_FLAGS_FIRST = re.compile(
    rb"\* \d+ FETCH \(FLAGS \(([^()\"{\r\n]*)\) UID (\d{1,10})(?: MODSEQ \(\d+\))?\)\r\n"
)
_FETCH = re.compile(r"\* \d+ FETCH \(", re.IGNORECASE)
_SECTION = re.compile(r"BODY\[([^\]]*)\]")
_PARTIAL = re.compile(r"BODY\[[^\]]*\](?:<(\d{1,19})>)?")
_SLICE = 1 << 20


@dataclass(frozen=True, slots=True)
class FlagListing:
    """UIDs of a folder, ascending and unique, and the flag hash of each; `table` says what each hash stands for."""

    uids: list[int]
    hashes: list[int]
    table: dict[int, Flags]

    def __len__(self) -> int:
        return len(self.uids)


class FlagChanges(NamedTuple):
    """What CHANGEDSINCE answers: messages that came or changed, and UIDs that are gone where the server tells them."""

    listing: FlagListing
    vanished: UidSet


def parse_flags(answer: bytes, asked: UidSet) -> FlagListing:
    """Return the flags of the `asked` messages in a UID FETCH (UID FLAGS) answer; UIDs outside the set are dropped.

    A message answered twice has the flags of its last response; one answered without FLAGS is there and has none.
    """
    table = _HashTable()
    uids: list[int] = []
    hashes: list[int] = []
    rest = bytearray()
    for piece in _line_slices(answer):
        rows = _UID_FIRST.findall(piece)
        if rows:
            wire_uids, wire_flags = zip(*rows, strict=True)
            uids += map(int, wire_uids)
            hashes += map(table.__getitem__, wire_flags)
        if len(rows) != piece.count(b"\n"):
            rest += _UID_FIRST.sub(b"", piece)
    _add_irregular(bytes(rest), table, uids, hashes)
    return FlagListing(*_within(*_ordered(uids, hashes), asked), table.flags)


def parse_labelled(answer: bytes, asked: UidSet) -> FlagListing:
    """Return the flags and labels of the `asked` messages in an answer to UID FETCH (UID FLAGS X-GM-LABELS).

    A server that tells of a change unasked tells the flags alone. Such a response says nothing of labels: it adds to
    what the answer says of the message elsewhere, and is left out where that is nothing, to be seen by the next look.
    """
    table, names, labels = _HashTable(), {}, {}
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    lines, literals = split_answer(answer)
    for line in lines:
        attributes = fetch_attributes(line, literals)
        uid, flags = uid_of(attributes), flags_in(attributes)
        if uid is not None and flags is not None:
            names[uid] = known.setdefault(flags.names, flags.names)
        if uid is not None and isinstance(attributes.get("X-GM-LABELS"), list):
            told = Flags.of((), labels_in(attributes)).labels
            labels[uid] = known.setdefault(told, told)
    uids = sorted(labels)
    hashes = [table.add(Flags(names.get(uid, ()), labels[uid])) for uid in uids]
    return FlagListing(*_within(uids, hashes, asked), table.flags)


class _HashTable(dict[bytes, int]):
    """Flag list as on the wire to hash; a list seen for the first time is parsed once."""

    def __init__(self) -> None:
        self.flags: dict[int, Flags] = {}

    def __missing__(self, wire: bytes) -> int:
        self[wire] = number = self.add(flags_of(wire.decode("latin-1")))
        return number

    def add(self, flags: Flags) -> int:
        number = flags.hash
        self.flags.setdefault(number, flags)
        return number


def flags_of(wire: str) -> Flags:
    """Return the flags of a FLAGS list as on the wire, without its parentheses."""
    return Flags.of(_flag_text(name) for name in wire.split())


def _flag_text(name: str) -> str:
    return (
        name
        if name.isascii() and name.isprintable()
        else clean(octets_text(name.encode("latin-1", "replace")))
    )


def _line_slices(answer: bytes) -> list[bytes]:
    """Cut a large answer at line ends, so that the rows of only one slice are in memory at a time."""
    slices = []
    start = 0
    while len(answer) - start > _SLICE:
        end = answer.find(b"\n* ", start + _SLICE) + 1
        if end == 0:
            break
        slices.append(answer[start:end])
        start = end
    return [*slices, answer[start:]]


def _add_irregular(rest: bytes, table: _HashTable, uids: list[int], hashes: list[int]) -> None:
    """Add the rows of lines that the fast expression left, in their order."""
    rows = _FLAGS_FIRST.findall(rest)
    uids += [int(uid) for _, uid in rows]
    hashes += [table[names] for names, _ in rows]
    lines, literals = split_answer(_FLAGS_FIRST.sub(b"", rest))
    bare: list[int] = []
    for line in lines:
        attributes = fetch_attributes(line, literals)
        uid, flags = uid_of(attributes), flags_in(attributes)
        if uid is not None and flags is not None:
            uids.append(uid)
            hashes.append(table.add(flags))
        elif uid is not None:
            bare.append(uid)
    # Before all others, so that a response with flags for the same message wins.
    uids[:0] = bare
    hashes[:0] = [table.add(NO_FLAGS) for _ in bare]


def _ordered(uids: list[int], hashes: list[int]) -> tuple[list[int], list[int]]:
    if all(map(lt, uids, islice(uids, 1, None))):
        return uids, hashes
    latest = dict(zip(uids, hashes, strict=True))
    ordered = sorted(latest)
    return ordered, [latest[uid] for uid in ordered]


def _within(uids: list[int], hashes: list[int], asked: UidSet) -> tuple[list[int], list[int]]:
    kept_uids: list[int] = []
    kept_hashes: list[int] = []
    for low, high in asked.ranges:
        cut = slice(bisect_left(uids, max(low, 1)), bisect_right(uids, min(high, MAX_UID)))
        kept_uids += uids[cut]
        kept_hashes += hashes[cut]
    return kept_uids, kept_hashes


def fetch_attributes(line: str, literals: list[bytes]) -> dict[str, Node]:
    """Return the attributes of one FETCH response by upper-case name; empty when `line` is no sound one."""
    head = _FETCH.match(line)
    if head is None:
        return {}
    try:
        nodes = parse_nodes(line, literals, head.end() - 1)
    except MalformedError:
        return {}
    values = nodes[0]
    if not isinstance(values, list):
        return {}
    # A list in the place of a name may be too deep even to be shown.
    pairs = zip(values[::2], values[1::2], strict=False)
    return {name.upper(): value for name, value in pairs if isinstance(name, str)}


def uid_of(attributes: dict[str, Node]) -> int | None:
    """Return the UID among `attributes`, None when there is no usable one."""
    uid = number_of(attributes.get("UID"))
    return uid if uid is not None and 1 <= uid <= MAX_UID else None


def modseq_of(attributes: dict[str, Node]) -> int | None:
    """Return the mod-sequence among `attributes` (RFC 7162 section 3.1.4.2), None when there is no usable one."""
    told = attributes.get("MODSEQ")
    return number_of(told[0]) if isinstance(told, list) and told else None


def number_of(node: Node) -> int | None:
    """Return the number that `node` is, None when it is something else."""
    if isinstance(node, str) and len(node) < 20 and node.isascii() and node.isdigit():
        return int(node)
    return node if isinstance(node, int) else None


def flags_in(attributes: dict[str, Node]) -> Flags | None:
    """Return the flags and Gmail labels among `attributes`, None when there is no FLAGS list."""
    names = attributes.get("FLAGS")
    if not isinstance(names, list):
        return None
    # A keyword may be spelled NIL; as a flag it is just a word.
    texts = [_flag_text("NIL" if name is None else str(name)) for name in names if not isinstance(name, list)]
    return Flags.of(texts, labels_in(attributes))


def labels_in(attributes: dict[str, Node]) -> list[str]:
    """Return Gmail's labels among `attributes`: modified UTF-7 like folder names, system ones with a backslash."""
    nodes = attributes.get("X-GM-LABELS")
    if not isinstance(nodes, list):
        return []
    return [
        decode_name(str(node).encode("latin-1", "replace")) for node in nodes if isinstance(node, str | int)
    ]


def email_id_of(attributes: dict[str, Node]) -> str:
    """Return EMAILID (RFC 8474) or Gmail's X-GM-MSGID among `attributes`, empty when there is neither."""
    return _object_id(attributes.get("EMAILID"), attributes.get("X-GM-MSGID"))


def thread_id_of(attributes: dict[str, Node]) -> str:
    """Return THREADID (RFC 8474) or Gmail's X-GM-THRID among `attributes`, empty when there is neither."""
    return _object_id(attributes.get("THREADID"), attributes.get("X-GM-THRID"))


def _object_id(standard: Node, gmail: Node) -> str:
    match standard, gmail:
        case [str(found)], _:
            return header_text(found)
        case _, str(number):
            return header_text(number)
    return ""


class Window(NamedTuple):
    """Octets of a body section from `offset` on, None where the server does not say from where."""

    offset: int | None
    octets: bytes


def parse_window(response: bytes, uid: int) -> Window | None:
    """Return the octets of a body section in one FETCH response, None when it holds none of message `uid`."""
    for attributes, literals in _marked(response):
        for name, value in attributes.items():
            partial = _PARTIAL.fullmatch(name)
            if partial is not None and uid_of(attributes) == uid:
                offset = int(partial[1]) if partial[1] else None
                return Window(offset, _octets(value, literals) if isinstance(value, str) else b"")
    return None


def parse_sections(answer: bytes) -> dict[tuple[int, str], bytes]:
    """Return the octets of each body section in UID FETCH answers, by UID and section."""
    found: dict[tuple[int, str], bytes] = {}
    for attributes, literals in _marked(answer):
        uid = uid_of(attributes)
        for name, value in attributes.items():
            section = _SECTION.match(name)
            if uid is not None and section is not None and isinstance(value, str):
                found[uid, section[1]] = _octets(value, literals)
    return found


def _marked(answer: bytes) -> Iterator[tuple[dict[str, Node], list[bytes]]]:
    """Yield the attributes of each response, where NUL and its number stand for a literal, and the literals.

    Octets of a section would otherwise become text and octets again.
    """
    lines, literals = split_answer(answer)
    marks = [b"\0%d" % number for number in range(len(literals))]
    for line in lines:
        yield fetch_attributes(line, marks), literals


def _octets(value: str, literals: list[bytes]) -> bytes:
    return literals[int(value[1:])] if value[:1] == "\0" else value.encode("latin-1")

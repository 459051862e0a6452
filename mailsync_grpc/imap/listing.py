r"""LIST, STATUS, EXAMINE, SEARCH and NAMESPACE answers, and untagged announcements (RFC 3501 section 7, RFC 9051).

Each line is its own: one that makes no sense is left out, and the others stand. A folder's raw name is kept octet for
octet, because only it opens the folder; names are never taken for patterns or paths.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mailsync_grpc.errors import ImapProtocolError
from mailsync_grpc.imap.answer import MalformedError, Node, parse_nodes, split_answer, unquote
from mailsync_grpc.imap.fetch import MAX_UID, number_of
from mailsync_grpc.imap.folder_names import INBOX, decode_name
from mailsync_grpc.imap.header_text import clean, octets_text
from mailsync_grpc.model.uidset import UidSet

SPECIAL_USES = ("\\Sent", "\\Drafts", "\\Trash", "\\Junk", "\\Archive", "\\All", "\\Flagged", "\\Important")
_ATTRIBUTES = {
    attribute.lower(): attribute
    for attribute in (
        *SPECIAL_USES,
        *("\\Noselect", "\\NonExistent", "\\Noinferiors", "\\HasChildren", "\\HasNoChildren"),
        *("\\Marked", "\\Unmarked", "\\Subscribed", "\\Remote"),
    )
}
_UNSELECTABLE = {"\\Noselect", "\\NonExistent"}

_LIST = re.compile(
    r"""\*\ LIST\ \((?P<attributes>[^()]*)\)\ (?P<delimiter>NIL|"(?:\\.|[^"\\])")\ +
        (?P<name>"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^"\ ]\S*)(?:\ \(.*\))?\ *""",
    re.VERBOSE | re.IGNORECASE,
)
_STATUS = re.compile(r"\* STATUS .*\(([^()]*+(?:\([^()]*\)[^()]*+)*)\) *", re.IGNORECASE)
_MAILBOX_ID = re.compile(r"\bMAILBOXID \(([^()]*)\)", re.IGNORECASE)
_SEARCH = re.compile(r"\* SEARCH((?: +\d+)*)(?: +\(MODSEQ \d+\))? *", re.IGNORECASE)
_ESEARCH = re.compile(r"\* ESEARCH\b(?: \(TAG [^()]*\))?(.*)", re.IGNORECASE)
_ESEARCH_ALL = re.compile(r" ALL (\S+)", re.IGNORECASE)
_VANISHED = re.compile(rb"^\* VANISHED(?: \(EARLIER\))? ([0-9:,]+) *\r?$", re.IGNORECASE | re.MULTILINE)
_EXISTS = re.compile(r"\* (\d+) EXISTS *", re.IGNORECASE)
_CODE = re.compile(r"\* OK \[([A-Z-]+)(?: ([^\]]*))?\]", re.IGNORECASE)
_NAMESPACE = re.compile(r"\* NAMESPACE ", re.IGNORECASE)
_ID = re.compile(r"\* ID ", re.IGNORECASE)
_CAPABILITY = re.compile(r"\* (CAPABILITY|ENABLED)((?: \S+)*) *", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ListedFolder:
    r"""One folder of a LIST answer.

    `raw_name` is the mailbox name on the wire without quoting, `name` its display form. `attributes` are in canonical
    case (RFC 9051 section 7.3.1); `special_use` is the first RFC 6154 use among them, such as `\Sent`.
    """

    raw_name: bytes
    name: str
    delimiter: str | None
    attributes: frozenset[str] = frozenset()
    special_use: str | None = None

    @property
    def selectable(self) -> bool:
        """Whether the folder can be examined at all."""
        return not self.attributes & _UNSELECTABLE


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """Counters of one folder (RFC 3501 section 7.2.4, RFC 7162); None where absent or unusable (zero).

    `mailbox_id` is RFC 8474's, empty where the server has none.
    """

    messages: int
    uid_next: int | None
    uid_validity: int | None
    highest_modseq: int | None
    mailbox_id: str = ""


@dataclass(frozen=True, slots=True)
class Selected:
    """What EXAMINE announced; None where absent or unusable (zero). `mailbox_id` is RFC 8474's."""

    uid_validity: int | None
    uid_next: int | None
    exists: int
    highest_modseq: int | None
    mailbox_id: str | None


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Prefix and delimiter of each namespace (RFC 2342): the user's own, other users', shared."""

    personal: tuple[tuple[bytes, str | None], ...]
    other: tuple[tuple[bytes, str | None], ...]
    shared: tuple[tuple[bytes, str | None], ...]


def parse_list(answer: bytes) -> list[ListedFolder]:
    """Return the folders of a LIST answer in the server's order; of two lines with one name the last counts."""
    lines, literals = split_answer(answer)
    listed = (_listed(match, literals) for line in lines if (match := _LIST.fullmatch(line)))
    return list({folder.raw_name: folder for folder in listed if folder.raw_name}.values())


def _listed(match: re.Match[str], literals: list[bytes]) -> ListedFolder:
    raw = _astring(match["name"], literals)
    if raw.upper() == INBOX.encode():
        raw = INBOX.encode()
    attributes = frozenset(_ATTRIBUTES.get(name.lower(), _text(name)) for name in match["attributes"].split())
    delimiter = unquote(
        match["delimiter"].upper() if match["delimiter"][0] != '"' else match["delimiter"], []
    )
    special = next((use for use in SPECIAL_USES if use in attributes), None)
    return ListedFolder(raw, decode_name(raw), _text(delimiter) or None, attributes, special)


def _astring(token: str, literals: list[bytes]) -> bytes:
    # An unquoted folder may be called NIL; as a name it is just a word.
    text = unquote(token, literals) if token.startswith('"') else token.rstrip()
    return text.encode("latin-1")


def _text(text: str) -> str:
    return clean(octets_text(text.encode("latin-1")))


def parse_status(answer: bytes) -> FolderStatus | None:
    """Return the counters of a STATUS answer, None when it does not hold those of one folder.

    A server may run pipelined commands side by side and mix their answers (RFC 3501 section 5.5).
    """
    found = [match for line in split_answer(answer).lines if (match := _STATUS.fullmatch(line))]
    if len(found) != 1:
        return None
    told = found[0][1]
    mailbox_id = _MAILBOX_ID.search(told)
    words = _MAILBOX_ID.sub("", told).upper().split()
    counters = {name: _number(value) for name, value in zip(words[::2], words[1::2], strict=False)}
    messages = counters.get("MESSAGES")
    if messages is None:
        return None
    return FolderStatus(
        messages,
        counters.get("UIDNEXT") or None,
        counters.get("UIDVALIDITY") or None,
        counters.get("HIGHESTMODSEQ") or None,
        _text(mailbox_id[1]) if mailbox_id else "",
    )


def _number(text: str | None) -> int | None:
    return number_of(text)


def parse_examine(answer: bytes) -> Selected:
    """Return what EXAMINE announced. Raises ImapProtocolError when EXISTS, which is mandatory, is missing."""
    exists: int | None = None
    codes: dict[str, str] = {}
    for line in split_answer(answer).lines:
        if found := _EXISTS.fullmatch(line):
            exists = _number(found[1])
        elif code := _CODE.match(line):
            if code[1].upper() == "CLOSED":  # RFC 7162 section 3.2.11: what was before is of the last folder
                exists, codes = None, {}
            codes[code[1].upper()] = code[2] or ""
    if exists is None:
        raise ImapProtocolError("the answer to EXAMINE does not say how many messages exist")
    return Selected(
        _number(codes.get("UIDVALIDITY")) or None,
        _number(codes.get("UIDNEXT")) or None,
        exists,
        _number(codes.get("HIGHESTMODSEQ")) or None,
        _text(codes.get("MAILBOXID", "").strip("()")) or None,
    )


def parse_search(answer: bytes) -> UidSet:
    """Return the UIDs of a UID SEARCH answer (ESEARCH form of RFC 4731 too).

    Raises ImapProtocolError when no SEARCH response is there: silence does not mean that nothing was found.
    """
    lines = split_answer(answer).lines
    plain = [found[1] for line in lines if (found := _SEARCH.fullmatch(line))]
    extended = [found[1] for line in lines if (found := _ESEARCH.fullmatch(line))]
    if not (plain or extended):
        raise ImapProtocolError("the answer to SEARCH holds no SEARCH response")
    sets = [every[1] for text in extended if (every := _ESEARCH_ALL.search(text))]
    return _uid_set([*" ".join(plain).split(), *sets])


def parse_vanished(answer: bytes) -> UidSet:
    """Return the UIDs of all VANISHED responses, (EARLIER) or not, in the answer to a FETCH of flags (RFC 7162 3.2.10).

    Raises ImapProtocolError when one holds no valid set. (Such an answer holds no text of messages that could look like
    one, and what is said to be gone is asked for again before it is believed.)
    """
    return _uid_set([found.decode("ascii") for found in _VANISHED.findall(answer)])


def _uid_set(texts: Iterable[str]) -> UidSet:
    try:
        uids = UidSet.parse(",".join(texts))
    except ValueError:
        raise ImapProtocolError("the server's answer holds no valid set of UIDs") from None
    return uids & UidSet.span(1, MAX_UID)


def parse_namespaces(answer: bytes) -> Namespaces | None:
    """Return the namespaces of a NAMESPACE answer, None when it holds no sound one."""
    lines, literals = split_answer(answer)
    for line in lines:
        if head := _NAMESPACE.match(line):
            try:
                nodes = parse_nodes(line, literals, head.end())
            except MalformedError:
                continue
            if len(nodes) >= 3:
                return Namespaces(*(tuple(_namespaces(node)) for node in nodes[:3]))
    return None


def _namespaces(node: Node) -> Iterable[tuple[bytes, str | None]]:
    for entry in node if isinstance(node, list) else ():
        match entry:
            case [str(prefix), str() | None as delimiter, *_]:
                yield prefix.encode("latin-1"), _text(delimiter) if delimiter else None


def parse_server(answer: bytes) -> str | None:
    """Return name and version from an ID answer (RFC 2971), None when it has none.

    Other fields are left out: some servers tell the host or the connection there, which differ each time.
    """
    lines, literals = split_answer(answer)
    for line in lines:
        if head := _ID.match(line):
            try:
                fields = parse_nodes(line, literals, head.end())[0]
            except (MalformedError, IndexError):
                continue
            return _server(fields) if isinstance(fields, list) else ""
    return None


def _server(fields: list[Node]) -> str:
    pairs = zip(fields[::2], fields[1::2], strict=False)
    told = {
        name.lower(): clean(value)
        for name, value in pairs
        if isinstance(name, str) and isinstance(value, str)
    }
    return " ".join(filter(None, (told.get("name"), told.get("version"))))


def parse_words(answer: bytes, response: str) -> frozenset[str] | None:
    """Return the words of a CAPABILITY or ENABLED response in upper case, None when there is none.

    They are atoms (RFC 3501 section 9); a literal in their place is left out.
    """
    matches = (_CAPABILITY.fullmatch(line) for line in split_answer(answer).lines)
    found = [match[2].upper().split() for match in matches if match and match[1].upper() == response]
    return frozenset(filter(str.isprintable, found[-1])) if found else None

r"""What an IMAP server tells of a message, made from its octets: ENVELOPE, BODYSTRUCTURE, header fields (RFC 3501, 7.4.2).

By the standard library's parser, on purpose: it has nothing in common with the parsers under test. Header text goes out
as it stands in the message, encoded words undecoded, as servers do.
"""

import re
from collections.abc import Collection
from email import message_from_bytes
from email.message import Message
from email.utils import getaddresses
from functools import lru_cache

_PLAIN = re.compile(rb"[\x20-\x7e]*")
_PARAMETER = re.compile(rb';\s*([^=;\s]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]*)')
_FOLD = re.compile(rb"\r?\n(?=[ \t])")


def nstring(value: bytes | None) -> bytes:
    """A quoted string where it can be one, else a literal; NIL for None."""
    if value is None:
        return b"NIL"
    if _PLAIN.fullmatch(value):
        return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return b"{%d}\r\n%s" % (len(value), value)


@lru_cache(maxsize=4_096)
def envelope(raw: bytes) -> bytes:
    return _envelope(message_from_bytes(raw))


@lru_cache(maxsize=4_096)
def body_structure(raw: bytes) -> bytes:
    return _structure(message_from_bytes(raw))


def header_fields(raw: bytes, names: Collection[str]) -> bytes:
    """The literal of BODY[HEADER.FIELDS (names)]: the fields as they stand, and the empty line."""
    fields = [
        b"%s: %s\r\n" % (key.encode("ascii"), _octets(value))
        for key, value in message_from_bytes(raw).raw_items()
        if key.lower() in names
    ]
    told = b"".join(fields) + b"\r\n"
    return b"{%d}\r\n%s" % (len(told), told)


def section(raw: bytes, number: str) -> bytes:
    """The octets of BODY[number] (RFC 3501 section 6.4.5), encoded as they stand."""
    part: object = message_from_bytes(raw)
    for step in number.split("."):
        assert isinstance(part, Message), number
        payload = part.get_payload()
        if isinstance(payload, list) and part.get_content_maintype() == "multipart":
            part = payload[int(step) - 1]
    assert isinstance(part, Message), number
    return _content(part)


def _content(part: Message) -> bytes:
    payload = part.get_payload()
    return _octets(payload) if isinstance(payload, str) else _inner(part)


def _envelope(message: Message) -> bytes:
    from_ = _addresses(message, "From")
    parts = [
        nstring(_field(message, "Date")),
        nstring(_field(message, "Subject")),
        from_,
        *(_addresses(message, name) or from_ for name in ("Sender", "Reply-To")),
        *(_addresses(message, name) for name in ("To", "Cc", "Bcc")),
        nstring(_field(message, "In-Reply-To")),
        nstring(_field(message, "Message-ID")),
    ]
    return b"(" + b" ".join(part or b"NIL" for part in parts) + b")"


def _octets(value: object) -> bytes:
    return str(value).encode("utf-8", "surrogateescape")


def _field(message: Message, name: str) -> bytes | None:
    for key, value in message.raw_items():
        if key.lower() == name.lower():
            return _FOLD.sub(b"", _octets(value)).strip()
    return None


def _addresses(message: Message, name: str) -> bytes:
    field = _field(message, name)
    if field is None:
        return b""
    found = getaddresses([field.decode("utf-8", "surrogateescape")])
    told = b"".join(_address(*pair) for pair in found if pair[1])
    return b"(" + told + b")" if told else b""


def _address(name: str, address: str) -> bytes:
    local, _, domain = address.rpartition("@")
    halves = (_octets(local or domain), _octets(domain) if local else b"MISSING_DOMAIN")
    return b"(%s NIL %s %s)" % (nstring(_octets(name) if name else None), *map(nstring, halves))


def _structure(part: Message) -> bytes:
    payload = part.get_payload()
    subtype = nstring(part.get_content_subtype().encode())
    if isinstance(payload, list) and part.get_content_maintype() == "multipart":
        children = b"".join(_structure(child) for child in payload if isinstance(child, Message))
        return b"(%s %s %s NIL NIL NIL)" % (
            children or _EMPTY_PART,
            subtype,
            _parameters(part, "content-type"),
        )
    content = _content(part)
    fields = [
        nstring(part.get_content_maintype().encode()),
        subtype,
        _parameters(part, "content-type"),
        nstring(_field(part, "Content-ID")),
        nstring(_field(part, "Content-Description")),
        nstring(_field(part, "Content-Transfer-Encoding") or b"7bit"),
        b"%d" % len(content),
    ]
    return (
        b"("
        + b" ".join(fields + _after_size(part, content) + [b"NIL", _disposition(part), b"NIL NIL"])
        + b")"
    )


def _inner(part: Message) -> bytes:
    """The octets of a message/* part, which the parser has read into messages."""
    whole = part.as_bytes(policy=part.policy.clone(linesep="\r\n"))
    return whole.partition(b"\r\n\r\n")[2]


_EMPTY_PART = b'("text" "plain" NIL NIL NIL "7bit" 0 0 NIL NIL NIL NIL)'


def _after_size(part: Message, content: bytes) -> list[bytes]:
    lines = b"%d" % content.count(b"\n")
    if part.get_content_maintype() == "text":
        return [lines]
    payload = part.get_payload()
    if part.get_content_type() == "message/rfc822" and isinstance(payload, list):
        inner = payload[0]
        assert isinstance(inner, Message)
        return [_envelope(inner), _structure(inner), lines]
    return []


def _parameters(part: Message, header: str) -> bytes:
    """The parameters as they stand, those continued and encoded by RFC 2231 too."""
    found = [(name, _unquoted(value)) for name, value in _PARAMETER.findall(_field(part, header) or b"")]
    named = {name.lower() for name, _ in found}
    if header == "content-type" and part.get_content_maintype() == "text" and b"charset" not in named:
        found.append((b"charset", b"us-ascii"))  # RFC 2046 section 4.1.2
    told = [nstring(text) for pair in found for text in pair]
    return b"(" + b" ".join(told) + b")" if told else b"NIL"


def _unquoted(value: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", value[1:-1]) if value.startswith(b'"') else value


def _disposition(part: Message) -> bytes:
    disposition = part.get_content_disposition()
    if disposition is None:
        return b"NIL"
    return b"(%s %s)" % (nstring(disposition.encode()), _parameters(part, "content-disposition"))

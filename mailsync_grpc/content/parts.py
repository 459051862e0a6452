"""Which part of a message is meant, and what is known of it before it is read. Pure: descriptions in, a part out.

Parts are described by what the mail server says of the message's structure. A section that this does not name (a
multipart as a whole, a part inside an attached message) is described by its own MIME header (`BODY[2.1.MIME]`, RFC
3501 section 6.4.5).
"""

import re
from collections.abc import Iterable
from email.parser import HeaderParser
from itertools import chain, islice
from typing import NamedTuple
from urllib.parse import unquote

from mailsync_grpc.content.values import ContentId, ContentKind
from mailsync_grpc.errors import InvalidFieldError
from mailsync_grpc.imap.header_text import parameter
from mailsync_grpc.model.envelope import Attachment, BodyPart, Envelope

RAW = ""
HEADERS = "HEADER"
_SECTION = re.compile(r"[1-9][0-9]{0,8}(?:\.[1-9][0-9]{0,8}){0,99}")
_MESSAGES = {("message", "rfc822"), ("message", "global")}
# RFC 2045 section 5.1, RFC 6838 section 4.2. What may go on for ever is bounded, so that reading takes linear time.
_TOKEN = re.compile(r"[!#$%&'*+.^_`{|}~0-9A-Za-z-]{1,127}")
_MEDIA_TYPE = re.compile(rf"\s*({_TOKEN.pattern}/{_TOKEN.pattern})")
_PARAMETER = re.compile(
    r';\s*([^\s;="]{1,127})\s*=\s*(?:"((?:[^"\\]|\\.){0,2000})|([^;"]{0,2000}))', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MAX_PARAMETERS = 128
_MAX_FILE_NAME = 1_024


class Part(NamedTuple):
    """One part. `section` is FETCH's, `size` what the server declares in octets as transferred, None when unknown."""

    section: str
    media_type: str
    charset: str = ""
    transfer_encoding: str = ""
    size: int | None = None
    file_name: str = ""

    @property
    def is_leaf(self) -> bool:
        """Whether the part has a transfer encoding that can be undone; a multipart, the header, all of it have none."""
        return self.section not in {RAW, HEADERS} and not self.media_type.startswith("multipart/")


def check_section(section: str) -> None:
    """Raise InvalidFieldError unless `section` is a part's number."""
    if not _SECTION.fullmatch(section):
        raise InvalidFieldError(
            {"section": "expected a part's number such as 2 or 1.2 (RFC 3501, section 6.4.5)"}
        )


def section_of(envelope: Envelope, what: ContentKind | ContentId) -> str | None:
    """Return the section that is meant by something else than its number, None when there is none."""
    return (
        _section_of_id(envelope, what.text)
        if isinstance(what, ContentId)
        else _section_of_kind(envelope, what)
    )


def _section_of_kind(envelope: Envelope, kind: ContentKind) -> str | None:
    """Return the section of a kind: the first text part of that subtype that is shown, one with a file name if need be."""
    if kind in {ContentKind.RAW, ContentKind.HEADERS}:
        return RAW if kind is ContentKind.RAW else HEADERS
    subtype = "plain" if kind is ContentKind.TEXT else "html"
    named = (part for part in envelope.attachments if part.inline and part.media_type == "text")
    shown: Iterable[BodyPart | Attachment] = chain(envelope.text_parts, named)
    return next((part.section for part in shown if part.media_subtype == subtype), None)


def _section_of_id(envelope: Envelope, content_id: str) -> str | None:
    """Return the section of the first part with this Content-ID.

    It may be written as in a header, in angle brackets, or as in a link, with escapes (RFC 2392).
    """
    bare = content_id.strip().removeprefix("<").removesuffix(">").strip()
    meant = {bare, unquote(bare)} - {""}
    return next((part.section for part in envelope.attachments if part.content_id in meant), None)


def part_of(envelope: Envelope, section: str) -> Part | None:
    """Return what the message's structure says of a section, None when it does not name it."""
    if section == RAW:
        return Part(RAW, "message/rfc822", size=envelope.size or None)
    if section == HEADERS:
        return Part(HEADERS, "text/rfc822-headers")  # RFC 6522 section 4
    described: Iterable[BodyPart | Attachment] = (*envelope.text_parts, *envelope.attachments)
    found = next((part for part in described if part.section == section), None)
    if found is None:
        return None
    return Part(
        section,
        f"{found.media_type}/{found.media_subtype}",
        found.charset,
        found.transfer_encoding,
        found.size,
        found.file_name if isinstance(found, Attachment) else "",
    )


def can_hold(envelope: Envelope, section: str) -> bool:
    """Whether a section that the structure does not name may be there all the same.

    Below a leaf there is nothing, though some servers answer `2.1` with part 2; an attached message has parts.
    """
    described: Iterable[BodyPart | Attachment] = (*envelope.text_parts, *envelope.attachments)
    return not any(
        section.startswith(f"{part.section}.")
        for part in described
        if (part.media_type, part.media_subtype) not in _MESSAGES
    )


def part_from_mime(section: str, header: bytes) -> Part:
    """Return what a part's own MIME header says of it (RFC 2045), read as a structure is; what cannot be read is empty."""
    # One character an octet: the standard library would replace 8-bit ones, which stand for file names.
    fields = HeaderParser().parsestr(header.decode("latin-1"))
    content_type, disposition = (fields.get(name, "") for name in ("Content-Type", "Content-Disposition"))
    media_type, parameters = _MEDIA_TYPE.match(content_type), _parameters(content_type)
    name = parameter(_parameters(disposition), "filename") or parameter(parameters, "name")
    return Part(
        section,
        media_type[1].lower() if media_type else "text/plain",
        _token(parameter(parameters, "charset")),
        _token(fields.get("Content-Transfer-Encoding", "")),
        None,
        name[:_MAX_FILE_NAME],
    )


def _token(text: str) -> str:
    """Return the token that a text begins with, in lower case."""
    found = _TOKEN.match(text.strip())
    return found[0].lower() if found else ""


def _parameters(field: str) -> list[tuple[str, str]]:
    found = islice(_PARAMETER.finditer(field), _MAX_PARAMETERS)
    return [
        (name, _ESCAPED.sub(r"\1", quoted or bare.strip()))
        for name, quoted, bare in (one.groups("") for one in found)
    ]

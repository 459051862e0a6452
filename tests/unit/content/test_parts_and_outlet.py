"""Which part is meant, and how its octets are cut for the caller."""

import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.content.outlet import Outlet
from mailsync_grpc.content.parts import (
    Part,
    can_hold,
    check_section,
    part_from_mime,
    part_of,
    section_of,
)
from mailsync_grpc.content.values import ContentId, ContentKind
from mailsync_grpc.errors import InvalidFieldError
from mailsync_grpc.model.envelope import Envelope
from tests.unit.content.fakes import attachment, text_part

ENVELOPE = Envelope(
    size=999,
    text_parts=(
        text_part("1.1", 5, "html"),
        text_part("1.2", 6, charset="koi8-r", encoding="base64"),
        text_part("3", 7),
    ),
    attachments=(attachment("2", 8, "../../etc/passwd", "base64"),),
)


@pytest.mark.parametrize(
    ("kind", "section"),
    [
        (ContentKind.TEXT, "1.2"),
        (ContentKind.HTML, "1.1"),
        (ContentKind.HEADERS, "HEADER"),
        (ContentKind.RAW, ""),
    ],
)
def test_a_kind_means_the_first_shown_part_of_it(kind: ContentKind, section: str) -> None:
    assert section_of(ENVELOPE, kind) == section


def test_a_text_that_is_shown_by_name_is_meant_where_there_is_no_other() -> None:
    """`Content-Disposition: inline; filename=…` is no attachment (RFC 2183 section 2.1), though it has a name."""
    named = attachment("1", name="body.html")._replace(media_type="text", media_subtype="html")
    envelope = Envelope(text_parts=(text_part("2"),), attachments=(named,))
    assert section_of(envelope, ContentKind.HTML) is None
    envelope = envelope._replace(attachments=(named._replace(inline=True),))
    assert section_of(envelope, ContentKind.HTML) == "1"
    assert section_of(envelope._replace(text_parts=(text_part("2", 5, "html"),)), ContentKind.HTML) == "2"


def test_a_message_without_html_has_no_such_section() -> None:
    assert section_of(Envelope(text_parts=(text_part(),)), ContentKind.HTML) is None


def test_a_part_is_described_by_the_structure() -> None:
    assert part_of(ENVELOPE, "1.2") == Part("1.2", "text/plain", "koi8-r", "base64", 6)
    assert part_of(ENVELOPE, "2") == Part(
        "2", "application/octet-stream", "", "base64", 8, "../../etc/passwd"
    )
    assert part_of(ENVELOPE, "") == Part("", "message/rfc822", size=999)
    assert part_of(ENVELOPE, "4") is None


def test_below_a_leaf_there_is_nothing_but_an_attached_message_has_parts() -> None:
    attached = attachment("4")._replace(media_type="message", media_subtype="rfc822")
    status = attachment("5")._replace(media_type="message", media_subtype="delivery-status")
    envelope = Envelope(text_parts=(text_part("1.1"),), attachments=(attachment("2"), attached, status))
    assert [can_hold(envelope, section) for section in ("1", "4.1", "20.1")] == [True, True, True]
    assert [can_hold(envelope, section) for section in ("1.1.1", "2.1", "5.1")] == [False] * 3


def test_a_part_the_structure_does_not_name_is_described_by_its_own_header() -> None:
    header = (
        b"Content-Type: TEXT/Plain; charset=\"KOI8-R\"; name*=utf-8''%C3%A9%0A.txt\r\n"
        b"Content-Transfer-Encoding: Base64 \r\n\r\n"
    )
    assert part_from_mime("2.1", header) == Part("2.1", "text/plain", "koi8-r", "base64", None, "é .txt")


@pytest.mark.parametrize(
    ("header", "file_name"),
    [
        (b'Content-Disposition: attachment; filename="=?utf-8?B?w6kudHh0?="', "é.txt"),
        (b'Content-Disposition: attachment; filename="\xc3\xa9.txt"', "é.txt"),
        (b"Content-Disposition: attachment; filename=\xe9.txt", "é.txt"),
        (b"Content-Disposition: inline;\r\n filename*0*=iso-8859-1''%E9;\r\n filename*1=.txt", "é.txt"),
        (b'Content-Disposition: attachment; filename="a;b\\"c.txt"; size=1', 'a;b"c.txt'),
        (b"Content-Disposition: attachment\r\nContent-Type: text/plain (really); name = x.txt", "x.txt"),
        (b"Content-Disposition: attachment; filename=my own\r\n file.txt ; x=y", "my own file.txt"),
        (b"Content-Disposition: attachment; filename=" + b"x" * 5_000, "x" * 1_024),
        (b'Content-Disposition: attachment; filename="../../etc/passwd\x00\x1b"', "../../etc/passwd"),
        (b'Content-Disposition: attachment; filename="never closed', "never closed"),
    ],
)
def test_a_name_in_a_parts_own_header_is_decoded_as_in_a_structure(header: bytes, file_name: str) -> None:
    assert part_from_mime("2.1", header + b"\r\n\r\n").file_name == file_name


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        (b"BASE64", "base64"),
        (b" quoted-printable;", "quoted-printable"),
        (b"base64 (see below)", "base64"),
        (b"\xe9", ""),
    ],
)
def test_a_transfer_encoding_is_read_up_to_what_follows_it(header: bytes, encoding: str) -> None:
    found = part_from_mime("2.1", b"Content-Transfer-Encoding: " + header + b"\r\n\r\n")
    assert found.transfer_encoding == encoding


def test_a_hostile_header_is_read_in_a_moment() -> None:
    """mime_bomb: quotes that open and never close, names that never end."""
    started = time.process_time()
    for filler in (b';x="\\', b';x="', b"; ", b";x=", b'"', b" ", b";a" * 3):
        part_from_mime("1", b"Content-Type: text/plain" + filler * (65_000 // len(filler)) + b"\r\n\r\n")
    assert time.process_time() - started < 5


@pytest.mark.parametrize("nothing", ["<>", " ", "< >"])
def test_no_content_id_is_no_parts(nothing: str) -> None:
    assert section_of(ENVELOPE, ContentId(nothing)) is None


@given(st.binary(max_size=300))
def test_no_header_is_too_broken_to_describe_a_part(header: bytes) -> None:
    part = part_from_mime("2.1", b"Content-Type: " + header)
    part.file_name.encode("utf-8")


@given(st.text(alphabet="*;='\"% ufn8-\r\n0é", max_size=60))
def test_no_parameter_is_too_broken_to_describe_a_part(parameters: str) -> None:
    part = part_from_mime("1", f"Content-Disposition: attachment; filename{parameters}".encode())
    part.file_name.encode("utf-8")


@pytest.mark.parametrize("section", ["1", "1.2", "10.20.30", ".".join(["1"] * 100)])
def test_part_numbers_are_sections(section: str) -> None:
    check_section(section)


@pytest.mark.parametrize(
    "section",
    ["", "0", "1.", ".1", "1.0", "01", "HEADER", "1.MIME", "1] ", "1\r\n", "¹", "x", ".".join(["1"] * 101)],
)
def test_anything_else_is_no_section(section: str) -> None:
    with pytest.raises(InvalidFieldError, match="RFC 3501"):
        check_section(section)


@given(
    st.lists(st.binary(max_size=50), max_size=8),
    st.integers(0, 60),
    st.integers(0, 60),
    st.integers(1, 20),
)
def test_an_outlet_sends_what_offset_and_limit_leave_in_full_chunks(
    pieces: list[bytes], skip: int, limit: int, chunk: int
) -> None:
    outlet = Outlet(skip, limit, chunk)
    chunks = [sent for piece in pieces for sent in outlet.feed(piece)] + outlet.finish()
    expected = b"".join(pieces)[skip : skip + limit if limit else None]
    assert b"".join(chunks) == expected
    assert all(len(sent) == chunk for sent in chunks[:-1])
    assert (outlet.size, outlet.sha256()) == (len(expected), hashlib.sha256(expected).digest())
    assert outlet.passed == sum(map(len, pieces))

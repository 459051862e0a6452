"""Charsets: every text arrives as UTF-8, whatever its label says."""

import codecs
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.content.charset import CharsetDecoder, python_codec
from mailsync_grpc.content.values import DecodingWarning

GUESSED = DecodingWarning.UNKNOWN_CHARSET
REPLACED = DecodingWarning.REPLACED_OCTETS


def decode(label: str, *pieces: bytes) -> tuple[str, set[DecodingWarning]]:
    decoder = CharsetDecoder(label)
    decoded = b"".join([decoder.feed(piece) for piece in pieces]) + decoder.finish()
    return decoded.decode("utf-8"), decoder.warnings


@pytest.mark.parametrize(
    ("label", "octets", "text", "warnings"),
    [
        ("us-ascii", b"plain", "plain", set()),
        ("", b"plain", "plain", set()),
        ("utf-8", "Grüße 日本 🎉".encode(), "Grüße 日本 🎉", set()),
        ("UTF8", "é".encode(), "é", set()),
        ("iso-8859-1", b"Gr\xfc\xdfe", "Grüße", set()),
        ("iso-8859-1", b"\x93smart\x94 \x80", "“smart” €", set()),
        ("windows-1251", "Привет".encode("cp1251"), "Привет", set()),
        ("koi8-r", "Привет".encode("koi8-r"), "Привет", set()),
        ("iso-2022-jp", "日本語".encode("iso-2022-jp"), "日本語", set()),
        ("shift_jis", "日本語".encode("shift_jis"), "日本語", set()),
        ("shift_jis", b"\x87\x40", "①", set()),
        ("euc-kr", "한국어".encode("euc-kr"), "한국어", set()),
        ("ks_c_5601-1987", "똠".encode("cp949"), "똠", set()),
        ("gb2312", "中文".encode("gb2312"), "中文", set()),
        ("gb2312", "镕".encode("gbk"), "镕", set()),
        ("big5", "中文".encode("big5"), "中文", set()),
        ("iso-8859-8-i", "שלום".encode("iso8859-8"), "שלום", set()),
        ("utf-16", "Grüße".encode("utf-16"), "Grüße", set()),
        ("utf-16", "Grüße".encode("utf-16-le"), "Grüße", set()),
        ("utf-16", codecs.BOM_UTF16_BE + "Grüße".encode("utf-16-be"), "Grüße", set()),
        ("us-ascii", "Grüße".encode(), "Grüße", {GUESSED}),
        ("us-ascii", b"Gr\xfc\xdfe", "Grüße", {GUESSED}),
        ("", b"Gr\xfc\xdfe", "Grüße", {GUESSED}),
        ("x-klingon", "Grüße".encode(), "Grüße", {GUESSED}),
        ("x-klingon", b"plain", "plain", {GUESSED}),
        ("utf-8", b"Gr\xfc\xdfe", "Gr\ufffd\ufffde", {REPLACED}),
        ("utf-8", b"cut \xe2\x82", "cut \ufffd", {REPLACED}),
        ("windows-1252", b"\x81", "\ufffd", {REPLACED}),
        ("utf-16", b"\x00", "\ufffd", {REPLACED}),
        ("utf-8", "a genuine \ufffd".encode(), "a genuine \ufffd", set()),
        ("utf-7", b"+ADw-script+AD4-", "+ADw-script+AD4-", {GUESSED}),
        ("\x00\xff", b"plain", "plain", {GUESSED}),
    ],
)
def test_charset_torture(label: str, octets: bytes, text: str, warnings: set[DecodingWarning]) -> None:
    assert decode(label, octets) == (text, warnings)


@pytest.mark.parametrize(
    "label", ["zlib", "bz2", "base64", "hex", "rot13", "unicode_escape", "idna", "punycode", "undefined"]
)
def test_python_codecs_that_are_no_charsets_are_not_known(label: str) -> None:
    assert python_codec(label) is None


@given(
    st.text(alphabet="aé日🎉 \r\n", max_size=60),
    st.sampled_from(["utf-8", "utf-16-le", "gb18030"]),
    st.lists(st.integers(0, 300), max_size=6),
)
def test_characters_cut_between_pieces_stay_whole(text: str, label: str, places: list[int]) -> None:
    octets = text.encode(label)
    edges = [0, *sorted(place % (len(octets) + 1) for place in places), len(octets)]
    pieces = [octets[start:end] for start, end in pairwise(edges)]
    assert decode(label, *pieces) == (text, set())


@given(
    st.sampled_from(["utf-8", "us-ascii", "iso-2022-jp", "hz", "big5", "utf-16", "utf-32", "x-none"]),
    st.lists(st.binary(max_size=40)),
)
def test_nothing_raises_and_everything_is_valid_utf8(label: str, pieces: list[bytes]) -> None:
    decode(label, *pieces)

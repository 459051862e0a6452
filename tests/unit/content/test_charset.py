"""Charsets: every text arrives as UTF-8, whatever its label says."""

import codecs
from contextlib import suppress
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.content import jis
from mailsync_grpc.content.charset import CHARSETS, CharsetDecoder, python_codec
from mailsync_grpc.content.values import DecodingWarning

PIECES = [
    b"\x1b$B",
    b"\x1b(B",
    b"\x1b(I",
    b"\x1b$",
    b"~{",
    b"~}",
    b"\xff\xfe",
    b"\xfe\xff",
    b"\0",
    b"\x81",
    b"0",
    b"AB",
    b"-!",
]
"""Octets that begin, shift or end something in one charset or another."""
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
        ("us-ascii", b"caf\xe9", "café", {GUESSED}),
        ("", b"caf\xc3", "cafÃ", {GUESSED}),
        ("", b"caf\xc3\xa9", "café", {GUESSED}),
        ("iso-2022-jp", b"\x1b$B-!4A;z\x1b(B \x1b(I123\x1b(B", "①漢字 ｱｲｳ", set()),
        ("iso-2022-jp", b"\x1b$By~!!\x7e\x7e4A\x1b(B!", "德\u3000\ufffd漢!", {REPLACED}),
        ("iso-2022-jp-2", b"cut \x1b$\xff~00$\xfe\xfa", "cut \ufffd", {REPLACED}),
    ],
)
def test_charset_torture(label: str, octets: bytes, text: str, warnings: set[DecodingWarning]) -> None:
    assert decode(label, octets) == (text, warnings)


@pytest.mark.parametrize(
    "label", ["zlib", "bz2", "base64", "hex", "rot13", "unicode_escape", "idna", "punycode", "undefined"]
)
def test_python_codecs_that_are_no_charsets_are_not_known(label: str) -> None:
    assert python_codec(label) is None


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("windows1252", "cp1252"),
        ("ISO8859_1", "cp1252"),
        ("x-euc-jp", "euc_jp"),
        ("x-x-big5", "big5"),
        ("windows-949", "cp949"),
        ("windows-874", "cp874"),
        ("windows-31J", "cp932"),
        ("x-mac-cyrillic", "mac_cyrillic"),
        ("koi8-ru", "koi8_u"),
        ("gb_2312-80", "gb18030"),
        ("iso-8859-6-i", "iso8859_6"),
        ("latin-9", "iso8859_15"),
        ("cp50221", "iso2022_jp_ext"),
        ("csISO2022JP", "iso2022_jp_ext"),
    ],
)
def test_a_label_is_known_however_it_is_spelled(label: str, codec: str) -> None:
    assert python_codec(label) == codec


@given(
    st.sampled_from(sorted(CHARSETS)),
    st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=12),
    st.integers(0, 60),
)
def test_whatever_the_octets_are_a_cut_changes_nothing(label: str, tokens: list[bytes], place: int) -> None:
    octets = b"".join(tokens)
    assert decode(label, octets[:place], octets[place:]) == decode(label, octets)


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


def test_what_windows_added_to_iso_2022_jp_is_looked_up_where_windows_has_it() -> None:
    """What the standard's codec knows as well shows that each row and cell is found under its other number."""
    agreed = 0
    for row, cell in product(range(0x21, 0x7F), repeat=2):
        with suppress(UnicodeDecodeError):
            standard = (b"\x1b$B" + bytes([row, cell])).decode("iso2022_jp")
            windows = jis.shift_jis(row, cell).decode("cp932")
            agreed += standard == windows
    assert agreed == 6_879 - 6, "all of JIS X 0208 but six signs, which Windows has as full-width ones"

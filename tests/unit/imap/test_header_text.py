import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.imap.header_text import MAX_TEXT, header_text, parameter, parse_date


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("plain", "plain"),
        ("=?utf-8?q?Caf=C3=A9_au_lait?=", "Café au lait"),
        ("=?UTF-8*en?B?w6k=?= x", "é x"),
        ("=?utf-8?b?w6k=?= =?utf-8?b?w6A=?=", "éà"),
        ("=?utf-8?b?5pel5pw=?=\r\n =?utf-8?b?rOiqng==?=", "日本語"),
        ("=?iso-8859-1?q?=E9?= =?koi8-r?b?8g==?=", "éР"),
        ("a =?utf-8?q?b?= c", "a b c"),
        ("=?no-such-charset?q?=C3=A9?=", "é"),
        ("=?utf-8?q?=E9?=", "é"),
        ("=?utf-8?b?!!w6k?=", "é"),
        ("=?idna?q?x?=", "x"),
        ("=?utf-8?q?a=00b=0D=0AX:_y?=", "ab  X: y"),
        ("=?broken", "=?broken"),
        ("folded\r\n\tline", "folded line"),
        ("caf\xe9", "café"),
        ("caf\xc3\xa9", "café"),
    ],
)
def test_header_text_is_what_the_sender_meant(raw: str, text: str) -> None:
    assert header_text(raw) == text


@given(st.text(st.characters(max_codepoint=255)) | st.from_regex(r"=\?[a-z0-9_-]{1,12}\?[bqBQ]\?[ -~]*\?="))
def test_invalid_utf8_never_leaves_a_header(raw: str) -> None:
    text = header_text(raw)
    text.encode("utf-8")
    assert not set(text) & {"\x00", "\r", "\n"}


@pytest.mark.parametrize(
    "charset", ["utf-7", "utf-16", "unicode_escape", "rot13", "hex", "punycode", "undefined"]
)
def test_charsets_that_are_none_of_mail_do_no_harm(charset: str) -> None:
    header_text(f"=?{charset}?q?+2AA-=5Cud800?=").encode("utf-8")


def test_a_long_text_is_cut() -> None:
    assert (
        len(header_text("x" * 1_000_000)) == len(header_text("=?utf-8?q?" + "x" * 100_000 + "?=")) == MAX_TEXT
    )


@pytest.mark.parametrize(
    ("pairs", "name"),
    [
        ([("filename", "a.txt")], "a.txt"),
        ([("FILENAME", "=?utf-8?q?=C3=A9.txt?=")], "é.txt"),
        ([("filename*", "utf-8''%C3%A9.txt")], "é.txt"),
        ([("filename*0", "a"), ("filename*1", "b.txt")], "ab.txt"),
        ([("filename*1*", "%A9.txt"), ("filename*0*", "utf-8'en'%C3")], "é.txt"),
        ([("filename", "x"), ("filename*", "iso-8859-1''%E9")], "é"),
        ([("filename*", "no'quotes")], "no'quotes"),
        ([("other", "a")], ""),
        ([("filename", "../../etc/passwd")], "../../etc/passwd"),
    ],
)
def test_parameters_are_read_in_every_form(pairs: list[tuple[str, str]], name: str) -> None:
    assert parameter(pairs, "filename") == name


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17-Jul-1996 02:44:25 -0700", 837596665),
        (" 7-Jul-1996 02:44:25 +0000", 836707465),
        ("Wed, 17 Jul 1996 02:44:25 -0700 (PDT)", 837596665),
        ("17 Jul 1996 02:44 GMT", 837571440),
        ("Wed, 17 Jul 96 02:44:25 EST", 837589465),
        ("1 Jan 1970 00:00:60 +0000", 60),
        ("31 Dec 1969 23:59:59 +0000", -1),
    ],
)
def test_dates_are_seconds_since_1970(text: str, seconds: int) -> None:
    assert parse_date(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "yesterday",
            "17-Jul-9999 02:44:25 +0000",
            "17-Jul-1996 02:44:25 +9900",
            "32 Jan 2020 00:00:00 +0000",
        ),
        *("1 Foo 2020 00:00:00 +0000", "1 Jan 2020 25:00:00 +0000", "1 Jan 2020 00:61:00 +0000"),
        *("1 Jan 0000 00:00:00 +0000", "Mon, 99 Zzz 99999 99:99:99 +99999", "1 Jan 2020 00:00:00 -2400"),
    ],
)
def test_broken_dates_are_absent(text: str) -> None:
    assert parse_date(text) is None


@given(st.text())
def test_broken_dates_never_raise(text: str) -> None:
    parse_date(text)

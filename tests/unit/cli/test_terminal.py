"""What people see of a stranger's text, and how times and sizes read."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mailsync_grpc.cli.terminal import ago, moment, octets, plain, plural, printable, span, word


@given(st.text(alphabet=st.characters(codec=None)))
def test_nothing_that_a_terminal_obeys_is_printable(text: str) -> None:
    shown = printable(text)
    assert not any(ord(char) < 0x20 or 0x7F <= ord(char) <= 0x9F for char in shown)
    assert not any(0x202A <= ord(char) <= 0x202E or 0x2066 <= ord(char) <= 0x2069 for char in shown)
    shown.encode("utf-8")


def test_control_characters_are_shown_as_escapes() -> None:
    assert printable("a\x1b[31mb\r\n\x9b\u202e") == r"a\x1b[31mb\r\n\x9b\u202e"


def test_line_feeds_and_tabs_stay_where_text_has_lines() -> None:
    assert printable("a\n\tb\x1b\r", layout=True) == "a\n\tb\\x1b\\r"


def test_letters_of_every_script_and_emoji_stay_as_they_are() -> None:
    text = "Ärger 家族 👨‍👩‍👧 שלום"
    assert printable(text) == text


def test_a_subject_is_never_markup() -> None:
    out = StringIO()
    Console(file=out, force_terminal=True, color_system="truecolor").print(plain("[red]50%[/red] [link=x]"))
    assert out.getvalue().strip() == "[red]50%[/red] [link=x]"


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (12_345_678, "12.3 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes_have_decimal_units(size: int, words: str) -> None:
    assert octets(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (7_200, "2 h"), (200_000, "2 d")]
)
def test_a_span_is_told_in_its_largest_unit(seconds: int, words: str) -> None:
    assert span(timedelta(seconds=seconds)) == words


def test_a_moment_never_set_is_never_and_empty() -> None:
    assert ago(Timestamp(), datetime.now(UTC)) == "never"
    assert not moment(Timestamp())


def test_a_moment_is_told_relative_to_now() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    stamp = Timestamp()
    stamp.FromDatetime(now - timedelta(minutes=3, seconds=20))
    assert ago(stamp, now) == "3 min ago"


def test_a_moment_out_of_range_does_not_stop_a_listing() -> None:
    assert moment(Timestamp(seconds=10**17)) == "?"


def test_counts_and_states_read_as_words() -> None:
    assert plural(1, "message") == "1 message"
    assert plural(1200, "message") == "1,200 messages"
    assert word("ACCOUNT_STATE_AUTH_FAILED", "ACCOUNT_STATE_") == "auth failed"

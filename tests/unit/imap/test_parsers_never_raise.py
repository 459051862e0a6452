"""Whatever octets come, parsers answer with values or with an error of the tree, and the text in them is text."""

import contextlib
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.imap.announcements import announced
from mailsync_grpc.imap.fetch import parse_flags, parse_section
from mailsync_grpc.imap.listing import (
    parse_examine,
    parse_list,
    parse_namespaces,
    parse_search,
    parse_status,
    parse_words,
)
from mailsync_grpc.imap.metadata import parse_metadata
from mailsync_grpc.imap.receive import Answer
from mailsync_grpc.imap.told import parse_appended, parse_copied, parse_modified
from mailsync_grpc.model.uidset import UidSet
from tests.unit.imap.answers import answer

SAMPLES = [
    answer(),
    answer(
        BODYSTRUCTURE='(("text" "plain" NIL NIL NIL "7bit" 1 1)("image" "png" ("name*0*" "utf-8\'\'%C3") NIL) "mixed")'
    ),
    b"* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n* 2 FETCH (FLAGS () UID 3)\r\n",
    b'* LIST (\\Noselect) "/" "a&AOk-"\r\n* LIST () NIL {3}\r\nabc\r\n',
    b"* STATUS x (MESSAGES 1 UIDNEXT 2)\r\n* 3 EXISTS\r\n* OK [UIDVALIDITY 3] x\r\n",
    b'* SEARCH 1 2\r\n* ESEARCH (TAG "a") UID ALL 1:3\r\n* VANISHED 1:3\r\n* BYE x\r\n',
    b"OK [COPYUID 7 1:2,4 10,12:13] done\r\n* OK [COPYUID 7 1 10] moved\r\n* OK [MODIFIED 7,9:10] failed\r\n",
    b"OK [APPENDUID 7 10] done",
    b'* NAMESPACE (("" "/")) NIL NIL\r\n* CAPABILITY IMAP4rev1\r\n',
]
PIECES = sorted({piece for sample in SAMPLES for piece in re.split(rb'([ ()"{}\r\n]+)', sample)})
ALL = UidSet.span(1, 0xFFFFFFFF)
PARSERS: dict[str, Callable[[bytes], object]] = {
    "announced": lambda data: announced(data, 3),
    "flags": lambda data: sorted(parse_flags(data, ALL).table.items()),
    "metadata": lambda data: [tuple(message.envelope) for message in parse_metadata(data)],
    "section": lambda data: parse_section(data, 1),
    "list": parse_list,
    "status": parse_status,
    "examine": parse_examine,
    "search": parse_search,
    "namespaces": parse_namespaces,
    "copied": lambda data: parse_copied(Answer(data, data), UidSet.span(1, 1_000)),
    "appended": lambda data: parse_appended(Answer(data, data)),
    "modified": lambda data: parse_modified(Answer(data, data)).ranges,
    "words": lambda data: parse_words(data, "CAPABILITY"),
}


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sound answer with a stretch replaced by something else."""
    sample = draw(st.sampled_from(SAMPLES))
    start, length = draw(st.integers(0, len(sample))), draw(st.integers(0, 20))
    return sample[:start] + draw(st.binary(max_size=6) | st.sampled_from(PIECES)) + sample[start + length :]


ANSWERS = st.binary() | st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join) | damaged()


HOSTILE = {
    "brackets": b"(" * 200_000,
    "spaced brackets": b" (" * 100_000,
    "sections": b"(" + b"BODY[ " * 50_000,
    "quotes": b'("' + b'\\"' * 100_000,
    "braces": b"{}\r\n" * 50_000,
    "encoded words": b'"' + b"=?utf-8?q?" * 20_000 + b'"',
    "digits": b" " + b"1" * 200_000 + b" x",
    "angle brackets": b'"' + b"<" * 200_000 + b'"',
}
HEADS = [
    b"* LIST () NIL ",
    b"* STATUS x ",
    b"* SEARCH ",
    b"* ESEARCH UID ALL ",
    b"* NAMESPACE ",
    b"* 1 FETCH (UID 1 ENVELOPE ",
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_costs_no_more_than_its_length(parser: str, text: str) -> None:
    for head in HEADS:
        with contextlib.suppress(MailsyncError):
            PARSERS[parser](head + HOSTILE[text] + b"\r\n")


@pytest.mark.parametrize("parser", PARSERS)
@given(data=ANSWERS)
def test_parsers_raise_only_errors_of_the_tree_and_give_only_text(parser: str, data: bytes) -> None:
    try:
        value = PARSERS[parser](data)
    except MailsyncError:
        return
    assert "\\ud" not in repr(value)
    assert "\\x00" not in repr(value) or parser in {"section", "list", "namespaces"}

"""Whatever octets come, parsers answer with values or with an error of the tree, and the text in them is text."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.imap.announcements import announced
from tests.support.damage import TOKENS, damaged
from tests.support.parsers import CPU_SECONDS, MAX_INPUT, MEMORY, TARGETS, cost

PARSERS = {name: target.parse for name, target in TARGETS.items()}
SAMPLES = sorted({sample for target in TARGETS.values() for sample in target.samples})
PIECES = sorted({piece for sample in SAMPLES for piece in re.split(rb'([ ()"{}\r\n]+)', sample)})


ANSWERS = st.binary() | st.lists(st.sampled_from(PIECES + TOKENS), max_size=40).map(b"".join)


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


def test_a_set_of_more_messages_than_there_can_be_empties_the_folder() -> None:
    assert announced(b"* VANISHED 2:%s\r\n" % (b"5" * 70), 3) == (0, True, "")


# What these give is as on the wire; what is shown of it is made text elsewhere.
SURROGATE, NUL = (re.compile(rf"(?<!\\)(?:\\\\)*\\{escape}") for escape in ("ud[89a-f]", "x00"))
OCTETS = {
    "announced",
    "window",
    "sections",
    "list",
    "namespaces",
    "received",
    "base64",
    "quoted_printable",
    "web",
}


@pytest.mark.parametrize("parser", PARSERS)
@given(data=st.data())
def test_parsers_raise_only_errors_of_the_tree_and_give_only_text(parser: str, data: st.DataObject) -> None:
    octets = data.draw(ANSWERS | damaged(TARGETS[parser].samples, MAX_INPUT))
    try:
        value = PARSERS[parser](octets)
    except MailsyncError:
        return
    shown = repr(value)
    assert not SURROGATE.search(shown)
    assert parser in OCTETS or not NUL.search(shown)


@pytest.mark.parametrize("parser", PARSERS)
@given(data=st.data())
def test_damaged_input_costs_little_time_and_memory(parser: str, data: st.DataObject) -> None:
    octets = data.draw(damaged(TARGETS[parser].samples, MAX_INPUT))
    seconds, memory = cost(PARSERS[parser], octets)
    assert seconds <= CPU_SECONDS
    assert memory <= MEMORY

"""A body structure read by the layout of an earlier one gives what reading it whole gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.imap.bodystructure import parts_of, read_parts, read_structure

# Strings that a careless layout would take for counts, boundaries or the end of a string.
STRINGS = st.sampled_from(
    ["a", "boundary", " 12 3", "x 12", "7bit 1 2", "", ") (", '\\" 5 6', "name", "type", "<id@x>", " "]
)
QUOTED = STRINGS.map(lambda text: f'"{text}"')
NSTRINGS = QUOTED | st.just("NIL")
COUNTS = st.integers(0, 3).map(str) | st.just("9" * 18) | st.just("9" * 30) | st.just("NIL")


@st.composite
def parameters(draw: st.DrawFn) -> str:
    pairs = draw(st.lists(st.tuples(QUOTED, QUOTED), max_size=3))
    return "(" + " ".join(f"{key} {value}" for key, value in pairs) + ")" if pairs else "NIL"


@st.composite
def leaf(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(['"text" "plain"', '"text" "html"', '"image" "png"', '"boundary" "x"']))
    head = f"{kind} {draw(parameters())} {draw(NSTRINGS)} {draw(NSTRINGS)} {draw(NSTRINGS)} {draw(COUNTS)}"
    lines = f" {draw(COUNTS)}" if draw(st.booleans()) else ""
    disposition = f'("attachment" {draw(parameters())})' if draw(st.booleans()) else "NIL"
    return f"({head}{lines} NIL {disposition} NIL NIL)"


def multipart(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda children, listed: f'({"".join(children)} "mixed" {listed} NIL NIL NIL)',
        st.lists(parts, min_size=1, max_size=3),
        parameters(),
    )


@given(st.lists(st.recursive(leaf(), multipart, max_leaves=4), min_size=1, max_size=8))
def test_structures_are_read_alike_whatever_was_read_before(texts: list[str]) -> None:
    for text in texts:
        assert read_parts(text, []) == parts_of(read_structure(text, []))


@pytest.mark.parametrize(("size", "lines"), [(1, 2), (70_000, 900)])
def test_counts_are_those_of_the_message_and_not_of_the_layout(size: int, lines: int) -> None:
    text = f'(("text" "plain" NIL NIL NIL "7bit" {size} {lines} NIL NIL NIL)("a" "b" NIL NIL NIL "7bit" {lines}) "mixed")'
    parts = read_parts(text, [])
    assert [(part.size, part.lines) for part in parts.text_parts] == [(size, lines)]
    assert [part.size for part in parts.attachments] == [lines]

"""The end of an answer, and of a response, is found where a reading line by line finds it, however it arrives."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from mailsync_grpc.imap.receive import ReceiveBuffer

TAG = b"A1"
PIECES = st.sampled_from(
    [
        b"A1 ",
        b"\r\n",
        b"A1 OK x\r\n",
        b"{3}\r\n",
        b"{12}\r\n",
        b"{0}\r\n",
        b"abc",
        b"}",
        b"{",
        b"5",
        b"\r",
        b"\n",
        b"~{2}\r\n",
    ]
)
OPENING = re.compile(rb"\{(\d+)\}\Z")


def end_by_line(data: bytes) -> int | None:
    """Where the tagged line begins, by a reading that is slow and plain; None while it has not come."""
    line = position = 0
    while (end := data.find(b"\r\n", position)) >= 0:
        if position == line and data.startswith(TAG + b" ", line):
            return line
        literal = OPENING.search(data[position:end])
        position = end + 2 + (int(literal[1]) if literal else 0)
        line = line if literal else position
    return None


@given(st.lists(PIECES, max_size=14).map(b"".join), st.integers(1, 40))
@example(b"* OK {abc}\r\nA1 OK x\r\n", 13)
@example(b"* 1 FETCH ({2}\r\n}\r\nA1 OK x\r\n", 40)
@example(b"* 1 FETCH (~{2}\r\n}{3}\r\n\r\nA1 OK x\r\n", 40)
def test_an_answer_ends_where_its_lines_say(data: bytes, chunk: int) -> None:
    buffer = ReceiveBuffer(1_000, 1_000, 10_000)
    answer = None
    for start in range(0, len(data), chunk):
        buffer.feed(data[start : start + chunk])
        answer = answer or buffer.take_answer(TAG)
    assert (None if answer is None else len(answer.untagged)) == end_by_line(data)


def responses_by_line(data: bytes) -> list[bytes]:
    """The whole responses at the beginning of `data`, by a reading that is slow and plain."""
    found, line, position = [], 0, 0
    while (end := data.find(b"\r\n", position)) >= 0:
        untagged = data.startswith(b"*", line)
        literal = OPENING.search(data[position:end]) if untagged else None
        position = end + 2 + (int(literal[1]) if literal else 0)
        if not literal:
            found.append(data[line:position])
            line = position
    return found


@given(
    st.lists(PIECES | st.just(b"\r\n* "), max_size=14).map(lambda pieces: b"* " + b"".join(pieces)),
    st.integers(1, 40),
)
@example(b"* 1 FETCH ({2}\r\n}\r\nA1 OK x\r\n", 40)
@example(b"* {3}\r\n{0}\r\n", 1)
@example(b"A1 NO {3}\r\n* 1 EXISTS\r\n", 1)
def test_a_response_ends_where_its_lines_say(data: bytes, chunk: int) -> None:
    buffer = ReceiveBuffer(1_000, 1_000, 10_000)
    found = []
    for start in range(0, len(data), chunk):
        buffer.feed(data[start : start + chunk])
        while (response := buffer.take_response()) is not None:
            found.append(response)
    assert found == responses_by_line(data)

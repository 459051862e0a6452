import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.errors import ImapProtocolError
from mailsync_grpc.imap.receive import Answer, ReceiveBuffer

LITERAL = b"A9 OK not the end\r\n\r\nA9 OK neither\r\n"
UNTAGGED = (
    b"* 1 FETCH (UID 1 BODY[HEADER] {%d}\r\n%s)\r\n* 2 FETCH (BODY[] {0}\r\n UID 2)\r\n* OK {no} A9 OK\r\n"
    % (len(LITERAL), LITERAL)
)


def buffer(max_line: int = 10_000, max_literal: int = 10_000, max_response: int = 100_000) -> ReceiveBuffer:
    return ReceiveBuffer(max_line, max_literal, max_response)


@pytest.mark.parametrize("chunk", range(1, 60))
def test_an_answer_ends_at_its_tagged_line_and_not_at_one_inside_a_literal_however_it_arrives(
    chunk: int,
) -> None:
    received = buffer()
    stream = UNTAGGED + b"A9 OK done\r\n"
    for start in range(0, len(stream), chunk):
        assert received.take_answer(b"A9") is None
        received.feed(stream[start : start + chunk])
    assert received.take_answer(b"A9") == Answer(UNTAGGED, b"OK done")
    assert len(received) == 0


def test_what_follows_the_tagged_line_is_left_for_the_next_answer() -> None:
    received = buffer()
    received.feed(b"A1 OK one\r\n* 2 EXISTS\r\nA2 NO two\r\n")
    assert received.take_answer(b"A1") == Answer(b"", b"OK one")
    assert received.take_answer(b"A2") == Answer(b"* 2 EXISTS\r\n", b"NO two")


def test_lines_and_octets_are_taken_in_order() -> None:
    received = buffer()
    received.feed(b"* OK hi\r\nabc")
    assert (received.take_line(), received.take_line()) == (b"* OK hi\r\n", None)
    assert (received.take(4), received.take(3)) == (None, b"abc")


def test_poison_message_with_an_endless_line_is_a_protocol_error() -> None:
    received = buffer(max_line=100)
    received.feed(b"* 1 FETCH (" + b"x" * 200)
    with pytest.raises(ImapProtocolError, match="line longer than 100"):
        received.take_answer(b"A1")
    with pytest.raises(ImapProtocolError, match="line longer than 100"):
        received.take_line()


def test_poison_message_with_a_huge_literal_is_refused_before_it_is_read() -> None:
    received = buffer(max_literal=1_000)
    received.feed(b"* 1 FETCH (BODY[] {1001}\r\n")
    with pytest.raises(ImapProtocolError, match="literal longer than 1000"):
        received.take_answer(b"A1")


def test_an_endless_answer_is_a_protocol_error() -> None:
    received = buffer(max_line=100, max_response=1_000)
    with pytest.raises(ImapProtocolError, match="longer than 1000"):
        received.feed(b"* 1 EXISTS\r\n" * 100)


@given(st.lists(st.binary(max_size=40)), st.integers(1, 9))
def test_literals_hide_nothing_and_end_nothing(literals: list[bytes], chunk: int) -> None:
    untagged = b"".join(b"* 1 FETCH (BODY[] {%d}\r\n%s)\r\n" % (len(text), text) for text in literals)
    received = buffer()
    stream = untagged + b"M1 OK\x20done\r\n"
    answers = []
    for start in range(0, len(stream), chunk):
        received.feed(stream[start : start + chunk])
        answers.append(received.take_answer(b"M1"))
    assert [answer for answer in answers if answer] == [Answer(untagged, b"OK done")]


RESPONSES = [
    b"* 1 FETCH (UID 1 BODY[HEADER] {%d}\r\n%s)\r\n" % (len(LITERAL), LITERAL),
    b"* 2 FETCH (BODY[] {0}\r\n UID 2 X {3}\r\nabc)\r\n",
    b"A9 OK done\r\n",
    b"* OK {no} \r\n",
]


@pytest.mark.parametrize("chunk", range(1, 60))
def test_a_response_is_a_line_with_the_literals_in_it_however_it_arrives(chunk: int) -> None:
    received, stream, taken = buffer(), b"".join(RESPONSES), []
    for start in range(0, len(stream), chunk):
        received.feed(stream[start : start + chunk])
        while (response := received.take_response()) is not None:
            taken.append(response)
    assert taken == RESPONSES
    assert len(received) == 0


def test_responses_and_answers_are_taken_from_one_stream() -> None:
    received = buffer()
    received.feed(b"* 1 EXISTS\r\n* 2 FETCH (X {3}\r\n")
    assert received.take_response() == b"* 1 EXISTS\r\n"
    assert received.take_response() is None
    received.feed(b"abc)\r\nA1 OK done\r\n* 2 EXISTS\r\nA2 OK done\r\n")
    assert received.take_answer(b"A1") == Answer(b"* 2 FETCH (X {3}\r\nabc)\r\n", b"OK done")
    assert received.take_response() == b"* 2 EXISTS\r\n"
    assert received.take_answer(b"A2") == Answer(b"", b"OK done")


def test_the_text_of_a_tagged_response_announces_no_literal() -> None:
    received = buffer()
    received.feed(b"A1 NO not {3}\r\n* 1 EXISTS\r\n")
    assert (received.take_response(), received.take_response()) == (b"A1 NO not {3}\r\n", b"* 1 EXISTS\r\n")


@pytest.mark.parametrize("stream", [b"* 1 FETCH (" + b"x" * 200, b"* {1}\r\n" + b"x" * 200])
def test_a_response_with_an_endless_line_is_a_protocol_error(stream: bytes) -> None:
    received = buffer(max_line=100)
    received.feed(stream)
    with pytest.raises(ImapProtocolError, match="line longer than 100"):
        received.take_response()


def test_a_response_with_a_huge_literal_is_refused_before_it_is_read() -> None:
    received = buffer(max_literal=1_000)
    received.feed(b"* 1 FETCH (BODY[] {1001}\r\n")
    with pytest.raises(ImapProtocolError, match="literal longer than 1000"):
        received.take_response()


def test_a_response_of_endless_literals_is_a_protocol_error() -> None:
    received = buffer(max_line=100, max_response=1_000)
    received.feed(b"* ")
    with pytest.raises(ImapProtocolError, match="longer than 1000"):  # noqa: PT012  it may be any of them
        for _ in range(100):
            received.feed(b"{10}\r\n0123456789")
            assert received.take_response() is None

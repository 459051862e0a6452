"""UIDs of a million messages in one answer: within the caps as they are set, and read in time that grows as they do."""

import time
from random import Random

import pytest

from mailsync_grpc.imap.announcements import announced
from mailsync_grpc.imap.endpoint import Policy
from mailsync_grpc.imap.listing import parse_search, parse_vanished
from mailsync_grpc.imap.receive import Answer, ReceiveBuffer
from mailsync_grpc.model.uidset import UidSet

MILLION = 1_000_000
TLS_RECORD = 16_384


def received(answer: bytes) -> Answer:
    """The answer through the receive buffer, in pieces as TLS gives them."""
    policy = Policy()
    buffer = ReceiveBuffer(policy.max_line, policy.max_literal, policy.max_response)
    stream = answer + b"\r\nM1 OK done\r\n"
    taken = None
    for start in range(0, len(stream), TLS_RECORD):
        assert taken is None
        buffer.feed(stream[start : start + TLS_RECORD])
        taken = buffer.take_answer(b"M1")
    assert taken is not None
    return taken


def scattered(count: int) -> list[int]:
    """UIDs of ten digits with gaps between them: what makes the longest answer."""
    return sorted(Random(1).sample(range(1_000_000_000, 4_294_967_295, 3), count))


def listed(uids: list[int], separator: bytes = b",") -> bytes:
    return separator.join(b"%d" % uid for uid in uids)


@pytest.mark.parametrize("form", ["search", "esearch", "vanished", "ranges"])
def test_million_uids(form: str) -> None:
    uids = scattered(MILLION)
    match form:
        case "search":
            found = parse_search(received(b"* SEARCH " + listed(uids, b" ")).untagged)
        case "esearch":
            found = parse_search(received(b'* ESEARCH (TAG "M1") UID ALL ' + listed(uids)).untagged)
        case "vanished":
            found = parse_vanished(received(b"* VANISHED (EARLIER) " + listed(uids)).untagged)
        case _:
            uids = list(range(1, MILLION + 1))
            found = parse_search(received(b'* ESEARCH (TAG "M1") UID ALL 1:%d' % MILLION).untagged)
    assert list(found) == uids


def test_a_long_line_is_searched_once_however_many_pieces_it_comes_in() -> None:
    def seconds(count: int) -> float:
        answer = b"* VANISHED (EARLIER) " + listed(scattered(count))
        start = time.process_time()
        received(answer)
        return time.process_time() - start

    assert seconds(MILLION) < 50 * max(seconds(MILLION // 10), 0.002), "ten times as long, not a hundred"


def test_what_vanishes_meanwhile_is_taken_from_the_count_and_what_vanished_earlier_is_not() -> None:
    assert announced(b"* VANISHED 5:7,9\r\n", 10).exists == 6
    assert announced(b"* VANISHED (EARLIER) 1:1000000\r\n", 10) == (10, False, "")
    assert UidSet.parse("5:7,9") == parse_vanished(b"* VANISHED 5:7,9\r\n")

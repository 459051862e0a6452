"""How long the command lines of changes become: servers that follow RFC 7162 section 4 take 8,192 octets."""

import pytest

from mailsync_grpc.imap import changes
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services.envelope_changes import MAX_FLAG_OCTETS
from mailsync_grpc.sync.change_messages import pieces

FIRST = 4_294_000_000
SCATTERED = UidSet.of(FIRST + uid for uid in range(15_000) if uid % 3)
"""Pairs of UIDs, each a range of as many digits as there are: the longest that 10,000 messages can be."""
LIMIT = 8_192 - len("M1000000 \r\n")


@pytest.mark.parametrize("octets", [1, 60, 1_000, MAX_FLAG_OCTETS])
def test_no_line_is_longer_than_servers_take_whatever_stands_beside_the_uids(octets: int) -> None:
    flags, name = ["x" * octets], b"x" * octets
    for piece in pieces(SCATTERED, octets):
        assert len(changes.uid_store(str(piece), "+", flags, 1 << 63)) <= LIMIT
        assert len(changes.uid_move(str(piece), name)) <= LIMIT
    assert sum(map(len, pieces(SCATTERED, octets))) == len(SCATTERED) == 10_000


def test_no_command_is_of_more_messages_than_a_slow_server_finishes_in_time() -> None:
    assert [len(piece) for piece in pieces(UidSet.parse("1:1200,1300,1400:1500"), 0)] == [500, 500, 302]
    assert [str(piece) for piece in pieces(UidSet.parse("1:500,502:1002"), 0)] == [
        "1:500",
        "502:1001",
        "1002",
    ]


def test_a_line_holds_some_uids_beside_a_name_of_any_length() -> None:
    assert [len(piece.ranges) for piece in pieces(UidSet.parse("1,3,5"), 100_000)] == [1, 1, 1]

import socket
from dataclasses import replace
from itertools import count

import pytest

from mailsync_grpc.errors import (
    ImapError,
    ImapProtocolError,
    ImapRefusedError,
    ImapThrottledError,
    ImapUnreachableError,
)
from mailsync_grpc.imap.connection import connect
from mailsync_grpc.imap.listing import FolderStatus
from mailsync_grpc.imap.metadata import parse_metadata
from mailsync_grpc.model.uidset import UidSet
from tests.unit.imap.answers import answer
from tests.unit.imap.scripted import CREDENTIALS, EXAMINED, POLICY, Play, ScriptedServer, closing, offering


def drip(client: socket.socket, _tag: bytes) -> None:
    """Send an octet at a time, for ever."""
    while True:
        client.sendall(b"x")


def test_slow_drip_ends_at_the_commands_deadline() -> None:
    ticks = count()
    policy = replace(POLICY, command_deadline=50, min_bytes_per_second=1 << 40)
    with ScriptedServer({b"NOOP": drip}) as server:
        connection = connect(server.endpoint(), policy, CREDENTIALS, clock=lambda: float(next(ticks)))
        with pytest.raises(ImapUnreachableError, match="in time"):
            connection.noop()
    assert connection.closed


def test_dead_noop_ends_at_the_commands_deadline() -> None:
    policy = replace(POLICY, command_deadline=0.05)
    with ScriptedServer({b"NOOP": b""}) as server:
        connection = server.connect(policy)
        with pytest.raises(ImapUnreachableError, match="in time"):
            connection.noop()


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (closing(b"* 1 FETCH (UID 1 BODY[] {100}\r\nabc"), ImapUnreachableError),
        (closing(b"* 1 FETCH (UID 1 FLAGS ())\r\n"), ImapUnreachableError),
        (closing(b"* 1 FETCH (UID 1 FLAGS ())\r\n* BYE [UNAVAILABLE] later\r\n"), ImapThrottledError),
        (b"* 1 FETCH (UID 1 FLAGS ())\r\n* BYE bye\r\n<tag> OK done\r\n", ImapUnreachableError),
        (b"* 1 FETCH (UID 1 FLAGS ())\r\n<tag> PERHAPS done\r\n", ImapProtocolError),
        (b"* 1 FETCH (UID 1 BODY[] {999999999}\r\n", ImapProtocolError),
    ],
)
def test_no_partial_leak_drop_mid_literal_close_mid_fetch(
    broken: bytes | Play, error: type[ImapError]
) -> None:
    with ScriptedServer({b"UID FETCH": broken}) as server:
        connection = server.connect()
        with pytest.raises(error):
            connection.fetch_flags("1:*")
        assert connection.closed


def test_a_refusal_leaves_the_connection_sound() -> None:
    refused = {b"EXAMINE": b"<tag> NO [NONEXISTENT] no such folder\r\n"}
    with ScriptedServer(refused) as server, server.connect() as connection:
        with pytest.raises(ImapRefusedError, match="no such folder"):
            connection.examine(b"gone")
        connection.noop()
        assert not connection.closed


def test_stale_exists_is_never_the_next_folders() -> None:
    script = {
        b"EXAMINE": EXAMINED,
        b'EXAMINE "silent"': b"* OK [UIDVALIDITY 7] ok\r\n<tag> OK done\r\n",
        b'EXAMINE "gone"': b"<tag> NO no\r\n",
        b"NOOP": b"* 5 EXISTS\r\n* 2 FETCH (FLAGS ())\r\n<tag> OK done\r\n",
    }
    with ScriptedServer(script) as server:
        connection = server.connect()
        assert (connection.examine(b"INBOX").exists, connection.exists, connection.folder_dirty) == (
            3,
            3,
            False,
        )
        connection.noop()
        assert (connection.exists, connection.folder_dirty) == (5, True)
        connection.examine(b"INBOX")
        assert (connection.exists, connection.folder_dirty) == (3, False)
        with pytest.raises(ImapRefusedError):
            connection.examine(b"gone")
        assert connection.exists == 0
        with pytest.raises(ImapProtocolError):
            connection.examine(b"silent")
        assert connection.closed


def test_expunge_midfetch_is_noticed() -> None:
    fetched = b"* 1 FETCH (UID 1 FLAGS ())\r\n* 2 EXPUNGE\r\n* 2 FETCH (UID 3 FLAGS ())\r\n<tag> OK done\r\n"
    with (
        ScriptedServer({b"EXAMINE": EXAMINED, b"UID FETCH": fetched}) as server,
        server.connect() as connection,
    ):
        connection.examine(b"INBOX")
        assert connection.fetch_flags("1:*").uids == [1, 3]
        assert (connection.exists, connection.folder_dirty) == (2, True)


def test_long_sets_go_in_bounded_lines_and_come_back_as_one() -> None:
    def play(client: socket.socket, tag: bytes) -> None:
        uid = 2 * len(server.sent(b"UID FETCH"))
        client.sendall(b"* 1 FETCH (UID %d FLAGS ())\r\n%s OK done\r\n" % (uid, tag))

    uids = UidSet.of(range(2, 4_294_967_000, 1_000_002)) | UidSet.of(range(2, 2_000, 2))
    with ScriptedServer({b"UID FETCH": play}) as server, server.connect() as connection:
        assert connection.fetch_flags(uids).uids == [
            2 * (line + 1) for line in range(len(server.sent(b"UID FETCH")))
        ]
        pieces = [line.split()[3].decode() for line in server.sent(b"UID FETCH")]
    assert max(map(len, server.received)) <= 8_000
    assert UidSet.parse(",".join(pieces)) == uids


def test_the_next_batch_can_be_asked_for_before_the_last_is_parsed() -> None:
    fetch = answer() + b"<tag> OK done\r\n"
    with ScriptedServer({b"UID FETCH": fetch}) as server, server.connect() as connection:
        first = connection.request_metadata(UidSet.span(7, 7))
        data = first.read()
        second = connection.request_metadata(UidSet.span(7, 8))
        assert [message.uid for message in parse_metadata(data, first.uids)] == [7]
        assert second.read() == data
        assert connection.request_metadata(UidSet()).read() == b""


def test_status_of_many_folders_is_pipelined_and_a_refused_one_is_none() -> None:
    script = {
        b"STATUS": b'* STATUS "x" (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 5)\r\n<tag> OK done\r\n',
        b'STATUS "gone"': b"<tag> NO no\r\n",
    }
    with ScriptedServer(script) as server, server.connect() as connection:
        found = connection.status([b"x"] * 150 + [b"gone", b"x"])
    assert found == [FolderStatus(3, 4, 5, None)] * 150 + [None, FolderStatus(3, 4, 5, None)]


def test_a_message_that_is_gone_has_no_section_and_no_structure() -> None:
    with ScriptedServer({}) as server, server.connect() as connection:
        assert connection.fetch_structure(7) is None
        with pytest.raises(ImapRefusedError, match="UID 7"):
            connection.fetch_section(7, "", 0, 10)


def test_search_absent_closes_the_connection() -> None:
    with ScriptedServer({}) as server:
        connection = server.connect()
        with pytest.raises(ImapProtocolError):
            connection.uid_search("ALL")
        assert connection.closed


def test_octets_and_commands_are_counted() -> None:
    with ScriptedServer({}) as server:
        connection = server.connect()
        before = (connection.bytes_sent, connection.bytes_received, connection.commands)
        connection.noop()
        connection.close()
    assert connection.bytes_sent - before[0] == len(server.received[-1])
    assert connection.bytes_received - before[1] == len(b"M1 OK done\r\n")
    assert connection.commands - before[2] == 1


def test_imaplibs_own_record_of_lines_holds_no_login(capfd: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer({}) as server, server.connect() as connection:
        wire = connection._channel.wire
        assert wire.debug == 0
        assert not wire._cmd_log
    assert capfd.readouterr() == ("", "")


def test_sections_are_told_apart_by_what_they_are_and_not_by_which_command_they_complete() -> None:
    every = (
        b"* 2 FETCH (UID 5 BODY[2]<0> {3}\r\nabc)\r\n* 9 FETCH (UID 9 FLAGS ())\r\n"
        b'* 1 FETCH (BODY[1.2]<0> "d" UID 4)\r\n* 2 FETCH (UID 5 BODY[3] NIL)\r\n<tag> NO not that one\r\n'
    )
    script = {b"UID FETCH 5 (BODY.PEEK[2]": every, b"UID FETCH 6": b"<tag> NO none\r\n"}
    with ScriptedServer(script) as server, server.connect() as connection:
        wanted = [(5, "2"), (6, "1"), (4, "1.2"), (5, "3")]
        assert connection.fetch_sections(wanted, 100) == {(5, "2"): b"abc", (4, "1.2"): b"d"}
        assert not connection.closed
        assert server.sent(b"FETCH")[0].endswith(b"UID FETCH 5 (BODY.PEEK[2]<0.100>)\r\n")


def test_a_server_that_leaves_while_it_gives_sections_has_left() -> None:
    script = {b"UID FETCH": b"* BYE [UNAVAILABLE] later\r\n<tag> OK done\r\n"}
    with ScriptedServer(script) as server:
        connection = server.connect()
        with pytest.raises(ImapThrottledError):
            connection.fetch_sections([(5, "2"), (5, "3")], 100)
        assert connection.closed


def test_no_sections_are_no_command() -> None:
    with ScriptedServer({}) as server, server.connect() as connection:
        assert connection.fetch_sections([], 100) == {}
        assert server.sent(b"FETCH") == []


STATUS = b"* STATUS x (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 7)\r\n<tag> OK done\r\n"
COUNTED = FolderStatus(3, 9, 7, None)


@pytest.mark.parametrize(
    ("capabilities", "unselect", "open_folder"),
    [
        pytest.param(b"UNSELECT", b"<tag> OK left\r\n", COUNTED, id="left"),
        pytest.param(b"UNSELECT", b"<tag> NO stay\r\n", None, id="refused"),
        pytest.param(b"", b"", None, id="not_offered"),
    ],
)
def test_the_counters_of_the_open_folder_are_asked_for_only_once_it_is_left(
    capabilities: bytes, unselect: bytes, open_folder: FolderStatus | None
) -> None:
    script = {**offering(capabilities), b"EXAMINE": EXAMINED, b"STATUS": STATUS, b"UNSELECT": unselect}
    with ScriptedServer(script) as server, server.connect() as connection:
        assert connection.status([b"INBOX", b"Sent"]) == [COUNTED, COUNTED]
        connection.examine(b"INBOX")
        assert connection.status([b"INBOX", b"Sent"]) == [open_folder, COUNTED]
        assert len(server.sent(b"UNSELECT")) == bool(capabilities)
        connection.examine(b"Sent")
        assert connection.exists == 3


def test_flag_changes_are_read_with_and_without_modseq() -> None:
    told = (
        b"* VANISHED (EARLIER) 1:2\r\n* 1 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (12))\r\n"
        b"* 2 FETCH (MODSEQ (13) UID 4 FLAGS ())\r\n* 3 FETCH (FLAGS (x) UID 9 MODSEQ (14))\r\n<tag> OK done\r\n"
    )
    with (
        ScriptedServer({b"EXAMINE": EXAMINED, b"UID FETCH": told}) as server,
        server.connect() as connection,
    ):
        connection.examine(b"INBOX")
        listing, vanished = connection.fetch_changes(11)
        assert (listing.uids, vanished) == ([3, 4, 9], UidSet.span(1, 2))
        assert [listing.table[number].names for number in listing.hashes] == [("\\Seen",), (), ("x",)]
        assert connection.exists == 3, "what vanished earlier is not counted"

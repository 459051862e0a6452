"""Windows of a section asked for ahead: in order whatever the order of what the server sends, and nothing is left over."""

import contextlib
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise

import pytest

from mailsync_grpc.errors import ImapProtocolError, ImapRefusedError, ImapUnreachableError
from mailsync_grpc.imap.connection import Connection
from mailsync_grpc.imap.read_ahead import SectionWindows
from tests.unit.imap.scripted import ScriptedServer

DONE = b"<tag> OK done\r\n"


def window(offset: int, octets: bytes) -> bytes:
    return b"* 1 FETCH (UID 7 BODY[2]<%d> {%d}\r\n%s)\r\n" % (offset, len(octets), octets)


def fetch(offset: int, length: int = 4) -> bytes:
    return b"UID FETCH 7 (BODY.PEEK[2]<%d.%d>)" % (offset, length)


class Later:
    """Answers nothing until the last of `awaited` commands has come, then all as `answer` says, given their tags."""

    def __init__(self, awaited: int, answer: Callable[[list[bytes]], bytes]) -> None:
        self._awaited = awaited
        self._answer = answer
        self._tags: list[bytes] = []

    def __call__(self, client: socket.socket, tag: bytes) -> None:
        self._tags.append(tag)
        if len(self._tags) == self._awaited:
            client.sendall(self._answer(self._tags))


def asked(connection: Connection, *offsets: int) -> AbstractContextManager[SectionWindows]:
    windows = connection.section_windows(7, "2")
    for offset in offsets:
        windows.ask(offset, 4)
    return windows


def take_both(windows: SectionWindows) -> tuple[bytes, bytes]:
    return windows.take(), windows.take()


def test_windows_are_asked_for_before_the_first_is_there() -> None:
    script = {fetch(0): b"", fetch(4): b""}

    def both(client: socket.socket, tag: bytes) -> None:
        first, second = (line.partition(b" ")[0] for line in server.sent(b"BODY.PEEK"))
        assert tag == second
        client.sendall(
            window(0, b"abcd") + first + b" OK done\r\n" + window(4, b"ef") + tag + b" OK done\r\n"
        )

    with ScriptedServer({**script, fetch(4): both}) as server, server.connect() as connection:
        with asked(connection, 0, 4) as windows:
            assert take_both(windows) == (b"abcd", b"ef")
        connection.noop()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda a, b: window(0, b"abcd") + window(4, b"ef") + a + b, id="completed late"),
        pytest.param(lambda a, b: window(4, b"ef") + window(0, b"abcd") + b + a, id="in another order"),
        pytest.param(
            lambda a, b: window(0, b"abcd").replace(b"<0>", b"") + a + window(4, b"ef").replace(b"<4>", b"") + b,
            id="without origins",
        ),
        pytest.param(
            lambda a, b: (
                b"* 9 EXISTS\r\n* 3 FETCH (UID 3 FLAGS ())\r\n" + window(0, b"abcd") + a
                + b"* 4 FETCH (UID 4 BODY[2]<4> {1}\r\nx)\r\n" + window(4, b"ef") + b
            ),
            id="among news and windows of others",
        ),
        pytest.param(
            lambda a, b: window(0, b"abcd") + window(0, b"wxyz") + window(8, b"more") + a + window(4, b"ef") + b,
            id="with windows told twice or not asked for",
        ),
        pytest.param(
            lambda a, b: window(0, b"abcd") + a + b'* 1 FETCH (BODY[2]<4> "ef" UID 7)\r\n' + b, id="quoted"
        ),
    ],
)  # fmt: skip
def test_each_window_is_what_its_response_says_whenever_it_comes(
    answer: Callable[[bytes, bytes], bytes],
) -> None:
    later = Later(2, lambda tags: answer(*(tag + b" OK done\r\n" for tag in tags)))
    with ScriptedServer({fetch(0): later, fetch(4): later}) as server, server.connect() as connection:
        with asked(connection, 0, 4) as windows:
            assert take_both(windows) == (b"abcd", b"ef")
        connection.noop()


@pytest.mark.parametrize("other", [window(9, b"x" * 99_000), b"* OK %s\r\n" % (b"x" * 99_000)])
@pytest.mark.parametrize("taken", [0, 1])
def test_a_server_that_tells_other_things_without_end_is_left(other: bytes, taken: int) -> None:
    def go_on(client: socket.socket, _tag: bytes) -> None:
        client.sendall(window(0, b"abcd") * taken)
        with contextlib.suppress(OSError):
            for _ in range(400):
                client.sendall(other)

    with ScriptedServer({fetch(0): go_on}) as server:
        connection = server.connect()
        with (
            pytest.raises(ImapProtocolError, match="nothing that was asked"),
            asked(connection, 0) as windows,
        ):
            windows.take()
        assert connection.closed
        assert connection.bytes_received < 20 << 20


def test_what_nobody_takes_is_read_so_that_the_connection_is_free() -> None:
    script = {fetch(at): window(at, b"abcd") + DONE for at in (0, 4, 8)}
    with ScriptedServer(script) as server, server.connect() as connection:
        with asked(connection, 0, 4, 8) as windows:
            assert windows.take() == b"abcd"
        assert connection.fetch_section(7, "2", 8, 4) == b"abcd"


def test_a_message_that_is_gone_is_a_refusal_and_the_connection_stays_free() -> None:
    script = {fetch(0): DONE, fetch(4): window(4, b"late") + DONE}
    with ScriptedServer(script) as server, server.connect() as connection:
        with pytest.raises(ImapRefusedError, match="UID 7"), asked(connection, 0, 4) as windows:
            windows.take()
        connection.noop()


@pytest.mark.parametrize("refused", [0, 4])
def test_a_window_that_is_refused_is_told_though_it_was_sent(refused: int) -> None:
    script = {fetch(at): window(at, b"abcd") + DONE for at in (0, 4)}
    script[fetch(refused)] = window(refused, b"abcd") + b"<tag> NO that was not all\r\n"
    with ScriptedServer(script) as server, server.connect() as connection:
        with pytest.raises(ImapRefusedError, match="not all"), asked(connection, 0, 4) as windows:
            take_both(windows)
        connection.noop()


@pytest.mark.parametrize("octets", [b"abcde", b"x" * 70_000])
def test_more_than_was_asked_for_closes_the_connection(octets: bytes) -> None:
    with ScriptedServer({fetch(0): window(0, octets) + DONE}) as server:
        connection = server.connect()
        with pytest.raises(ImapProtocolError, match="more of a message"):
            connection.fetch_section(7, "2", 0, 4)
    assert connection.closed


def test_a_farewell_between_windows_is_told_as_one() -> None:
    script = {fetch(0): window(0, b"abcd") + DONE, fetch(4): b"* BYE over and out\r\n"}
    with ScriptedServer(script) as server:
        connection = server.connect()
        with pytest.raises(ImapUnreachableError, match="over and out"), asked(connection, 0, 4) as windows:
            take_both(windows)
    assert connection.closed


def test_a_long_section_comes_whole_over_a_real_socket() -> None:
    octets = bytes(range(256)) * 8_192
    size = 1 << 18
    starts = [*range(0, len(octets), size), len(octets)]
    script = {fetch(low, size): window(low, octets[low:high]) + DONE for low, high in pairwise(starts)}
    with ScriptedServer(script) as server, server.connect() as connection:
        windows = connection.section_windows(7, "2")
        with windows:
            for start in starts[:-1]:
                windows.ask(start, size)
            assert b"".join(windows.take() for _ in starts[:-1]) == octets

"""Authorization servers that do harm: whatever they answer is a token, or an error of the tree, in bounded time and space."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from mailsync_grpc.errors import ImapError, ImapUnreachableError
from mailsync_grpc.imap.authorization import discovered
from mailsync_grpc.imap.oauth import Grant, granted
from mailsync_grpc.imap.token_endpoint import renew
from mailsync_grpc.imap.web import MAX_ANSWER, ask
from tests.support.mirror import POLICY
from tests.support.oauth_server import CLIENT, SECRET, OAuthServer, Reply

Script = Callable[[socket.socket], None]
REFRESH = "canary-refresh-77"


class Raw:
    """A port on loopback that answers each connection as a script says, after it has read what was asked."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/token"

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                with sock, suppress(OSError):
                    sock.recv(65_536)
                    self._script(sock)

    def __enter__(self) -> str:
        self._thread.start()
        return self.url

    def __exit__(self, *_: object) -> None:
        self._listener.close()


def forever(chunk: bytes, pause: float, head: bytes = b"") -> Script:
    def script(sock: socket.socket) -> None:
        sock.sendall(head)
        while True:
            sock.sendall(chunk)
            time.sleep(pause)

    return script


def once(answer: bytes) -> Script:
    return lambda sock: sock.sendall(answer)


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(forever(b"x", 0.05), id="drips_a_status_line"),
        pytest.param(forever(b"HTTP/1.1 100 Continue\r\n\r\n", 0.05), id="goes_on_continuing"),
        pytest.param(forever(b"A: b\r\n", 0.05, OK), id="drips_headers"),
        pytest.param(forever(b" ", 0.05, OK + b"Content-Length: 1000\r\n\r\n"), id="drips_a_body"),
        pytest.param(
            forever(b"1\r\nx\r\n", 0.05, OK + b"Transfer-Encoding: chunked\r\n\r\n"), id="drips_chunks"
        ),
    ],
)
def test_an_answer_that_never_ends_is_given_up(script: Script) -> None:
    with Raw(script) as url, pytest.raises(ImapError):
        # What came until then may be a whole answer to HTTP, and is none to OAuth.
        granted(*ask(url, POLICY, b"", deadline=0.5))


@pytest.mark.parametrize(
    "script",
    [
        once(b""),
        once(b"\x00" * 1_000),
        once(b"* OK IMAP4rev1\r\n"),
        once(b"HTTP/1.1 abc\r\n\r\n"),
        once(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
        once(OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n"),
        once(OK + b"A: b\r\n" * 200 + b"\r\n"),
        once(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        once(OK + b"Content-Length: 100\r\n\r\nshort"),
        once(OK + b"\r\n" + b"[" * 60_000),
        once(OK + b'\r\n{"access_token": "a", "expires_in": 1e400'),
        once(OK + b"\r\n\xff\xfe{}"),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error_of_the_tree(script: Script) -> None:
    with Raw(script) as url, pytest.raises(ImapError) as caught:
        renew(Grant(url, CLIENT, SECRET), REFRESH, POLICY)
    assert REFRESH not in str(caught.value)


@pytest.fixture
def server() -> Iterator[OAuthServer]:
    with OAuthServer() as running:
        yield running


def test_a_huge_answer_is_read_up_to_its_bound(server: OAuthServer) -> None:
    server.spoil = lambda _form: Reply(200, b" " * (20 << 20))
    assert len(ask(server.token_endpoint, POLICY, b"a=b").body) == MAX_ANSWER


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_is_not_followed(server: OAuthServer, status: int) -> None:
    server.spoil = lambda _form: Reply(status, b"", (("Location", f"{server.http}/elsewhere"),))
    with pytest.raises(ImapUnreachableError):
        renew(Grant(server.token_endpoint, CLIENT, SECRET), REFRESH, POLICY)
    assert server.paths == ["/tenant/token"]


def test_secrets_that_an_endpoint_says_back_are_not_said_again(server: OAuthServer) -> None:
    for secret in (REFRESH, SECRET):
        server.spoil = lambda _form, secret=secret: Reply(400, f'{{"error": "no {secret}"}}'.encode())  # type: ignore[misc]
        with pytest.raises(ImapError) as caught:
            renew(Grant(server.token_endpoint, CLIENT, SECRET), REFRESH, POLICY)
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"issuer": 7}',
        b'{"issuer": "https://i"}',
        b'{"issuer": "https://i", "authorization_endpoint": [], "token_endpoint": ""}',
    ],
)
def test_metadata_that_makes_no_sense_is_an_error_of_the_tree(body: bytes) -> None:
    with pytest.raises(ImapError):
        discovered("https://i", body)

import socket
import traceback

import pytest

from mailsync_grpc.errors import (
    ImapAuthError,
    ImapError,
    ImapProtocolError,
    ImapRefusedError,
    ImapThrottledError,
    ImapTlsError,
    ImapUnreachableError,
)
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.connection import connect
from mailsync_grpc.imap.endpoint import Endpoint, Security
from tests.unit.imap.scripted import CREDENTIALS, POLICY, Play, ScriptedServer, closing, offering


def test_login_prefers_authenticate_plain_and_keeps_its_capabilities() -> None:
    with ScriptedServer({}) as server, server.connect() as connection:
        assert connection.capabilities == {"IMAP4REV1", "AUTH=PLAIN"}
    assert server.sent(b"AUTHENTICATE PLAIN")
    assert not server.sent(b"LOGIN ")


def test_login_goes_by_login_where_plain_is_not_offered() -> None:
    script = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n<tag> OK done\r\n"}
    credentials = Password('a "b" \\c', 'p"w\\d')
    with ScriptedServer(script) as server:
        connect(server.endpoint(), POLICY, credentials).close()
    assert server.received[1].endswith(b' LOGIN "a \\"b\\" \\\\c" "p\\"w\\\\d"\r\n')


def test_logindisabled_is_respected() -> None:
    script = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n<tag> OK done\r\n"}
    with ScriptedServer(script) as server, pytest.raises(ImapAuthError, match="LOGINDISABLED"):
        server.connect()
    assert not server.sent(b"LOGIN ")


def test_id_after_login() -> None:
    script = {
        **offering(b"ENABLE CONDSTORE ID"),
        b"ENABLE CONDSTORE": b"* ENABLED CONDSTORE\r\n<tag> OK done\r\n",
    }
    with ScriptedServer(script) as server, server.connect() as connection:
        assert connection.enabled == {"CONDSTORE"}
    assert [line.split()[1] for line in server.received[3:5]] == [b"ENABLE", b"ID"]


def test_a_refused_id_is_no_fault() -> None:
    with ScriptedServer({**offering(b"ID"), b"ID": b"<tag> BAD what\r\n"}) as server:
        server.connect().close()


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (b"<tag> NO [AUTHENTICATIONFAILED] no\r\n", ImapAuthError),
        (b"<tag> NO [UNAVAILABLE] later\r\n", ImapThrottledError),
        (b"<tag> BAD what\r\n", ImapRefusedError),
        (b"* BYE [UNAVAILABLE] too busy\r\n<tag> OK done\r\n", ImapThrottledError),
        (b"* BYE see you\r\n<tag> OK done\r\n", ImapUnreachableError),
        (b"what is this\r\n", ImapProtocolError),
        (b"A999 OK not yours\r\n<tag> OK done\r\n", ImapProtocolError),
        (closing(b""), ImapUnreachableError),
        (closing(b"* BYE [INUSE] locked\r\n"), ImapThrottledError),
    ],
)
def test_a_failed_login_says_why_and_hides_the_password(
    refused: bytes | Play, error: type[ImapError]
) -> None:
    with ScriptedServer({b"AUTHENTICATE": refused}) as server, pytest.raises(error) as caught:
        server.connect()
    assert type(caught.value) is error
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(CREDENTIALS)
    assert CREDENTIALS.password not in told


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        (b"* BYE too many connections\r\n", ImapThrottledError),
        (b"* BYE go away\r\n", ImapUnreachableError),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ImapProtocolError),
        (b"* NO\r\n", ImapProtocolError),
        (b"\xff\xfe\r\n", ImapProtocolError),
        (b"* PREAUTH welcome\r\n", ImapProtocolError),
    ],
)
def test_a_greeting_that_is_none_ends_the_connection(greeting: bytes, error: type[ImapError]) -> None:
    with ScriptedServer({}, greeting) as server, pytest.raises(error):
        server.connect()
    assert not server.sent(b"AUTHENTICATE")


def test_a_closed_port_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ImapUnreachableError, match=f"127.0.0.1:{port} cannot be reached"):
        connect(Endpoint("127.0.0.1", port, Security.PLAINTEXT), POLICY, CREDENTIALS)


def test_preauth_strip() -> None:
    with (
        ScriptedServer({}, b"* PREAUTH welcome\r\n") as server,
        pytest.raises(ImapProtocolError, match="PREAUTH"),
    ):
        server.connect(security=Security.STARTTLS)
    assert not server.sent(b"AUTHENTICATE") + server.sent(b"LOGIN")


def test_a_server_without_starttls_is_refused() -> None:
    with ScriptedServer({}) as server, pytest.raises(ImapTlsError, match="STARTTLS"):
        server.connect(security=Security.STARTTLS)
    assert not server.sent(b"AUTHENTICATE")


@pytest.mark.parametrize(
    "injected", [b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", b"A", b"* OK hi\r\nX1 OK done\r\n"]
)
def test_starttls_injection(injected: bytes) -> None:
    script = {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS\r\n<tag> OK done\r\n",
        b"STARTTLS": b"<tag> OK begin\r\n" + injected,
    }
    with ScriptedServer(script) as server, pytest.raises(ImapProtocolError, match="in clear"):
        server.connect(security=Security.STARTTLS)
    assert not server.sent(b"AUTHENTICATE")


def test_a_refused_starttls_is_no_reason_to_go_on_in_clear() -> None:
    script = {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\n<tag> OK done\r\n",
        b"STARTTLS": b"<tag> NO not today\r\n",
    }
    with ScriptedServer(script) as server, pytest.raises(ImapTlsError):
        server.connect(security=Security.STARTTLS)
    assert not server.sent(b"AUTHENTICATE")


def test_tls_to_a_port_without_it_says_so() -> None:
    with ScriptedServer({}) as server, pytest.raises(ImapTlsError, match="TLS with"):
        server.connect(security=Security.IMPLICIT_TLS)


def test_a_ca_that_is_none_says_so() -> None:
    with ScriptedServer({}) as server, pytest.raises(ImapTlsError, match="ca_pem"):
        connect(Endpoint("127.0.0.1", server.port, ca_pem="no certificate"), POLICY, CREDENTIALS)

"""Proxies: logged in to, asked for the address that was checked, not read too far, and never waited for too long."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.errors import ImapUnreachableError
from mailsync_grpc.imap.connection import connect
from mailsync_grpc.imap.dialling import dial
from mailsync_grpc.imap.endpoint import Endpoint, Policy, Security
from mailsync_grpc.imap.tunnel import ask
from mailsync_grpc.model.proxy import Proxy, ProxyKind, parse_proxy
from tests.support.proxy import ProxyServer
from tests.unit.imap.scripted import CREDENTIALS, POLICY, ScriptedServer

KINDS = [pytest.param("socks5", id="socks5"), pytest.param("http", id="http")]
LOGIN = ("ann", "canary pä:ss")


def through(url: str, port: int) -> Endpoint:
    return Endpoint("localhost", port, Security.PLAINTEXT, proxy=parse_proxy(url))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mail_server_is_reached_by_its_address_and_its_greeting_in_the_proxys_segment_is_kept(
    kind: str,
) -> None:
    with ScriptedServer({}) as server, ProxyServer(kind) as proxy:
        connect(through(proxy.url, server.port), POLICY, CREDENTIALS).close()
    assert proxy.asked == [("127.0.0.1", server.port)]
    assert server.sent(b"AUTHENTICATE")


@pytest.mark.parametrize("kind", KINDS)
def test_the_proxys_login_is_given_to_the_proxy(kind: str) -> None:
    with ScriptedServer({}) as server, ProxyServer(kind, LOGIN) as proxy:
        mine = Proxy(ProxyKind(kind), "127.0.0.1", proxy.port, *LOGIN)
        connect(
            Endpoint("localhost", server.port, Security.PLAINTEXT, proxy=mine), POLICY, CREDENTIALS
        ).close()
    assert proxy.logins == [LOGIN]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("login", [None, ("ann", "canary-wrong")])
def test_a_refused_login_of_the_proxy_says_so_without_the_password(
    kind: str, login: tuple[str, str] | None
) -> None:
    with ProxyServer(kind, LOGIN) as proxy:
        mine = Proxy(ProxyKind(kind), "127.0.0.1", proxy.port, *(login or ()))
        with pytest.raises(ImapUnreachableError, match=r"the proxy 127\.0\.0\.1:.*imap\.proxy_url") as caught:
            dial(Endpoint("127.0.0.1", 1, Security.PLAINTEXT, proxy=mine), POLICY)
    assert "canary" not in f"{caught.value} {mine}"


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_that_the_proxy_cannot_reach_is_followed_by_the_next(kind: str) -> None:
    with ScriptedServer({}) as server, ProxyServer(kind) as proxy:
        policy = Policy((*POLICY.allow_networks,), allow_plaintext=True, proxy=parse_proxy(proxy.url))
        names = {"mail.example": ["127.0.0.9", "127.0.0.1"], "127.0.0.1": ["127.0.0.1"]}
        dial(
            Endpoint("mail.example", server.port, Security.PLAINTEXT), policy, lambda host, _port: names[host]
        ).close()
    assert [host for host, _ in proxy.asked] == ["127.0.0.9", "127.0.0.1"]


@pytest.mark.parametrize("kind", KINDS)
def test_ipv6_addresses_are_asked_for_as_such(kind: str) -> None:
    with ProxyServer(kind, target=("127.0.0.1", 1)) as proxy, socket.socket() as sock:
        sock.connect(("127.0.0.1", proxy.port))
        with pytest.raises(ImapUnreachableError, match="did not connect"):
            ask(sock, parse_proxy(proxy.url), ip_address("2620:fe::fe"), 993, time.monotonic() + 10)
    assert proxy.asked == [("2620:fe::fe", 993)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_is_not_there_is_named(kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ImapUnreachableError, match=f"the proxy 127.0.0.1:{port} cannot be reached"):
        dial(through(f"{kind}://127.0.0.1:{port}", 1), POLICY)


@contextmanager
def saying(said: bytes, pause: float = 0.0) -> Iterator[socket.socket]:
    """A connection to a proxy that says `said`, octet by octet with pauses, and hangs up."""

    def drip() -> None:
        with there, contextlib.suppress(OSError):
            for octet in said:
                time.sleep(pause)
                there.send(bytes([octet]))
            # It hears on: a broken pipe would be met in place of what was said.
            there.shutdown(socket.SHUT_WR)
            while there.recv(1 << 16):
                pass

    here, there = socket.socketpair()
    thread = threading.Thread(target=drip)
    with here:
        thread.start()
        yield here
    thread.join()


@pytest.mark.parametrize(
    ("url", "said", "told"),
    [
        ("socks5://p:1", b"", "closed the connection"),
        ("socks5://p:1", b"HTTP/1.1 400 Bad\r\n", "does not speak SOCKS5"),
        ("socks5://p:1", b"\x05\x02", "asks for a login"),
        ("socks5://a:b@p:1", b"\x05\xff", "refuses"),
        ("socks5://p:1", b"\x05\x00\x05\x02\x00\x01", "its rules do not allow it"),
        ("socks5://p:1", b"\x05\x00\x05\x63\x00\x01", "reply 99"),
        ("socks5://p:1", b"\x05\x00\x05\x00\x00\x01\x00", "closed the connection"),
        ("http://p:1", b"* OK IMAP ready\r\n", "does not speak HTTP"),
        ("http://p:1", b"HTTP/1.1 403 \x1b[2J\r\nX: y\r\n\r\n", "HTTP status 403"),
        ("http://p:1", b"HTTP/1.1 ok\r\n\r\n", "does not speak HTTP"),
        ("http://p:1", b"HTTP/1.1 200 OK\r\n" + b"x" * 20_000, "without an end"),
        ("http://p:1", b"HTTP/1.1 200 OK\r\nX: y\r\n", "closed the connection"),
    ],
)
def test_a_proxy_that_answers_badly_is_an_error_of_the_tree_in_words_of_our_own(
    url: str, said: bytes, told: str
) -> None:
    with saying(said) as sock, pytest.raises(ImapUnreachableError, match=told) as caught:
        ask(sock, parse_proxy(url), ip_address("9.9.9.9"), 993, time.monotonic() + 20)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("url", ["socks5://p:1", "http://p:1"])
def test_a_proxy_that_drips_ends_at_the_deadline(url: str) -> None:
    said = b"\x05\x00" + bytes(1_000) if url.startswith("socks5") else b"HTTP/1.1 200 OK\r\n" + b"x" * 1_000
    with saying(said, 0.1) as sock, pytest.raises(ImapUnreachableError, match="did not answer in time"):
        ask(sock, parse_proxy(url), ip_address("9.9.9.9"), 993, time.monotonic() + 0.15)


@given(
    st.binary(max_size=60) | st.binary(max_size=30).map(b"\x05\x00\x05\x00".__add__),
    st.sampled_from(ProxyKind),
)
def test_whatever_a_proxy_says_it_serves_or_is_an_error_of_the_tree(said: bytes, kind: ProxyKind) -> None:
    here, there = socket.socketpair()
    with here:
        with there:
            there.sendall(said)
        with contextlib.suppress(ImapUnreachableError):
            ask(here, Proxy(kind, "p", 1, "ann", "x"), ip_address("9.9.9.9"), 993, time.monotonic() + 20)

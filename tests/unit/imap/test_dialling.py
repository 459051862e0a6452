"""The one way to servers that accounts name: checked at every connect, each address tried, TLS against the name."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from ipaddress import ip_network

import pytest
from pydantic import SecretStr

from mailsync_grpc.config import Config, ImapConfig, load
from mailsync_grpc.errors import (
    ConfigError,
    EndpointForbiddenError,
    ImapUnreachableError,
    InvalidFieldError,
)
from mailsync_grpc.imap.auth import Password
from mailsync_grpc.imap.budget import Process, Use
from mailsync_grpc.imap.connecting import connector, ledger_of, with_password
from mailsync_grpc.imap.connection import connect
from mailsync_grpc.imap.dialling import dial
from mailsync_grpc.imap.endpoint import Endpoint, Policy, Security
from mailsync_grpc.imap.oauth import Grant
from mailsync_grpc.imap.token_endpoint import renew
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.model.proxy import parse_proxy
from mailsync_grpc.services.login import try_login
from mailsync_grpc.vault import Vault
from tests.support.proxy import ProxyServer
from tests.support.token_endpoint import TokenEndpoint
from tests.unit.imap.scripted import CREDENTIALS, POLICY, ScriptedServer

VAULT = Vault(bytes(32))
NO = AccountNo(1)
PUBLIC = ImapConfig()
"""What an operator allows who sets nothing."""


@contextmanager
def watched() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A port on loopback, and whether anybody connected to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        def touched() -> bool:
            with suppress(BlockingIOError):
                listener.accept()[0].close()
                return True
            return False

        yield listener.getsockname()[1], touched


def account(port: int, proxy_url: str = "", host: str = "localhost") -> Account:
    sealed = VAULT.seal_password(NO, "canary")
    return Account(NO, "a", 1, host, port, Security.IMPLICIT_TLS, "ann", sealed, proxy_url=proxy_url)


def synced(port: int, use: Use = Use.POLL) -> None:
    books = ledger_of(Config(), Process.SYNC)
    connector(PUBLIC, VAULT, with_password(VAULT), books, use)(account(port))


def content(port: int) -> None:
    synced(port, Use.CONTENT)


def created(port: int) -> None:
    attempt = try_login(PUBLIC, ledger_of(Config(), Process.API))
    attempt(Endpoint("localhost", port), Password("ann", "canary"))


def token(port: int) -> None:
    renew(Grant(f"https://localhost:{port}/token", "client"), "canary", Policy())


def proxied(port: int) -> None:
    books = ledger_of(Config(), Process.SYNC)
    mine = account(993, f"socks5://127.0.0.1:{port}", host="9.9.9.9")
    connector(PUBLIC, VAULT, with_password(VAULT), books, Use.POLL)(mine)


def behind_the_operators_proxy(port: int) -> None:
    with ProxyServer("http", target=("127.0.0.1", port)) as proxy:
        config = ImapConfig(proxy_url=SecretStr(proxy.url))
        books = ledger_of(Config(), Process.SYNC)
        try:
            connector(config, VAULT, with_password(VAULT), books, Use.POLL)(account(port))
        finally:
            assert proxy.asked == []


@pytest.mark.parametrize(
    "way",
    [synced, content, created, token, proxied, behind_the_operators_proxy],
    ids=lambda way: way.__name__,
)
def test_ssrf_guard(way: Callable[[int], None]) -> None:
    """Nothing reaches a private address, whichever part of the service connects."""
    with watched() as (port, touched):
        with pytest.raises((EndpointForbiddenError, InvalidFieldError), match=r"imap\.allow_networks"):
            way(port)
        assert not touched()


def test_ssrf_guard_names_the_proxy_where_it_is_the_proxy_that_is_refused() -> None:
    attempt = try_login(PUBLIC, ledger_of(Config(), Process.API))
    mine = parse_proxy("http://127.0.0.1:3128")
    with pytest.raises(InvalidFieldError) as caught:
        attempt(Endpoint("9.9.9.9", 993, proxy=mine), CREDENTIALS)
    assert set(caught.value.violations) == {"account.imap.proxy_url"}


def test_ssrf_guard_lets_the_operators_own_proxy_be_anywhere() -> None:
    with ProxyServer("socks5", target=("127.0.0.1", 1)) as proxy:
        policy = Policy(proxy=parse_proxy(proxy.url))
        with pytest.raises(ImapUnreachableError, match="did not connect"):
            dial(Endpoint("9.9.9.9", 993), policy)
    assert proxy.asked == [("9.9.9.9", 993)]


@pytest.mark.parametrize("kind", ["", "socks5", "http"])
def test_ssrf_guard_connects_to_the_address_that_was_checked_though_the_name_is_rebound(kind: str) -> None:
    policy = Policy((ip_network("127.0.0.1/32"),), allow_plaintext=True)
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if asked.count(host) == 1 else ["127.0.0.2"]

    with ScriptedServer({}) as server, ProxyServer(kind) as proxy:
        mine = parse_proxy(proxy.url.replace("127.0.0.1", "proxy.example")) if kind else None
        there = Endpoint("mail.example", server.port, Security.PLAINTEXT, proxy=mine)
        with dial(there, policy, rebinding) as sock:
            assert kind or sock.getpeername()[0] == "127.0.0.1"
            assert sock.recv(100).startswith(b"* OK")
    assert asked == (["mail.example", "proxy.example"] if kind else ["mail.example"])
    assert not kind or proxy.asked == [("127.0.0.1", server.port)]


def test_an_accounts_own_proxy_goes_before_the_operators() -> None:
    with ScriptedServer({}) as server, ProxyServer("http") as theirs, ProxyServer("socks5") as own:
        policy = replace(POLICY, proxy=parse_proxy(theirs.url))
        there = server.endpoint()
        connect(replace(there, proxy=parse_proxy(own.url)), policy, CREDENTIALS).close()
    assert (len(own.asked), len(theirs.asked)) == (1, 0)


def test_every_address_is_tried_in_order_until_one_answers() -> None:
    with ScriptedServer({}) as server:
        there = Endpoint("mail.example", server.port, Security.PLAINTEXT)
        with dial(there, POLICY, lambda _host, _port: ["127.0.0.8", "127.0.0.9", "127.0.0.1"]) as sock:
            assert sock.getpeername()[0] == "127.0.0.1"


def test_forbidden_addresses_of_a_name_are_passed_over() -> None:
    with (
        ScriptedServer({}) as server,
        dial(server.endpoint(), POLICY, lambda _host, _port: ["10.0.0.1", "::1", "127.0.0.1"]) as sock,
    ):
        assert sock.getpeername()[0] == "127.0.0.1"


def test_an_address_that_does_not_answer_leaves_time_for_the_next() -> None:
    # A full backlog: Linux drops what comes then, as a firewall would.
    with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(("127.0.0.2", 0))
        silent.listen(0)
        port = silent.getsockname()[1]
        for filling in (first, second):
            filling.setblocking(False)
            filling.connect_ex(("127.0.0.2", port))
        with socket.create_server(("127.0.0.1", port)):
            there = Endpoint("mail.example", port, Security.PLAINTEXT)
            policy = replace(POLICY, connect_timeout=7.0)
            with dial(there, policy, lambda _host, _port: ["127.0.0.2", "127.0.0.1"]) as sock:
                assert sock.getpeername()[0] == "127.0.0.1"


def test_ipv6_is_spoken() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        policy = Policy((ip_network("::1/128"),), allow_plaintext=True)
        there = Endpoint("::1", listener.getsockname()[1], Security.PLAINTEXT)
        with dial(there, policy) as sock:
            assert sock.getpeername()[0] == "::1"


def test_a_token_endpoint_is_asked_through_the_operators_proxy() -> None:
    with TokenEndpoint(lambda _token: None) as endpoint, ProxyServer("http") as proxy:
        policy = replace(POLICY, proxy=parse_proxy(proxy.url))
        assert renew(Grant(endpoint.url, "client"), "canary", policy).access_token == "token1"
    assert len(proxy.asked) == 1


def test_the_operators_proxy_is_checked_at_the_start_and_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAILSYNC_IMAP__PROXY_URL", "http://ann:canary@10.0.0.1:3128")
    assert "canary" not in repr(load())
    monkeypatch.setenv("MAILSYNC_IMAP__PROXY_URL", "https://ann:canary@10.0.0.1:3128")
    with pytest.raises(ConfigError, match=r"imap\.proxy_url: .*socks5://host:port") as caught:
        load()
    assert "canary" not in str(caught.value)

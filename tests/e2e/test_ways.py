"""Accounts behind proxies and mail servers that ask for certificates: the whole service, Dovecot, the command line."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.dovecot_config import DovecotOptions
from tests.support.certificates import Authority
from tests.support.cli import USER, Stage
from tests.support.proxy import ProxyServer
from tests.support.service import Service, Stubs, running

AUTHORITY = Authority()
CLIENT = AUTHORITY.issue("client", client=True)
LOGIN = ("ann", "canary proxy")
MAILS = [f"Subject: Message {number}\r\n\r\nx\r\n".encode() for number in range(3)]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A service without accounts, and a mail server with three messages."""
    with DovecotServer((USER,)) as server, running(Service(tmp_path / "home")) as service:
        server.deliver(USER, "INBOX", MAILS)
        yield Stage(service, server)


@pytest.mark.parametrize("kind", ["socks5", "http"])
def test_sync_and_content_go_through_the_accounts_proxy(stage: Stage, kind: str) -> None:
    with ProxyServer(kind, LOGIN) as proxy:
        url = f"{kind}://ann@127.0.0.1:{proxy.port}"
        environment = {"MAILSYNC_PROXY_PASSWORD": LOGIN[1]}
        added = stage.add("work", "--proxy-url", url, environment=environment)
        assert added.returncode == 0, added.stderr
        [account] = stage.objects("account", "show", "work")
        assert account["imap"]["proxyUrl"] == url
        listed = stage.objects("envelopes", "work", "INBOX")
        assert len(listed) == 3
        before = len(proxy.asked)
        assert stage.run("content", listed[0]["name"]).stdout.strip() == "x"
        assert len(proxy.asked) == before + 1
    assert set(proxy.asked) == {("127.0.0.1", stage.server.tls_port)}
    assert set(proxy.logins) == {LOGIN}


def test_a_proxy_is_taken_away_and_given_with_the_password_of_the_mail_only(stage: Stage) -> None:
    with ProxyServer("http") as proxy:
        assert stage.add("work").returncode == 0
        refused = stage.try_("account", "update", "work", "--proxy-url", proxy.url)
        assert (refused.returncode, "account.auth" in refused.stderr) == (1, True)
        stage.run("account", "update", "work", "--proxy-url", proxy.url, "--password")
        with Stubs(stage.service.address) as stubs:
            stubs.sync("work")
        asked = len(proxy.asked)
        assert asked >= 2
        stage.run("account", "update", "work", "--proxy-url", "", "--password")
        with Stubs(stage.service.address) as stubs:
            stubs.sync("work")
        assert len(proxy.asked) == asked


def test_a_proxys_password_is_refused_as_an_argument(stage: Stage) -> None:
    done = stage.add("work", "--proxy-url", "http://ann:canary@127.0.0.1:1")
    assert (done.returncode, "MAILSYNC_PROXY_PASSWORD" in done.stderr) == (1, True)
    assert "canary" not in done.stderr


def test_a_proxy_that_is_gone_makes_the_account_unreachable_and_says_so(stage: Stage) -> None:
    with ProxyServer("socks5") as proxy:
        url = proxy.url
    done = stage.add("work", "--proxy-url", url)
    assert (done.returncode, f"the proxy 127.0.0.1:{proxy.port} cannot be reached" in done.stderr) == (
        1,
        True,
    )


def test_the_operators_proxy_serves_accounts_without_their_own(tmp_path: Path) -> None:
    with ProxyServer("socks5", LOGIN) as proxy, DovecotServer((USER,)) as server:
        settings = {"MAILSYNC_IMAP__PROXY_URL": f"socks5://ann:canary%20proxy@127.0.0.1:{proxy.port}"}
        with running(Service(tmp_path / "home", settings)) as service:
            added = Stage(service, server).add("work")
            assert added.returncode == 0, added.stderr
            [account] = Stage(service, server).objects("account", "show", "work")
    assert "proxyUrl" not in account["imap"]
    assert set(proxy.asked) == {("127.0.0.1", server.tls_port)}
    assert "canary" not in service.log()


@pytest.fixture(scope="module")
def strict() -> Iterator[Stage]:
    """A service beside a mail server that lets nobody log in without a client certificate."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)  # for the user that Dovecot runs as
        authority = Path(made) / "ca.pem"
        authority.write_text(AUTHORITY.pem)
        with (
            DovecotServer((USER,), DovecotOptions(client_ca=authority)) as server,
            running(Service(Path(made) / "home")) as service,
        ):
            yield Stage(service, server)


def pair(directory: Path) -> tuple[str, ...]:
    certificate, key = directory / "client.pem", directory / "client.key"
    certificate.write_text(CLIENT.certificate)
    key.write_text(CLIENT.key)
    return "--client-cert-file", str(certificate), "--client-key-file", str(key)


def test_a_server_that_asks_for_a_client_certificate_is_synced_with_one(
    strict: Stage, tmp_path: Path
) -> None:
    without = strict.add("none")
    assert without.returncode == 1
    assert "IMAP_AUTH_FAILED" in without.stderr
    assert "certificate" in without.stderr
    added = strict.add("work", *pair(tmp_path))
    assert added.returncode == 0, added.stderr
    [account] = strict.objects("account", "show", "work")
    assert account["imap"]["tls"]["clientCertificatePem"] == CLIENT.certificate
    assert "PRIVATE KEY" not in str(account)
    with Stubs(strict.service.address) as stubs:
        stubs.sync("work")


def test_a_client_certificate_is_given_later(strict: Stage, tmp_path: Path) -> None:
    assert strict.add("later", *pair(tmp_path)).returncode == 0
    strict.run("account", "update", "later", "--client-cert-file", "")
    strict.run("account", "update", "later", *pair(tmp_path))
    with Stubs(strict.service.address) as stubs:
        stubs.sync("later")

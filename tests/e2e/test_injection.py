"""What strangers write breaks no log line, obeys no terminal and makes no metric: subjects, names, a server's own words."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.cli import mailsync
from tests.support.hostile import LOGIN, HostileServer
from tests.support.hostile_faults import refusing
from tests.support.hostile_session import PLAIN
from tests.support.service import Service, Stubs, running, wait_for

# What ends a line, what a terminal obeys (ECMA-48, as ESC and as C1), what JSON and Prometheus quote, a forged line.
HARM = '\x1b[2J\x1b]0;forged\x07\x9b31m\x7f\u2028\u202e"}{"event":"forged"}\\nforged{a="b"} 1 [red]'
LINES = f"{HARM}\r\n2026-01-01T00:00:00Z [error    ] forged\r\n"
FOLDER = HARM.replace('"', "'").replace("\\", "")
CONSOLE = re.compile(r"\d{4}-\d\d-\d\d\S* +\[\w+ *\] \S.*|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[\w+ *\] .*")
METRIC = re.compile(r'# (?:HELP|TYPE) [ -~]+|[a-z_]+(?:\{(?:[a-z_]+="[\w.+ ]*",?)*\})? [-+.\w]+')


def wired(text: str) -> bytes:
    """The text as a server says it in the middle of a line."""
    return text.encode("utf-8", "replace")


@pytest.fixture(scope="module", params=["console", "json"])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A service whose mail server, accounts and callers have done their worst; its log is of either form."""
    settings = {"MAILSYNC_LOG_FORMAT": request.param, "MAILSYNC_LOG_LEVEL": "debug"}
    with tempfile.TemporaryDirectory() as data, HostileServer(PLAIN) as server:
        server.greeting = b"* OK " + wired(HARM) + b"\r\n"
        server.mailbox.create_folders(FOLDER)
        server.mailbox.deliver([b"From: ann@example.org\r\nSubject: " + wired(HARM) + b"\r\n\r\nx\r\n"])
        with running(Service(Path(data) / "home", settings)) as made:
            with Stubs(made.address) as stubs:
                register(stubs, server)
                misuse(stubs, server)
            yield made


def register(stubs: Stubs, server: HostileServer) -> None:
    """One account that works, one whose folders are refused in words that harm, until its state says so."""
    stubs.finish(stubs.register(server.mailbox, "work"))
    change = account_pb2.Account(
        name="accounts/work", display_name="\x9b31m\u202e[red]", labels={"a": "\x9b31m"}
    )
    change.sync.poll_interval.seconds = 10
    stubs.accounts.UpdateAccount(pb.UpdateAccountRequest(account=change))
    server.always(b"EXAMINE|STATUS", refusing(wired(HARM)))
    wait_for(lambda: server.sent(b"EXAMINE")[2:] or None, 60, "refused looks")


def misuse(stubs: Stubs, server: HostileServer) -> None:
    """Logins that are refused in words that harm, toward hosts and by names that do."""
    server.always(LOGIN, refusing(b"[AUTHENTICATIONFAILED] " + wired(HARM)))
    for host in (server.host, f"{HARM}.example", LINES, "a\x9bb"):
        account = account_pb2.Account(
            imap=account_pb2.ImapEndpoint(
                host=host, port=server.port, security=account_pb2.IMAP_SECURITY_PLAINTEXT
            ),
            labels={"a": "\x9b31m"},
        )
        account.auth.password.username, account.auth.password.password = "a\u2028\x9bb", "x"
        with pytest.raises(Exception, match=r"StatusCode\.\w+"):
            stubs.accounts.CreateAccount(pb.CreateAccountRequest(account=account))


def test_log_injection(service: Service) -> None:
    lines = service.log().splitlines()
    assert len(lines) > 5
    assert service.log().replace("\n", "").isprintable()
    for line in lines:
        if service.environment["MAILSYNC_LOG_FORMAT"] == "json":
            assert json.loads(line)["event"] != "forged"
        else:
            assert CONSOLE.fullmatch(line), line


def test_log_injection_reaches_no_terminal(service: Service) -> None:
    at = {"MAILSYNC_ADDRESS": service.address}
    commands = (
        ("account", "list"),
        ("account", "show", "work"),
        ("folder", "list", "work"),
        ("envelopes", "work", "INBOX"),
    )
    for words in commands:
        done = mailsync(*words, environment=at)
        assert done.returncode == 0, done.stderr
        assert re.sub(r"[\n ]", "", done.stdout + done.stderr).isprintable(), words
    assert "\\x9b31m" in mailsync("envelopes", "work", "INBOX", environment=at).stdout


def test_log_injection_makes_no_metric(service: Service) -> None:
    with urlopen(service.metrics_url) as response:  # noqa: S310 - loopback, from the ready line
        scraped = response.read().decode()
    assert "forged" not in scraped
    for line in scraped.splitlines():
        assert METRIC.fullmatch(line), line

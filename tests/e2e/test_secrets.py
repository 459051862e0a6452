"""Secrets and mail content stay where they belong: a canary of each is looked for in everything that is said or stored."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message import Message
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.loopback import PASSWORD
from mailsync_grpc.v1 import account_pb2, event_service_pb2, system_service_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from mailsync_grpc.v1.content_service_pb2 import CONTENT_KIND_TEXT, DownloadContentRequest
from tests.support.certificates import Authority
from tests.support.cli import USER, Stage
from tests.support.proxy import ProxyServer
from tests.support.service import Service, Stubs, running

TOKEN = "canary-token-1f8e"
WRONG = "canary-wrong-password-77aa"
SUBJECT, BODY = "canary-subject-90ab", "canary-body-3c41"
PROXY = ("ann", "canary-proxy-52b1")
OPERATORS = "canary-operators-proxy-6d0f"
CLIENT = Authority().issue("client", client=True)
KEY = CLIENT.key.splitlines()[1]
SECRETS = (PASSWORD, TOKEN, WRONG, PROXY[1], OPERATORS, KEY)
WITH_TOKEN = (("authorization", f"Bearer {TOKEN}"),)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A service that logs all it can, one message in the mailbox behind it."""
    mail = f"From: kim@a.example\r\nSubject: {SUBJECT}\r\n\r\n{BODY}\r\n".encode()
    with tempfile.TemporaryDirectory() as data, DovecotServer((USER,)) as server:
        audit = str(Path(data) / "audit.jsonl")
        environment = {
            "MAILSYNC_TOKEN": TOKEN,
            "MAILSYNC_LOG_LEVEL": "debug",
            "MAILSYNC_AUDIT_FILE": audit,
            "MAILSYNC_IMAP__PROXY_URL": f"http://ann:{OPERATORS}@127.0.0.1:1",
        }
        server.deliver(USER, "INBOX", [mail])
        with running(Service(Path(data), environment)) as service:
            yield Stage(service, server)


@pytest.fixture(scope="module")
def proxy() -> Iterator[ProxyServer]:
    with ProxyServer("socks5", PROXY) as server:
        yield server


def commands(stage: Stage, proxy: ProxyServer) -> str:
    """Use the command line well and badly; return everything it printed."""
    environment = {"MAILSYNC_TOKEN": TOKEN, "MAILSYNC_PROXY_PASSWORD": PROXY[1]}
    certificate, key = stage.service.data / "client.pem", stage.service.data / "client.key"
    certificate.write_text(CLIENT.certificate)
    key.write_text(CLIENT.key)
    way: tuple[str, ...] = (
        "--proxy-url",
        f"socks5://ann@127.0.0.1:{proxy.port}",
        "--client-cert-file",
        str(certificate),
    )
    way = (*way, "--client-key-file", str(key))
    said = [stage.add("work", *way, environment=environment)]
    said += [stage.add("spare", *way, environment=environment | {"MAILSYNC_IMAP_PASSWORD": WRONG})]
    said += [stage.add("spare", *way, environment=environment | {"MAILSYNC_PROXY_PASSWORD": WRONG})]
    said += [stage.add("spare", environment=environment)]
    said += [
        stage.try_(*words, environment=environment)
        for words in (("account", "show", "work"), ("account", "list"))
    ]
    said += [stage.try_("account", "show", "work", "--json", environment=environment)]
    said += [stage.try_("account", "list", environment={"MAILSYNC_TOKEN": WRONG})]
    assert [done.returncode for done in said] == [0, 1, 1, 1, 0, 0, 0, 1]
    return "".join(done.stdout + done.stderr for done in said)


def failed(call: Callable[..., Any], request: Message, metadata: Any = WITH_TOKEN) -> str:
    """Return all that the failure of a call carries."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request, metadata=metadata)
    error: Any = caught.value
    return f"{error.details()} {error.trailing_metadata()} {error.debug_error_string()}"


def answers(stubs: Stubs) -> str:
    """Ask for everything that is told of accounts, and fail at what can fail; return it all."""
    change = account_pb2.Account(name="accounts/work")
    change.auth.password.username = USER
    change.auth.password.password = WRONG
    change.imap.tls.client_key_pem = CLIENT.key
    change.imap.proxy_url = f"socks5://ann:{PROXY[1]}\n@127.0.0.1:1"
    again = pb.CreateAccountRequest(account=change, account_id="again", validate_only=True)
    told: list[object] = [
        stubs.accounts.GetAccount(pb.GetAccountRequest(name="accounts/work"), metadata=WITH_TOKEN),
        stubs.accounts.ListSyncRuns(pb.ListSyncRunsRequest(parent="accounts/work"), metadata=WITH_TOKEN),
        stubs.system.GetStats(system_service_pb2.GetStatsRequest(), metadata=WITH_TOKEN),
        stubs.system.GetServerInfo(system_service_pb2.GetServerInfoRequest(), metadata=WITH_TOKEN),
        failed(stubs.accounts.UpdateAccount, pb.UpdateAccountRequest(account=change)),
        failed(stubs.accounts.CreateAccount, again),
        failed(
            stubs.accounts.ListAccounts, pb.ListAccountsRequest(), (("authorization", f"Bearer {WRONG}"),)
        ),
    ]
    return "\n".join(map(str, told))


def log_of(stubs: Stubs) -> str:
    request = event_service_pb2.GetEventLogRequest(page_size=1_000)
    return str(stubs.events.GetEventLog(request, metadata=WITH_TOKEN))


def reflection(stubs: Stubs) -> str:
    """What the server tells of its services and of the messages that carry secrets."""
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="mailsync.v1.AccountService"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="mailsync.v1.TlsSettings"),
    ]
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(stubs.channel)
    return "".join(map(str, stub.ServerReflectionInfo(iter(asked), metadata=WITH_TOKEN)))


def token_used(stubs: Stubs) -> str:
    """Make an access token, use it well and badly, and return its secret."""
    wanted = system_service_pb2.Token(scopes=[system_service_pb2.TOKEN_SCOPE_READ_METADATA])
    request = system_service_pb2.CreateTokenRequest(token=wanted, request_id=str(uuid4()))
    made = stubs.system.CreateToken(request, metadata=WITH_TOKEN)
    bearer = (("authorization", f"Bearer {made.secret}"),)
    stubs.accounts.ListAccounts(pb.ListAccountsRequest(), metadata=bearer)
    failed(stubs.accounts.PauseAccount, pb.PauseAccountRequest(name="accounts/work"), bearer)
    stubs.system.ListTokens(system_service_pb2.ListTokensRequest(), metadata=WITH_TOKEN)
    return str(made.secret)


def read_body(stage: Stage) -> str:
    listed = stage.run("envelopes", "work", "INBOX", "--json", environment={"MAILSYNC_TOKEN": TOKEN}).stdout
    assert SUBJECT in listed
    name = listed.split('"name": "', 1)[1].split('"', 1)[0]
    with Stubs(stage.service.address) as stubs:
        request = DownloadContentRequest(name=name, kind=CONTENT_KIND_TEXT)
        chunks = stubs.content.DownloadContent(request, metadata=WITH_TOKEN)
        return b"".join(response.chunk for response in chunks).decode()


@pytest.fixture(scope="module")
def said(stage: Stage, proxy: ProxyServer) -> dict[str, str]:
    """Everything that was said while the service was used well and badly, by where it was said."""
    printed = commands(stage, proxy)
    with Stubs(stage.service.address) as stubs:
        secret, told, events = token_used(stubs), answers(stubs), log_of(stubs)
        reflected = reflection(stubs)
    assert BODY in read_body(stage)
    with urlopen(stage.service.metrics_url) as response:  # noqa: S310 - loopback, from the ready line
        scraped = response.read().decode()
    return {
        "secret": secret,
        "output": printed,
        "answers": told,
        "events": events,
        "reflection": reflected,
        "metrics": scraped,
        "log": stage.service.log(),
        "audit": (stage.service.data / "audit.jsonl").read_text("utf-8"),
    }


@pytest.mark.parametrize("where", ["output", "answers", "events", "reflection", "metrics", "log", "audit"])
def test_canary_secret(said: dict[str, str], where: str) -> None:
    assert said[where]
    assert not [secret for secret in (*SECRETS, said["secret"]) if secret in said[where]]


@pytest.mark.parametrize("where", ["answers", "metrics", "log", "audit"])
def test_mail_content_is_said_only_where_it_is_asked_for(said: dict[str, str], where: str) -> None:
    assert not [content for content in (SUBJECT, BODY) if content in said[where]]


def test_metrics_name_no_account_address_or_folder(said: dict[str, str]) -> None:
    assert not [name for name in (USER, "work", "localhost", "INBOX") if f'"{name}' in said["metrics"]]


def test_no_secret_and_no_content_lies_on_the_disk_in_clear(stage: Stage, said: dict[str, str]) -> None:
    files = [path for path in (stage.service.data / "data").rglob("*") if path.is_file()]
    assert {"store", "content"} <= {path.relative_to(stage.service.data / "data").parts[0] for path in files}
    for path in files:
        held = path.read_bytes()
        assert not [canary for canary in (*SECRETS, said["secret"], BODY) if canary.encode() in held], path

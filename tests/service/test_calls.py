"""What holds for every call: the token, the errors, the calls that are not built, health, reflection, limits."""

import asyncio
import re
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import SecretStr, ValidationError

from mailsync_grpc import metrics
from mailsync_grpc.cli.demo.certificates import make_certificates
from mailsync_grpc.config import Config, TlsConfig
from mailsync_grpc.errors import ConfigError
from mailsync_grpc.model.account import Account
from mailsync_grpc.services.assembly import built_calls
from mailsync_grpc.services.registry import SERVICES, UNIMPLEMENTED
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import account_service_pb2 as pb
from mailsync_grpc.v1 import event_service_pb2, system_service_pb2, system_service_pb2_grpc
from tests.support.api import Api, details, reason, serving, violations

TOKEN = "s3cret-token"
CALLS = {
    f"{service.name}.{method.name}": method for service in SERVICES.values() for method in service.methods
}


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Api]:
    """An API that asks for a token."""
    async with serving(MemoryStore(), tmp_path, token=SecretStr(TOKEN)) as served:
        yield served


def test_every_call_is_built_or_named_as_missing_and_none_is_both(api: Api) -> None:
    built = built_calls(api.services)
    assert built | set(UNIMPLEMENTED) == set(CALLS)
    assert not built & set(UNIMPLEMENTED)


def test_the_readme_lists_what_is_built_and_what_is_not(api: Api) -> None:
    readme = Path(__file__).parents[2].joinpath("README.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+Service) \|([^|]*)\|([^|]*)\|$", readme, re.MULTILINE)
    listed = [
        {f"{row[0]}.{name}" for row in rows for name in re.findall(r"\w+", row[column])} for column in (1, 2)
    ]
    assert listed == [built_calls(api.services), set(UNIMPLEMENTED)]


@pytest.mark.parametrize("name", UNIMPLEMENTED)
async def test_a_call_that_is_not_built_says_what_is_missing(api: Api, name: str) -> None:
    method = CALLS[name]
    path = f"/{method.containing_service.full_name}/{method.name}"
    request = GetMessageClass(method.input_type)()
    streams = "stream" if method.client_streaming else "unary"
    answers = "stream" if method.server_streaming else "unary"
    call = getattr(api.channel, f"{streams}_{answers}")(path, type(request).SerializeToString)
    started = call(iter([request]) if method.client_streaming else request)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (started.read() if method.server_streaming else started)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert UNIMPLEMENTED[name] in str(caught.value.details())
    assert reason(caught.value) == "NOT_IMPLEMENTED"


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        (("authorization", TOKEN),),
        (("authorization", f"Basic {TOKEN}"),),
        (("authorization", "Bearer x"),),
    ],
    ids=["none", "no scheme", "other scheme", "other token"],
)
async def test_a_call_without_the_token_is_refused(guarded: Api, metadata: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await guarded.system.GetServerInfo(system_service_pb2.GetServerInfoRequest(), metadata=metadata)
    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_the_token_admits(guarded: Api) -> None:
    bearer = (("authorization", f"Bearer {TOKEN}"),)
    info = await guarded.system.GetServerInfo(system_service_pb2.GetServerInfoRequest(), metadata=bearer)
    assert info.store_epoch == guarded.store.epoch.hex()


async def test_health_is_open_and_reflection_is_not(guarded: Api) -> None:
    channel: Any = guarded.channel
    health: Any = health_pb2_grpc.HealthStub(channel)
    for service in ("", *(each.full_name for each in SERVICES.values())):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflected: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reflected.ServerReflectionInfo(iter([request])).read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_stopping_server_is_not_serving(api: Api) -> None:
    await api.services.drain()
    channel: Any = api.channel
    health: Any = health_pb2_grpc.HealthStub(channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(service="mailsync.v1.EventService"))
    assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_reflection_names_every_service(api: Api) -> None:
    channel: Any = api.channel
    reflected: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = await reflected.ServerReflectionInfo(iter([request])).read()
    names = {each.name for each in answer.list_services_response.service}
    assert names >= {service.full_name for service in SERVICES.values()} | {"grpc.health.v1.Health"}


class BrokenStore(MemoryStore):
    """Fails with an exception that quotes what it should not."""

    def account(self, account_id: str) -> Account | None:
        raise RuntimeError(f"password of {account_id} is hunter2")


async def test_a_fault_of_the_server_tells_nothing_of_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(BrokenStore(), tmp_path) as api:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await api.accounts.GetAccount(pb.GetAccountRequest(name="accounts/acme"))
    assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "hunter2" not in repr(caught.value)
    logged = capsys.readouterr()
    assert "RuntimeError" in logged.out + logged.err
    assert "hunter2" not in logged.out + logged.err


async def test_details_of_an_error_stay_small_however_many_fields_are_wrong(api: Api) -> None:
    labels = {f"{number}" + "X" * 5_000: "y" for number in range(64)}
    request = pb.CreateAccountRequest()
    request.account.labels.update(labels)
    request.account.display_name = "x" * 10_000
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.CreateAccount(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "account.imap.host" in violations(caught.value)
    assert details(caught.value).ByteSize() < 4_096


async def test_a_long_name_in_an_error_is_cut(api: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.GetSyncRun(pb.GetSyncRunRequest(name="accounts/" + "ä" * 100_000))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_oversized_request_is_refused_and_the_server_lives_on(api: Api) -> None:
    request = pb.CreateAccountRequest()
    request.account.display_name = "x" * (5 << 20)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await api.accounts.CreateAccount(request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await api.system.GetServerInfo(system_service_pb2.GetServerInfoRequest())


async def test_calls_are_counted_by_how_they_ended(api: Api) -> None:
    counted = metrics.GRPC_HANDLED.labels("unary", "mailsync.v1.AccountService", "GetAccount", "NOT_FOUND")
    before = counted._value.get()
    with pytest.raises(grpc.aio.AioRpcError):
        await api.accounts.GetAccount(pb.GetAccountRequest(name="accounts/none"))
    assert counted._value.get() == before + 1


async def test_stats_tell_of_accounts_and_streams(api: Api) -> None:
    stats = await api.system.GetStats(system_service_pb2.GetStatsRequest(include_accounts=True))
    assert stats.event_log.head_revision == 0
    assert stats.watch.streams == 0
    assert list(stats.accounts) == []


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "example.org:1"])
def test_listening_to_others_without_tls_is_refused_and_says_what_is_missing(listen: str) -> None:
    with pytest.raises(ValidationError, match=r"tls.cert_file .*MAILSYNC_TLS__CERT_FILE"):
        Config(listen=listen)
    Config(listen=listen, tls=TlsConfig(cert_file=Path("c"), key_file=Path("k")))


async def test_loopback_is_served_without_tls(tmp_path: Path) -> None:
    async with serving(MemoryStore(), tmp_path, listen="127.0.0.1:0") as api:
        host, _, port = api.address.rpartition(":")
        assert ip_address(host).is_loopback
        assert int(port) > 0
        await api.system.GetServerInfo(system_service_pb2.GetServerInfoRequest())


async def test_with_tls_and_a_token_every_interface_may_be_listened_on(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    tls = TlsConfig(cert_file=made.cert_file, key_file=made.key_file)
    async with serving(MemoryStore(), tmp_path, listen="0.0.0.0:0", tls=tls, token=SecretStr(TOKEN)) as api:
        port = api.address.rpartition(":")[2]
        trust = grpc.ssl_channel_credentials(made.ca_file.read_bytes())
        caller = grpc.composite_channel_credentials(trust, grpc.access_token_call_credentials(TOKEN))
        async with grpc.aio.secure_channel(f"localhost:{port}", caller) as channel:
            stub: Any = system_service_pb2_grpc.SystemServiceStub(channel)
            info = await stub.GetServerInfo(system_service_pb2.GetServerInfoRequest())
        assert info.store_engine == "memory"


@pytest.mark.parametrize("spoil", ["missing", "not PEM", "not its key"])
async def test_a_certificate_that_cannot_be_served_is_named(tmp_path: Path, spoil: str) -> None:
    made = make_certificates(tmp_path)
    if spoil == "missing":
        made.key_file.unlink()
    else:
        made.key_file.write_bytes(b"x" if spoil == "not PEM" else other_key(tmp_path))
    tls = TlsConfig(cert_file=made.cert_file, key_file=made.key_file)
    with pytest.raises(ConfigError, match=r"tls\.cert_file, tls\.key_file"):
        async with serving(MemoryStore(), tmp_path, listen="127.0.0.1:0", tls=tls):
            pass


def other_key(directory: Path) -> bytes:
    """Return a key that belongs to another certificate."""
    (directory / "other").mkdir()
    return make_certificates(directory / "other").key_file.read_bytes()


async def test_a_cancelled_call_leaves_no_task_behind(api: Api) -> None:
    call = api.events.WatchEvents(event_service_pb2.WatchEventsRequest())
    await call.read()
    call.cancel()
    (events,) = api.services.servicers["EventService"]
    async with asyncio.timeout(10):
        while events.streams:  # type: ignore[attr-defined] # noqa: ASYNC110 - the server notices in its own time
            await asyncio.sleep(0.01)

"""TLS of the gRPC port: certificates that callers must show, and files that are renewed while the server runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import SecretStr, ValidationError

from mailsync_grpc.config import TlsConfig
from mailsync_grpc.errors import ConfigError
from mailsync_grpc.server.certificates import Certificates
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import system_service_pb2, system_service_pb2_grpc
from tests.support.api import Api, serving
from tests.support.authority import Authority, Pair

TOKEN = "s3cret"


def tls_of(pair: Pair, client_ca: Path | None = None) -> TlsConfig:
    return TlsConfig(cert_file=pair.cert_file, key_file=pair.key_file, client_ca_file=client_ca)


@asynccontextmanager
async def served(directory: Path, tls: TlsConfig) -> AsyncIterator[Api]:
    async with serving(
        MemoryStore(), directory, listen="127.0.0.1:0", tls=tls, token=SecretStr(TOKEN)
    ) as api:
        yield api


async def ask(api: Api, authority: Authority, shown: Pair | None = None, token: str = TOKEN) -> str:
    """Call on a new connection; return the code of what comes of it."""
    trust = grpc.ssl_channel_credentials(authority.ca_file.read_bytes(), *(shown.read() if shown else ()))
    port = api.address.rpartition(":")[2]
    async with grpc.aio.secure_channel(f"localhost:{port}", trust) as channel:
        stub: Any = system_service_pb2_grpc.SystemServiceStub(channel)
        try:
            await stub.GetServerInfo(
                system_service_pb2.GetServerInfoRequest(), metadata=(("authorization", f"Bearer {token}"),)
            )
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
    return "OK"


async def test_callers_must_show_a_certificate_of_the_authority_and_a_token(tmp_path: Path) -> None:
    ours, others = Authority(tmp_path / "ours"), Authority(tmp_path / "others")
    async with served(tmp_path, tls_of(ours.sign("server", server=True), ours.ca_file)) as api:
        assert await ask(api, ours, ours.sign("helpdesk")) == "OK"
        assert await ask(api, ours, ours.sign("helpdesk"), token="wrong") == "UNAUTHENTICATED"
        assert await ask(api, ours) == "UNAVAILABLE"
        assert await ask(api, ours, others.sign("helpdesk")) == "UNAVAILABLE"


async def test_renewed_files_are_served_to_the_next_connection(tmp_path: Path) -> None:
    ours, next_ = Authority(tmp_path / "ours"), Authority(tmp_path / "next")
    pair = ours.sign("server", server=True)
    async with served(tmp_path, tls_of(pair)) as api:
        assert await ask(api, ours) == "OK"
        for file, renewed in zip(
            (pair.key_file, pair.cert_file), next_.sign("server", server=True).read(), strict=True
        ):
            file.write_bytes(renewed)
        assert await ask(api, next_) == "OK"
        assert await ask(api, ours) == "UNAVAILABLE"


async def test_another_authority_of_callers_counts_for_the_next_connection(tmp_path: Path) -> None:
    ours, next_ = Authority(tmp_path / "ours"), Authority(tmp_path / "next")
    trusted = tmp_path / "callers.pem"
    trusted.write_bytes(ours.ca_file.read_bytes())
    async with served(tmp_path, tls_of(ours.sign("server", server=True), trusted)) as api:
        assert await ask(api, ours, ours.sign("helpdesk")) == "OK"
        trusted.write_bytes(next_.ca_file.read_bytes())
        assert await ask(api, ours, next_.sign("helpdesk")) == "OK"
        assert await ask(api, ours, ours.sign("helpdesk")) == "UNAVAILABLE"


@pytest.mark.parametrize("spoil", ["missing", "not PEM", "half written"])
async def test_files_that_cannot_be_served_leave_the_last_good_ones(tmp_path: Path, spoil: str) -> None:
    ours, next_ = Authority(tmp_path / "ours"), Authority(tmp_path / "next")
    pair = ours.sign("server", server=True)
    key, certificate = next_.sign("server", server=True).read()
    async with served(tmp_path, tls_of(pair)) as api:
        match spoil:
            case "missing":
                pair.cert_file.unlink()
            case "not PEM":
                pair.cert_file.write_bytes(b"x")
            case _:
                pair.cert_file.write_bytes(certificate)
        assert await ask(api, ours) == "OK"
        pair.cert_file.write_bytes(certificate)
        pair.key_file.write_bytes(key)
        assert await ask(api, next_) == "OK"


def test_files_that_did_not_change_are_not_read_again(tmp_path: Path) -> None:
    pair = Authority(tmp_path).sign("server", server=True)
    certificates = Certificates(tls_of(pair))
    assert certificates.renewed() is None
    pair.cert_file.write_bytes(b"x")
    assert [certificates.renewed() for _ in range(2)] == [None, None]


def test_an_authority_that_is_none_is_named(tmp_path: Path) -> None:
    pair = Authority(tmp_path).sign("server", server=True)
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("x")
    with pytest.raises(ConfigError, match=r"tls\.client_ca_file"):
        Certificates(tls_of(pair, wrong))
    with pytest.raises(ValidationError, match=r"tls\.client_ca_file needs"):
        TlsConfig(client_ca_file=wrong)

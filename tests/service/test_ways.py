"""The way to a mail server, proxy and client certificate: its secrets are kept sealed, and for what they were given for."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from google.protobuf.field_mask_pb2 import FieldMask

from mailsync_grpc.model.account import Account
from mailsync_grpc.model.changes import AccountChanged
from mailsync_grpc.store.base import Batch
from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.accounts import create
from tests.support.api import Api, reason, violations
from tests.support.certificates import Authority

AUTHORITY = Authority()
CLIENT, OTHER = (AUTHORITY.issue("client", client=True) for _ in range(2))
PROXY = "socks5://ann:canary@proxy.example:1080"
SHOWN = "socks5://ann@proxy.example:1080"
TLS = "imap.tls.client_certificate_pem", "imap.tls.client_key_pem"


def imap(proxy_url: str = "", certificate: str = "", key: str = "") -> account_pb2.ImapEndpoint:
    tls = account_pb2.TlsSettings(client_certificate_pem=certificate, client_key_pem=key)
    return account_pb2.ImapEndpoint(host="imap.example.org", tls=tls, proxy_url=proxy_url)


WHOLE = imap(PROXY, CLIENT.certificate, CLIENT.key)


async def update(
    api: Api, way: account_pb2.ImapEndpoint, *paths: str, password: str = ""
) -> account_pb2.Account:
    change = account_pb2.Account(name="accounts/acme", imap=way)
    if password:
        change.auth.password.username, change.auth.password.password = "me", password
        paths = (*paths, "auth")
    mask = FieldMask(paths=paths)
    response = await api.accounts.UpdateAccount(pb.UpdateAccountRequest(account=change, update_mask=mask))
    return response.account  # type: ignore[no-any-return] # stubs of grpc.aio are untyped


async def refused(api: Api, way: account_pb2.ImapEndpoint, *paths: str, password: str = "") -> set[str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await update(api, way, *paths, password=password)
    assert "canary" not in str(caught.value)
    return set(violations(caught.value))


def stored(api: Api) -> Account:
    found = api.store.account("acme")
    assert found is not None
    return found


def secrets(api: Api) -> dict[str, object]:
    account = stored(api)
    return api.core.vault.open_secrets(account.no, account.sealed_credentials)


async def test_the_secrets_of_the_way_are_used_and_sealed_and_returned_by_no_call(api: Api) -> None:
    created = await create(api, imap=WHOLE)
    assert (created.imap.proxy_url, created.imap.tls.client_certificate_pem) == (SHOWN, CLIENT.certificate)
    assert created.imap.tls.client_key_pem == ""
    tried, _ = api.mail.tried[0]
    assert tried.proxy is not None
    assert (tried.proxy.password, tried.client_key_pem) == ("canary", CLIENT.key)
    assert secrets(api) == {"password": "right", "proxy_password": "canary", "client_key": CLIENT.key}
    assert "canary" not in repr(stored(api))


async def test_what_was_read_can_be_written_back_and_keeps_the_secrets(api: Api) -> None:
    created = await create(api, imap=WHOLE)
    before = stored(api).sealed_credentials
    await update(api, created.imap, "imap")
    assert stored(api).sealed_credentials == before
    await update(api, created.imap, "imap", password="right")
    assert secrets(api) == {"password": "right", "proxy_password": "canary", "client_key": CLIENT.key}
    assert api.mail.tried[1][0] == api.mail.tried[0][0]


@pytest.mark.parametrize(
    ("way", "path"),
    [
        (imap("http://ann@proxy.example:1080"), "imap.proxy_url"),
        (imap("socks5://ann@evil.example:1080"), "imap.proxy_url"),
        (imap("socks5://bob:new@proxy.example:1080"), "imap.proxy_url"),
        (imap(), "imap.proxy_url"),
    ],
)
async def test_another_proxy_needs_the_credentials_again(
    api: Api, way: account_pb2.ImapEndpoint, path: str
) -> None:
    await create(api, imap=WHOLE)
    assert await refused(api, way, path) == {"account.auth"}
    assert len(api.mail.tried) == 1


async def test_the_proxys_password_goes_to_no_other_proxy(api: Api) -> None:
    await create(api, imap=WHOLE)
    elsewhere = imap("socks5://ann@evil.example:1080")
    assert await refused(api, elsewhere, "imap.proxy_url", password="right") == {"account.imap.proxy_url"}
    await update(api, imap("socks5://ann:@evil.example:1080"), "imap.proxy_url", password="right")
    tried, _ = api.mail.tried[-1]
    assert tried.proxy is not None
    assert not tried.proxy.password
    assert secrets(api) == {"password": "right", "client_key": CLIENT.key}


async def test_a_new_password_of_the_same_proxy_is_taken_alone(api: Api) -> None:
    await create(api, imap=WHOLE)
    etag = (await update(api, imap("socks5://ann:renewed@proxy.example:1080"), "imap.proxy_url")).etag
    assert secrets(api) == {"password": "right", "proxy_password": "renewed", "client_key": CLIENT.key}
    cleared = await update(api, imap("socks5://ann:@proxy.example:1080"), "imap.proxy_url")
    assert secrets(api) == {"password": "right", "client_key": CLIENT.key}
    assert cleared.imap.proxy_url == SHOWN
    assert cleared.etag != etag


async def test_a_renewed_client_certificate_is_taken_without_the_credentials(api: Api) -> None:
    await create(api, imap=WHOLE)
    await update(api, imap("", OTHER.certificate, OTHER.key), *TLS)
    assert secrets(api) == {"password": "right", "proxy_password": "canary", "client_key": OTHER.key}
    await update(api, imap(), *TLS)
    assert secrets(api) == {"password": "right", "proxy_password": "canary"}
    assert not stored(api).client_certificate_pem


async def test_a_certificate_without_its_key_is_refused(api: Api) -> None:
    await create(api, imap=WHOLE)
    assert await refused(api, imap("", OTHER.certificate), *TLS) == {"account.imap.tls.client_key_pem"}


def encrypted(key: str) -> str:
    loaded = load_pem_private_key(key.encode(), None)
    return loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()


@pytest.mark.parametrize(
    ("way", "field"),
    [
        (imap("socks5h://proxy.example:1080"), "proxy_url"),
        (imap("socks5://ann@proxy.example:1080"), "proxy_url"),
        (imap("ftp://ann:canary@proxy.example:21"), "proxy_url"),
        (imap("", "canary", CLIENT.key), "tls.client_certificate_pem"),
        (imap("", "", CLIENT.key), "tls.client_certificate_pem"),
        (imap("", CLIENT.certificate), "tls.client_key_pem"),
        (imap("", CLIENT.certificate, OTHER.key), "tls.client_key_pem"),
        (imap("", CLIENT.certificate, "canary"), "tls.client_key_pem"),
        (imap("", CLIENT.certificate, encrypted(CLIENT.key)), "tls.client_key_pem"),
        (imap("", CLIENT.certificate, CLIENT.key + " " * 70_000), "tls.client_key_pem"),
    ],
)
async def test_a_way_that_cannot_be_used_is_refused_before_any_login(
    api: Api, way: account_pb2.ImapEndpoint, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await create(api, imap=way)
    assert set(violations(caught.value)) == {f"account.imap.{field}"}
    told = violations(caught.value)[f"account.imap.{field}"]
    assert "canary" not in told
    assert CLIENT.key.splitlines()[1] not in told
    assert api.mail.tried == []


async def unreadable(api: Api, **changes: Any) -> None:
    """An account as it is restored without the key that its secrets were sealed with."""
    await create(api, **changes)
    before = stored(api)
    after = replace(before, version=before.version + 1, sealed_credentials=b"\x01" + bytes(60))
    api.store.apply(Batch(after.key, (AccountChanged(after),)))


async def test_secrets_that_cannot_be_read_are_asked_for_by_name(api: Api) -> None:
    await unreadable(api, imap=WHOLE)
    assert await refused(api, imap(), password="right") == {
        "account.imap.proxy_url",
        "account.imap.tls.client_key_pem",
    }
    await update(api, WHOLE, "imap", password="right")
    assert secrets(api) == {"password": "right", "proxy_password": "canary", "client_key": CLIENT.key}


async def test_what_holds_no_secret_is_edited_also_where_secrets_cannot_be_read(api: Api) -> None:
    await unreadable(api, imap=WHOLE)
    change = account_pb2.Account(name="accounts/acme", display_name="After")
    await api.accounts.UpdateAccount(pb.UpdateAccountRequest(account=change))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await update(api, imap("", OTHER.certificate, OTHER.key), *TLS)
    assert reason(caught.value) == "CREDENTIALS_NEEDED"
    assert len(stored(api).sealed_credentials) == 61


async def test_without_proxy_and_certificate_the_password_alone_brings_an_account_back(api: Api) -> None:
    await unreadable(api)
    await update(api, imap(), password="right")
    assert secrets(api) == {"password": "right"}


async def test_an_expired_certificate_is_the_mail_servers_to_refuse(api: Api) -> None:
    expired = AUTHORITY.issue("client", client=True, life=timedelta(days=-1))
    await create(api, imap=imap("", expired.certificate, expired.key))
    assert len(api.mail.tried) == 1

"""DiscoverSettings and the commands that use it: what is found, best first, as programs and people see it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import CompletedProcess

import grpc
import pytest

from mailsync_grpc.services.discovery import DiscoveryService
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.v1 import account_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.api import Api, reason, serving, violations
from tests.support.cli import mailsync
from tests.support.domain import Domain, running_domain

DOCUMENT = (
    b'<clientConfig version="1.1"><emailProvider id="x"><incomingServer type="imap"><hostname>mail.hoster.test</hostname>'
    b"<port>143</port><socketType>STARTTLS</socketType><username>%EMAILLOCALPART%</username>"
    b"<authentication>password-cleartext</authentication></incomingServer></emailProvider></clientConfig>"
)


@pytest.fixture
async def found_api(tmp_path: Path) -> AsyncIterator[Api]:
    """An API that finds the mail server of example.test by its document, and a guess."""
    with running_domain(tmp_path, ("autoconfig.example.test", "imap.example.test")) as domain:
        filled(domain)
        async with serving(MemoryStore(), tmp_path, find=domain.finder()) as served:
            yield served


def filled(domain: Domain) -> None:
    for host in ("autoconfig.example.test", "imap.example.test", "mail.hoster.test"):
        domain.host(host)
    domain.web.pages["autoconfig.example.test/mail/config-v1.1.xml"] = DOCUMENT


async def run(api: Api, *arguments: str) -> CompletedProcess[str]:
    environment = {"MAILSYNC_ADDRESS": api.address, "MAILSYNC_IMAP_PASSWORD": "right"}
    return await asyncio.to_thread(mailsync, "account", *arguments, environment=environment)


async def test_what_is_found_comes_best_first(found_api: Api) -> None:
    response = await found_api.accounts.DiscoverSettings(
        pb.DiscoverSettingsRequest(email_address="anna@example.test")
    )
    first, second = response.candidates
    assert first == pb.DiscoveredSettings(
        imap=account_pb2.ImapEndpoint(
            host="mail.hoster.test", port=143, security=account_pb2.IMAP_SECURITY_STARTTLS
        ),
        username="anna",
        auth_kinds=[account_pb2.AUTH_KIND_PASSWORD],
        source=pb.DISCOVERY_SOURCE_AUTOCONFIG,
    )
    assert (second.imap.host, second.source) == ("imap.example.test", pb.DISCOVERY_SOURCE_GUESS)


async def test_no_address_is_an_invalid_field(found_api: Api) -> None:
    for text in ("", "anna", "anna@127.0.0.1", "anna@exa mple.org"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await found_api.accounts.DiscoverSettings(pb.DiscoverSettingsRequest(email_address=text))
        assert reason(caught.value) == "INVALID_FIELD"
        assert list(violations(caught.value)) == ["email_address"]


@pytest.mark.parametrize(("configured", "named"), [({"google"}, "google"), ({"microsoft"}, ""), (set(), "")])
async def test_a_provider_is_named_only_where_it_is_configured(
    tmp_path: Path, configured: set[str], named: str
) -> None:
    with running_domain(tmp_path, ()) as domain:
        service = DiscoveryService(domain.finder(), configured)
        request = pb.DiscoverSettingsRequest(email_address="anna@gmail.com")
        context: grpc.aio.ServicerContext[object, object] = None  # type: ignore[assignment]
        response = await service.discover_settings(request, context)
    assert [(each.provider, each.source) for each in response.candidates] == [
        (named, pb.DISCOVERY_SOURCE_PROVIDER)
    ]


async def test_the_command_shows_what_was_found(found_api: Api) -> None:
    shown = await run(found_api, "discover", "anna@example.test")
    assert shown.returncode == 0
    assert "mail.hoster.test:143 (starttls)" in shown.stdout.splitlines()[1]
    printed = await run(found_api, "discover", "anna@example.test", "--json")
    assert [json.loads(line)["imap"]["host"] for line in printed.stdout.splitlines()] == [
        "mail.hoster.test",
        "imap.example.test",
    ]
    nothing = await run(found_api, "discover", "anna@nowhere.test")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "no mail server found" in nothing.stderr


async def test_an_account_added_by_its_address_gets_what_was_found_and_says_so(found_api: Api) -> None:
    added = await run(found_api, "add", "--id", "work", "--email", "anna@example.test", "--no-wait")
    assert added.returncode == 0, added.stderr
    assert "using mail.hoster.test:143 (starttls), autoconfig, as anna" in added.stderr
    (tried,) = found_api.mail.tried
    assert (tried[0].host, tried[0].port, tried[1]) == ("mail.hoster.test", 143, "anna")
    stored = found_api.store.account("work")
    assert stored is not None
    assert stored.email == "anna@example.test"


async def test_a_server_outside_the_domain_that_only_dns_names_is_not_chosen(tmp_path: Path) -> None:
    with running_domain(tmp_path, ()) as domain:
        domain.host("imap.elsewhere.test")
        domain.host("mail.example.test")
        domain.names.zone["_imaps._tcp.example.test", "SRV"] = ["0 0 993 imap.elsewhere.test."]
        async with serving(MemoryStore(), tmp_path, find=domain.finder()) as api:
            refused = await run(api, "add", "--email", "anna@example.test")
            assert refused.returncode == 1
            assert "--host imap.elsewhere.test --username anna@example.test" in refused.stderr
            assert api.mail.tried == []
            domain.names.zone["_imaps._tcp.example.test", "SRV"] = ["0 0 993 mail.example.test."]
            assert (await run(api, "add", "--email", "anna@example.test", "--no-wait")).returncode == 0
            assert [endpoint.host for endpoint, _ in api.mail.tried] == ["mail.example.test"]


async def test_a_login_name_that_is_given_is_used(found_api: Api) -> None:
    await run(found_api, "add", "--email", "anna@example.test", "--username", "anna.b", "--no-wait")
    assert found_api.mail.tried[0][1] == "anna.b"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--host"),
        (("--email", "anna@nowhere.test"), "no mail server found"),
        (("--email", "anna@outlook.com"), "takes no passwords"),
        (("--email", "anna"), "email_address"),
    ],
)
async def test_an_account_that_cannot_be_added_by_its_address_says_why(
    found_api: Api, options: tuple[str, ...], said: str
) -> None:
    done = await run(found_api, "add", *options)
    assert done.returncode == 1
    assert said in done.stderr
    assert found_api.mail.tried == []

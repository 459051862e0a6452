"""Secrets of OAuth 2 and those kept outside stay where they belong: a canary of each is looked for in all that is said."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import grpc
import pytest

from mailsync_grpc.cli.demo.loopback import PASSWORD
from mailsync_grpc.v1 import account_pb2, event_service_pb2, system_service_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.house import REDIRECT, House, housed
from tests.support.oauth_server import Reply
from tests.support.service import Stubs, wait_for


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with housed(MAILSYNC_LOG_LEVEL="debug") as made:
        yield made


def failed(call: Any, request: Any) -> str:
    """Return all that the failure of a call carries."""
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    error: Any = caught.value
    return f"{error.details()} {error.trailing_metadata()} {error.debug_error_string()}"


def refusals(house: House, stubs: Stubs) -> str:
    """Fail with each secret in hand, at an endpoint that says all of them back."""
    provider = house.provider

    def say_back(form: dict[str, str]) -> Reply:
        provider.secrets |= {form["code_verifier"]} if "code_verifier" in form else set()
        return Reply(400, f'{{"error": "{" ".join(form.values())}"}}'.encode())

    provider.spoil = say_back
    begun = stubs.accounts.BeginAuthorization(
        pb.BeginAuthorizationRequest(provider="house", redirect_uri=REDIRECT)
    )
    back = provider.browse(begun.authorization_url)
    complete = pb.CompleteAuthorizationRequest(state=back["state"], code=back["code"])
    said = failed(stubs.accounts.CompleteAuthorization, complete)
    create = pb.CreateAccountRequest(account=house.account(house.oauth("bert")))
    said += failed(stubs.accounts.CreateAccount, create)
    provider.spoil = lambda _form: None
    wrong = account_pb2.OAuthAuth(username="bert", access_token=provider.secret("wrong"))
    create = pb.CreateAccountRequest(account=house.account(account_pb2.AccountAuth(oauth=wrong)))
    return said + failed(stubs.accounts.CreateAccount, create)


def used(house: House, stubs: Stubs) -> str:
    """Use every kind of credentials well, let one end badly, and return what accounts show of themselves."""
    house.provider.lifetime = 1
    completed = house.authorize(stubs, "anna")
    auth = account_pb2.OAuthAuth(username="anna", authorization=completed.authorization)
    request = pb.CreateAccountRequest(
        account=house.account(account_pb2.AccountAuth(oauth=auth)), account_id="anna", request_id=str(uuid4())
    )
    stubs.finish(stubs.accounts.CreateAccount(request).sync_run)
    house.provider.secrets |= {completed.authorization}
    (house.secrets / "carl").write_text(PASSWORD)
    ref = account_pb2.SecretRefAuth(username="carl", ref="file:carl")
    house.create(stubs, "carl", account_pb2.AccountAuth(secret_ref=ref))
    house.create(stubs, "dora", house.oauth("dora"))
    house.provider.families[-1].revoked = True
    time.sleep(1.1)
    house.restart_mail()
    bad = account_pb2.ACCOUNT_STATE_AUTH_FAILED

    def ended() -> bool | None:
        stubs.accounts.StartSync(pb.StartSyncRequest(name="accounts/dora"))
        return (
            stubs.accounts.GetAccount(pb.GetAccountRequest(name="accounts/dora")).account.state == bad or None
        )

    wait_for(ended, 60, "the refusal")
    told = [stubs.accounts.ListAccounts(pb.ListAccountsRequest())]
    runs = stubs.accounts.ListSyncRuns(pb.ListSyncRunsRequest(parent="accounts/dora"))
    stats = stubs.system.GetStats(system_service_pb2.GetStatsRequest())
    return "\n".join(map(str, [*told, runs, stats]))


@pytest.fixture(scope="module")
def said(house: House) -> dict[str, str]:
    """Everything that was said while the service was used well and badly, by where it was said."""
    with Stubs(house.service.address) as stubs:
        failures, answers = refusals(house, stubs), used(house, stubs)
        events = str(stubs.events.GetEventLog(event_service_pb2.GetEventLogRequest(page_size=1_000)))
    with urlopen(house.service.metrics_url) as response:  # noqa: S310 - loopback, from the ready line
        scraped = response.read().decode()
    return {
        "failures": failures,
        "answers": answers,
        "events": events,
        "metrics": scraped,
        "log": house.service.log(),
    }


@pytest.mark.parametrize("where", ["failures", "answers", "events", "metrics", "log"])
def test_canary_secret(said: dict[str, str], house: House, where: str) -> None:
    assert said[where]
    canaries = house.provider.secrets | {PASSWORD}
    assert len(canaries) > 10
    assert not [secret for secret in canaries if secret in said[where]]


def test_nothing_of_it_is_readable_in_the_data_directory(said: dict[str, str], house: House) -> None:
    """Sealed rows only: tokens, secrets of clients, verifiers, codes; and the secret kept outside is nowhere."""
    assert said
    files = [path for path in (house.service.data / "data").rglob("*") if path.is_file()]
    stored = b"".join(path.read_bytes() for path in files if Path(path).name != "lock.mdb")
    # A recorded answer holds what was answered: an authorization, which means nothing once it was used.
    canaries = {secret for secret in house.provider.secrets if secret.startswith("canary-")} | {PASSWORD}
    assert not [secret for secret in canaries if secret.encode() in stored]

"""OAuth 2 from end to end: a user's consent, an account made of it, mail that is seen, tokens that processes share.

The service runs as users run it, the mail server is a Dovecot that asks the authorization server about each token, and the
authorization server, reached over TLS, revokes everything when a spent refresh token is shown again.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from mailsync_grpc.cli.demo.loopback import PASSWORD
from mailsync_grpc.v1 import account_pb2, content_service_pb2, event_service_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from mailsync_grpc.v1 import envelope_service_pb2 as envelope
from mailsync_grpc.v1 import folder_service_pb2 as folder
from tests.support.house import House, housed
from tests.support.mail import letters
from tests.support.service import Stubs, wait_for


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with housed() as made:
        yield made


@pytest.fixture
def stubs(house: House) -> Iterator[Stubs]:
    with Stubs(house.service.address) as made:
        yield made
    house.provider.user, house.provider.lifetime, house.provider.rotates = "anna", 3_600, True


def state_of(stubs: Stubs, account: str) -> account_pb2.Account:
    return stubs.accounts.GetAccount(pb.GetAccountRequest(name=account)).account


def inbox_of(stubs: Stubs, account: str) -> str:
    folders = stubs.folders.ListFolders(folder.ListFoldersRequest(parent=account)).folders
    return next(one.name for one in folders if one.path == "INBOX")


def sync_again(stubs: Stubs, account_id: str) -> None:
    """Sync after the mail server's restart, which the first run may learn of by failing."""
    with suppress(AssertionError):
        stubs.sync(account_id)
        return
    stubs.sync(account_id)


def changes_of(stubs: Stubs, account: str) -> int:
    """How often the account's clients were told of a change of it."""
    events = stubs.events.GetEventLog(event_service_pb2.GetEventLogRequest(page_size=1_000)).events
    return sum(event.account_changed.account.name == account for event in events)


def read_newest(stubs: Stubs, account: str) -> bytes:
    """Download the text of the account's newest message, which the API process fetches."""
    request = envelope.ListEnvelopesRequest(parent=inbox_of(stubs, account), page_size=1)
    name = stubs.envelopes.ListEnvelopes(request).envelopes[0].name
    what = content_service_pb2.DownloadContentRequest(name=name, kind=content_service_pb2.CONTENT_KIND_RAW)
    return b"".join(response.chunk for response in stubs.content.DownloadContent(what))


def test_a_consent_becomes_an_account_whose_new_mail_is_seen(house: House, stubs: Stubs) -> None:
    completed = house.authorize(stubs, "anna")
    auth = account_pb2.OAuthAuth(username="anna", authorization=completed.authorization)
    account = house.create(stubs, "anna", account_pb2.AccountAuth(oauth=auth))
    assert account.auth_kind == account_pb2.AUTH_KIND_OAUTH
    start = event_service_pb2.WatchEventsRequest(
        filter=event_service_pb2.EventFilter(accounts=[account.name]), now=event_service_pb2.StartNow()
    )
    stream = stubs.events.WatchEvents(start, timeout=60)
    next(stream)
    house.mail.deliver("anna", "INBOX", letters(1))
    stubs.sync("anna")
    arrived = (event for response in stream for event in response.events if event.HasField("envelope_added"))
    assert next(arrived).envelope_added.envelope.uid == 1
    stream.cancel()
    assert b"hello" in read_newest(stubs, account.name)


@pytest.mark.parametrize(
    ("user", "mechanism", "shown"), [("bert", 1, "method=XOAUTH2"), ("bert", 2, "method=OAUTHBEARER")]
)
def test_the_mechanism_is_the_callers_choice(
    house: House, stubs: Stubs, user: str, mechanism: int, shown: str
) -> None:
    before = house.mail.log().count(f"user=<{user}>, {shown}")
    house.create(stubs, f"{user}-{mechanism}", house.oauth(user, mechanism))
    assert house.mail.log().count(f"user=<{user}>, {shown}") > before


def test_token_expiry_in_several_processes(house: House, stubs: Stubs) -> None:
    """Tokens that end within seconds, at a provider that takes none twice: renewed once for all, and nobody is told."""
    house.provider.lifetime = 2
    house.mail.deliver("carl", "INBOX", letters(1))
    account = house.create(stubs, "carl", house.oauth("carl")).name
    family, told = house.provider.families[-1], changes_of(stubs, account)
    for _ in range(4):
        house.restart_mail()
        time.sleep(2.1)
        with ThreadPoolExecutor(4) as pool:
            reading = [pool.submit(read_newest, stubs, account) for _ in range(3)]
            sync_again(stubs, "carl")
            assert all(b"hello" in one.result() for one in reading)
    # Each round shows a token of a later renewal than the round before, and the first was had by CreateAccount.
    assert len(family.spent) >= 4
    assert not family.revoked
    assert changes_of(stubs, account) == told
    assert state_of(stubs, account).state == account_pb2.ACCOUNT_STATE_ACTIVE


def test_a_restart_goes_on_with_the_tokens_that_there_were(house: House, stubs: Stubs) -> None:
    account = house.create(stubs, "dora", house.oauth("dora")).name
    family = house.provider.families[-1]
    spent = len(family.spent)
    house.service.kill()
    house.service.start()
    with Stubs(house.service.address) as again:
        again.sync("dora")
        assert state_of(again, account).state == account_pb2.ACCOUNT_STATE_ACTIVE
    assert len(family.spent) == spent


def test_a_consent_that_was_revoked_is_given_anew(house: House, stubs: Stubs) -> None:
    house.provider.lifetime = 1
    account = house.create(stubs, "emil", house.oauth("emil")).name
    house.provider.families[-1].revoked = True
    time.sleep(1.1)
    house.restart_mail()
    stubs.accounts.StartSync(pb.StartSyncRequest(name=account))
    failed = account_pb2.ACCOUNT_STATE_AUTH_FAILED
    wait_for(lambda: state_of(stubs, account).state == failed or None, 60, "the refusal")
    assert "invalid_grant" in state_of(stubs, account).state_message
    house.provider.lifetime = 3_600
    assert house.authorize(stubs, "emil", account).account.state == account_pb2.ACCOUNT_STATE_ACTIVE
    stubs.sync("emil")
    assert state_of(stubs, account).state == account_pb2.ACCOUNT_STATE_ACTIVE


def test_a_consent_of_somebody_else_opens_no_mailbox(house: House, stubs: Stubs) -> None:
    account = house.create(stubs, "frida", house.oauth("frida")).name
    with pytest.raises(Exception, match="refused the login"):
        house.authorize(stubs, "anna", account)
    stubs.sync("frida")


def pushed(token: str, seconds: float) -> account_pb2.AccountAuth:
    auth = account_pb2.OAuthAuth(username="anna", access_token=token)
    auth.access_token_expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return account_pb2.AccountAuth(oauth=auth)


def test_an_access_token_of_the_callers_lasts_until_it_ends_and_the_next_one_resumes_at_once(
    house: House, stubs: Stubs
) -> None:
    began, lasts = time.monotonic(), 12.0
    account = house.create(stubs, "pushed", pushed(house.provider.grant(), lasts)).name
    time.sleep(max(0.0, began + lasts - time.monotonic()) + 0.1)
    house.restart_mail()
    stubs.accounts.StartSync(pb.StartSyncRequest(name=account))
    needed = account_pb2.ACCOUNT_STATE_CREDENTIALS_NEEDED
    wait_for(lambda: state_of(stubs, account).state == needed or None, 60, "the end of the token")
    assert "access token has ended" in state_of(stubs, account).state_message
    change = account_pb2.Account(name=account, auth=pushed(house.provider.grant(), 3_600))
    updated = stubs.accounts.UpdateAccount(pb.UpdateAccountRequest(account=change)).account
    assert updated.state == account_pb2.ACCOUNT_STATE_ACTIVE
    stubs.sync("pushed")


def test_a_secret_kept_outside_is_read_at_each_login(house: House, stubs: Stubs) -> None:
    secret = house.secrets / "anna"
    secret.write_text(f"{PASSWORD}\n")
    ref = account_pb2.SecretRefAuth(username="anna", ref="file:anna")
    account = house.create(stubs, "outside", account_pb2.AccountAuth(secret_ref=ref)).name
    secret.unlink()
    house.restart_mail()
    stubs.accounts.StartSync(pb.StartSyncRequest(name=account))
    needed = account_pb2.ACCOUNT_STATE_CREDENTIALS_NEEDED
    wait_for(lambda: state_of(stubs, account).state == needed or None, 60, "the missing secret")
    assert str(house.secrets) not in state_of(stubs, account).state_message
    assert "No such file" in house.service.log()
    secret.write_text(PASSWORD)
    stubs.accounts.ResumeAccount(pb.ResumeAccountRequest(name=account))
    stubs.sync("outside")
    assert state_of(stubs, account).auth_kind == account_pb2.AUTH_KIND_SECRET_REF

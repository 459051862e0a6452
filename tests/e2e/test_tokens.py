"""Logins with OAuth 2 tokens: renewed before they expire, once for all who ask, shown anew when a server refuses them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.errors import ImapAuthError, ImapUnreachableError
from mailsync_grpc.imap.auth import AccessToken
from mailsync_grpc.imap.grants import FRESH, MARGIN, Tokens
from mailsync_grpc.imap.oauth import Grant
from mailsync_grpc.imap.token_endpoint import renew
from mailsync_grpc.imap.tokens import MemoryShelf, Sight, TokenLogin, TokenSource
from mailsync_grpc.model.account import AccountState, SyncSettings
from tests.support.agreement import assert_agreed
from tests.support.hostile import LOGIN, HostileServer
from tests.support.hostile_faults import leaving
from tests.support.hostile_session import PLAIN
from tests.support.mirror import POLICY, Mirror, kinds
from tests.support.token_endpoint import TokenEndpoint

LIFETIME = 3_600.0


@dataclass
class Rig:
    """A mirror that logs in with tokens of an endpoint, at a server that takes every token granted until it forgets it."""

    server: HostileServer
    endpoint: TokenEndpoint
    mirror: Mirror
    source: TokenSource

    @property
    def logins(self) -> int:
        return len(self.server.sent(LOGIN))

    @property
    def state(self) -> AccountState:
        account = self.mirror.store.account("test")
        assert account is not None
        return account.state

    def expect(self, state: AccountState) -> None:
        assert self.state is state

    def revoke(self) -> None:
        """Let the server take no token that was granted until now."""
        self.server.mail.tokens.clear()


@pytest.fixture(params=["OAUTHBEARER", "XOAUTH2"])
def mechanism(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rig(mechanism: str) -> Iterator[Rig]:
    """A mirror of 30 messages, synced with its first token."""
    with (
        HostileServer(f"{PLAIN} AUTH={mechanism}") as server,
        TokenEndpoint(server.mail.tokens.add) as endpoint,
    ):
        mirror = Mirror(server.mailbox, SyncSettings(batch_size=10, flags_window=10))
        grant = Grant(endpoint.url, "client", scopes=("mail",))
        source = TokenSource(
            MemoryShelf(Tokens("id", "refresh")),
            lambda refresh_token: renew(grant, refresh_token, POLICY),
            Sight(mirror.clock, mirror.now),
        )
        mirror.login = TokenLogin(server.mailbox.user, source)
        server.mailbox.deliver(messages(30))
        mirror.settle()
        assert_agreed(mirror)
        yield Rig(server, endpoint, mirror, source)
        mirror.close()
        server.heal()


def test_token_expiry(rig: Rig) -> None:
    """A server ends the session when its token expires: a new token is had and shown at once, and nobody is told."""
    head, logins = rig.mirror.head, rig.logins
    rig.mirror.clock.skipped += LIFETIME
    rig.revoke()
    rig.server.once(b".", leaving(b"[EXPIRED] Session expired, please login again."))
    rig.server.mailbox.deliver(messages(1, seed=2))
    rig.mirror.settle()
    assert_agreed(rig.mirror)
    assert (rig.logins - logins, len(rig.endpoint.forms)) == (1, 2)
    assert rig.mirror.sync.backoff.failures == 0
    assert set(kinds(rig.mirror.events(head))) == {"envelope_added"}


def test_a_token_that_is_refused_before_its_end_is_renewed_and_shown_once_more(rig: Rig) -> None:
    head, logins = rig.mirror.head, rig.logins
    rig.mirror.clock.skipped += FRESH / 1_000
    rig.revoke()
    rig.mirror.sync.close()
    rig.server.mailbox.deliver(messages(1, seed=2))
    rig.mirror.poll()
    assert_agreed(rig.mirror)
    assert (rig.logins - logins, len(rig.endpoint.forms)) == (2, 2)
    assert rig.state is AccountState.ACTIVE
    assert set(kinds(rig.mirror.events(head))) == {"envelope_added"}


def test_the_refusal_is_acknowledged_as_the_mechanism_asks(rig: Rig, mechanism: str) -> None:
    rig.mirror.clock.skipped += FRESH / 1_000
    rig.revoke()
    rig.mirror.sync.close()
    rig.mirror.poll()
    acknowledgement = {"OAUTHBEARER": b"AQ==", "XOAUTH2": b""}[mechanism]
    refused = rig.server.received.index(b"AUTHENTICATE " + mechanism.encode(), 2)
    assert acknowledgement in rig.server.received[refused : refused + 2]


def test_a_server_that_refuses_every_token_is_not_hammered(rig: Rig) -> None:
    rig.mirror.clock.skipped += FRESH / 1_000
    logins = rig.logins
    rig.mirror.sync.close()
    for _ in range(10):
        rig.revoke()
        rig.endpoint._granted = lambda _token: None
        rig.mirror.poll()
    assert rig.state is AccountState.AUTH_FAILED
    assert (rig.logins - logins, len(rig.endpoint.forms)) == (2, 2)


def test_a_token_is_renewed_before_its_end(rig: Rig) -> None:
    rig.mirror.clock.skipped += LIFETIME - MARGIN / 1_000 - 1
    assert rig.source.token() == "token1"
    rig.mirror.clock.skipped += 2
    assert rig.source.token() == "token2"
    assert rig.endpoint.forms[1] == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["refresh"],
        "client_id": ["client"],
        "scope": ["mail"],
    }


def test_setting_the_machines_clock_expires_no_token(rig: Rig) -> None:
    rig.mirror.wall_set = 86_400.0
    for _ in range(3):
        rig.mirror.sync.close()
        rig.mirror.poll()
    assert len(rig.endpoint.forms) == 1


@pytest.mark.parametrize("fault", ["", "temporarily_unavailable"])
def test_threads_that_ask_at_once_share_one_request(rig: Rig, fault: str) -> None:
    rig.mirror.clock.skipped += LIFETIME
    rig.endpoint.hold.clear()
    rig.endpoint.fault, rig.endpoint.status = fault, 503 if fault else 200
    began = threading.Barrier(9)

    def ask(_number: int) -> str:
        began.wait()
        try:
            return rig.source.token()
        except ImapUnreachableError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(ask, range(8))
        began.wait()
        threading.Timer(0.2, rig.endpoint.hold.set).start()
        answers = set(asked)
    assert len(answers) == 1
    assert len(rig.endpoint.forms) == 2


def test_a_refused_grant_stops_the_account_and_an_endpoint_out_of_order_does_not(rig: Rig) -> None:
    rig.mirror.clock.skipped += LIFETIME
    rig.endpoint.fault, rig.endpoint.status = "temporarily_unavailable", 503
    for _ in range(4):
        rig.mirror.sync.close()
        rig.mirror.poll()
    rig.expect(AccountState.UNREACHABLE)
    rig.endpoint.fault, rig.endpoint.status = "invalid_grant", 400
    rig.mirror.clock.skipped += 600
    rig.mirror.poll()
    rig.expect(AccountState.AUTH_FAILED)
    account = rig.mirror.store.account("test")
    assert account is not None
    assert "invalid_grant" in account.state_message
    rig.endpoint.fault, rig.endpoint.status = "", 200
    rig.mirror.clock.skipped += 1_000
    rig.mirror.poll()
    rig.expect(AccountState.ACTIVE)


@pytest.mark.parametrize("mechanism", ["PLAIN"])
def test_a_server_without_token_logins_is_told_so(mechanism: str) -> None:
    with HostileServer(f"{PLAIN} AUTH={mechanism}") as server:
        mirror = Mirror(server.mailbox)
        mirror.login = lambda attempt: attempt(AccessToken("ann", "x"))
        mirror.settle()
        account = mirror.store.account("test")
        assert account is not None
        assert (account.state, account.state_reason) == (AccountState.AUTH_FAILED, ImapAuthError.reason)
        mirror.close()

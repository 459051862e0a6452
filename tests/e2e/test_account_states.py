"""An account's state: why it is as it is and since when, one event for each change, and back at once when it is mended."""

import imaplib
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest

from mailsync_grpc.cli.demo.certificates import make_certificates
from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.loopback import PASSWORD
from mailsync_grpc.cli.demo.second_client import connect
from mailsync_grpc.v1 import account_pb2, errors_pb2, event_service_pb2, folder_service_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.cli import USER, Stage
from tests.support.service import Service, Stubs, running, wait_for

NAME = "accounts/work"
ACTIVE = account_pb2.ACCOUNT_STATE_ACTIVE
AUTH_FAILED = account_pb2.ACCOUNT_STATE_AUTH_FAILED
UNREACHABLE = account_pb2.ACCOUNT_STATE_UNREACHABLE
NEEDED = account_pb2.ACCOUNT_STATE_CREDENTIALS_NEEDED
AT_ONCE = 20.0
"""Seconds: far below the quarter of an hour that refused credentials wait, and enough for a busy machine."""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A service that mirrors an empty mailbox as `work`."""
    with DovecotServer((USER,)) as server, running(Service(tmp_path / "home")) as service:
        staged = Stage(service, server)
        added = staged.add("work", "--poll-interval", "10")
        assert added.returncode == 0, added.stderr
        yield staged


@pytest.fixture
def stubs(stage: Stage) -> Iterator[Stubs]:
    with Stubs(stage.service.address) as made:
        yield made


def account(stubs: Stubs) -> account_pb2.Account:
    return stubs.accounts.GetAccount(pb.GetAccountRequest(name=NAME)).account


def await_state(stubs: Stubs, state: int, seconds: float = 60.0) -> account_pb2.Account:
    def there() -> account_pb2.Account | None:
        found = account(stubs)
        return found if found.state == state else None

    return wait_for(there, seconds, f"state {state}")


def states(stubs: Stubs) -> list[tuple[int, int]]:
    """What events told of the state: each state with the number of events in a row that told it with its reason."""
    request = event_service_pb2.GetEventLogRequest(page_size=1_000)
    told = [
        (one.account_changed.account.state, one.account_changed.account.state_reason)
        for one in stubs.events.GetEventLog(request).events
        if one.HasField("account_changed")
    ]
    return [(state, len(list(group))) for (state, _), group in groupby(told)]


def renew(stubs: Stubs, password: str, ca_pem: str = "") -> account_pb2.Account:
    change = account_pb2.Account(name=NAME)
    change.auth.password.username, change.auth.password.password = USER, password
    request = pb.UpdateAccountRequest(account=change)
    request.update_mask.paths.append("auth")
    if ca_pem:
        change.imap.tls.ca_pem = ca_pem
        request = pb.UpdateAccountRequest(account=change)
        request.update_mask.paths.extend(["auth", "imap.tls.ca_pem"])
    return stubs.accounts.UpdateAccount(request).account


def await_mail(stubs: Stubs, count: int) -> None:
    def stored() -> bool | None:
        listed = stubs.folders.ListFolders(folder_service_pb2.ListFoldersRequest(parent=NAME)).folders
        return any(folder.counts.stored == count for folder in listed if folder.path == "INBOX") or None

    wait_for(stored, AT_ONCE, f"{count} stored messages")


def deliver(stage: Stage, password: str = PASSWORD) -> None:
    stage.server.deliver(USER, "INBOX", [b"Subject: x\r\n\r\nx\r\n"])
    set_password(stage, password)


def set_password(stage: Stage, password: str) -> None:
    (stage.server.directory / "users").write_text(f"{USER}:{password}\n")

    def taken() -> bool | None:
        """Dovecot looks at the file once a second."""
        with suppress(imaplib.IMAP4.error), connect(stage.server.host, stage.server.port, USER, password):
            return True
        return None

    wait_for(taken, AT_ONCE, "the new password")


def log_in_anew(stage: Stage, stubs: Stubs) -> None:
    stubs.accounts.PauseAccount(pb.PauseAccountRequest(name=NAME))

    def closed() -> bool | None:
        with urlopen(stage.service.metrics_url) as response:  # noqa: S310 - loopback, from the ready line
            return re.search(rb"^mailsync_imap_connections 0\.0$", response.read(), re.MULTILINE) and True

    wait_for(closed, AT_ONCE, "the end of the connection")
    stubs.accounts.ResumeAccount(pb.ResumeAccountRequest(name=NAME))


def test_refused_credentials_are_told_once_and_new_ones_are_used_at_once(stage: Stage, stubs: Stubs) -> None:
    began = time.time()
    deliver(stage, "changed")
    log_in_anew(stage, stubs)
    failed = await_state(stubs, AUTH_FAILED)
    assert failed.state_reason == errors_pb2.ERROR_REASON_IMAP_AUTH_FAILED
    assert failed.state_message
    assert failed.state_since.ToMilliseconds() / 1_000 >= began - 1
    with pytest.raises(grpc.RpcError):
        renew(stubs, "still wrong")
    assert account(stubs) == failed
    assert renew(stubs, "changed").state == ACTIVE
    await_mail(stubs, 1)
    mended = account(stubs)
    assert (mended.state, mended.state_reason, mended.state_message) == (ACTIVE, 0, "")
    assert mended.state_since.ToMilliseconds() > failed.state_since.ToMilliseconds()
    assert states(stubs)[-2:] == [(AUTH_FAILED, 1), (ACTIVE, 1)]


def test_a_server_that_is_away_is_told_once_and_taken_up_by_itself(stage: Stage, stubs: Stubs) -> None:
    stage.server.stop()
    away = await_state(stubs, UNREACHABLE)
    assert "cannot be reached" in away.state_message
    stage.server.start()
    await_state(stubs, ACTIVE)
    assert states(stubs)[-2:] == [(UNREACHABLE, 1), (ACTIVE, 1)]


def test_a_certificate_that_is_not_trusted_any_more_is_named_and_mended_at_once(
    stage: Stage, stubs: Stubs
) -> None:
    deliver(stage)
    stage.server.stop()
    authority = make_certificates(stage.server.directory).ca_file.read_text()
    stage.server.start()
    refused = await_state(stubs, UNREACHABLE)
    assert "imap.tls.ca_pem" in refused.state_message
    assert renew(stubs, PASSWORD, authority).state == ACTIVE
    await_mail(stubs, 1)
    assert states(stubs)[-2:] == [(UNREACHABLE, 1), (ACTIVE, 1)]


def test_credentials_that_cannot_be_read_are_asked_for_and_used_at_once(stage: Stage) -> None:
    assert stage.service.stop() == 0
    deliver(stage)
    for name in ("master.key", "master.check"):
        (stage.service.data / "data" / name).unlink()
    stage.service.start()
    with Stubs(stage.service.address) as stubs:
        needed = await_state(stubs, NEEDED)
        assert "UpdateAccount" in needed.state_message
        assert renew(stubs, PASSWORD).state == ACTIVE
        await_mail(stubs, 1)
        assert states(stubs)[-2:] == [(NEEDED, 1), (ACTIVE, 1)]

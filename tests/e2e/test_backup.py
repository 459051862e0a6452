"""`mailsync backup` beside a running service, and a service on what it made."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.v1 import account_pb2, folder_service_pb2
from mailsync_grpc.v1 import account_service_pb2 as pb
from tests.support.cli import USER, Stage, mailsync
from tests.support.service import Service, Stubs, running, wait_for

MAILS = [f"Subject: Message {number}\r\n\r\nx\r\n".encode() for number in range(5)]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A service that mirrors account `work`."""
    with tempfile.TemporaryDirectory() as data, DovecotServer((USER,)) as server:
        server.deliver(USER, "INBOX", MAILS)
        with running(Service(Path(data))) as service:
            staged = Stage(service, server)
            assert staged.add("work").returncode == 0
            yield staged


def backed_up(stage: Stage, data: Path) -> Service:
    """A service, not started yet, on a backup of the stage's store."""
    source, copy = stage.service.data / "data", Service(data)
    done = stage.try_("backup", str(data / "data"), environment={"MAILSYNC_DATA_DIR": str(source)})
    assert done.returncode == 0, done.stderr
    assert "1 account, " in done.stdout
    for left_out in ("the master key", "the content cache"):
        assert f"Not in it: {left_out}" in done.stdout
    assert [path.name for path in (data / "data").iterdir()] == ["store"]
    return copy


def resume_token(stage: Stage) -> str:
    with Stubs(stage.service.address) as stubs:
        request = folder_service_pb2.ListFoldersRequest(parent="accounts/work")
        return stubs.folders.ListFolders(request).resume_token


def watched(service: Service, token: str) -> str:
    """The reason for which a watch from a token is refused."""
    done = mailsync("watch", "--since", token, environment={"MAILSYNC_ADDRESS": service.address})
    return done.stderr.partition(":")[0]


def test_restore_backup_changes_epoch(stage: Stage, tmp_path: Path) -> None:
    """Tokens of the store before are refused by name; with the master key beside it the mirror simply goes on."""
    token = resume_token(stage)
    copy = backed_up(stage, tmp_path)
    shutil.copy(stage.service.data / "data" / "master.key", tmp_path / "data")
    with running(copy):
        assert watched(copy, token) == "STORE_EPOCH_CHANGED"
        with Stubs(copy.address) as stubs:
            stubs.sync("work", full=True)


def test_a_backup_without_the_master_key_keeps_the_metadata_and_asks_for_credentials(
    stage: Stage, tmp_path: Path
) -> None:
    copy = backed_up(stage, tmp_path)
    with running(copy), Stubs(copy.address) as stubs:
        account = pb.GetAccountRequest(name="accounts/work")

        def needed() -> bool | None:
            state = stubs.accounts.GetAccount(account).account.state
            return state == account_pb2.ACCOUNT_STATE_CREDENTIALS_NEEDED or None

        wait_for(needed, 30.0, "CREDENTIALS_NEEDED")
        there = Stage(copy, stage.server).objects("envelopes", "work", "INBOX")
    assert len(there) == len(MAILS)


def test_a_backup_says_for_programs_what_it_made(stage: Stage, tmp_path: Path) -> None:
    environment = {"MAILSYNC_DATA_DIR": str(stage.service.data / "data")}
    done = stage.try_("backup", str(tmp_path / "copy"), "--json", environment=environment)
    made = json.loads(done.stdout)
    assert (made["directory"], made["accounts"]) == (str(tmp_path / "copy"), 1)
    assert made["octets"] == (tmp_path / "copy" / "store" / "data.mdb").stat().st_size
    assert len(made["storeEpoch"]) == 32

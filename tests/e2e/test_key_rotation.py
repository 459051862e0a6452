"""`mailsync key rotate` beside a running service: it goes on logging in, and clients go on where they were."""

import os
import signal
import tempfile
from pathlib import Path

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.v1 import account_pb2, account_service_pb2, event_service_pb2, folder_service_pb2
from tests.support.cli import USER, Stage
from tests.support.service import Service, Stubs, running, wait_for

MAIL = b"Subject: hello\r\n\r\nx\r\n"


def last_worker(service: Service) -> int:
    """The pid of the one sync worker."""
    assert service.process is not None
    tasks = Path(f"/proc/{service.process.pid}/task").glob("*/children")
    found = [int(pid) for each in tasks for pid in each.read_text("ascii").split()]
    return max(pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())


def active(service: Service) -> bool | None:
    with Stubs(service.address) as stubs:
        account = stubs.accounts.GetAccount(account_service_pb2.GetAccountRequest(name="accounts/work"))
        return account.account.state == account_pb2.ACCOUNT_STATE_ACTIVE or None


def test_a_running_service_takes_over_a_new_master_key() -> None:
    with tempfile.TemporaryDirectory() as data, DovecotServer((USER,)) as server:
        server.deliver(USER, "INBOX", [MAIL])
        with running(Service(Path(data))) as service, Stubs(service.address) as stubs:
            stage = Stage(service, server)
            assert stage.add("work").returncode == 0
            listed = stubs.folders.ListFolders(folder_service_pb2.ListFoldersRequest(parent="accounts/work"))
            before = (service.data / "data" / "master.key").read_bytes()
            environment = {"MAILSYNC_DATA_DIR": str(service.data / "data")}
            done = stage.run("key", "rotate", environment=environment)
            assert "1 account sealed under the new key" in done.stdout
            assert (service.data / "data" / "master.key").read_bytes() != before
            # The next worker logs in anew, with what was sealed anew.
            os.kill(last_worker(service), signal.SIGKILL)
            server.deliver(USER, "INBOX", [MAIL])
            stubs.sync("work")
            assert stage.add("spare").returncode == 0
            service.stop()
            service.start()
            with Stubs(service.address) as again:
                again.sync("work")
                again.sync("spare")
                request = event_service_pb2.GetEventLogRequest(resume_token=listed.resume_token)
                request.filter.accounts.append("accounts/work")
                assert again.events.GetEventLog(request).events, "tokens of before are good"
            wait_for(lambda: active(service), 30.0, "the account to be active")

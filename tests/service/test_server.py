"""The server as a process: its ready line, its metrics, its workers, and how it stops."""

import asyncio
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from mailsync_grpc.config import Config
from mailsync_grpc.server.supervisor import Supervisor, pause, verdict
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.v1 import account_pb2, account_service_pb2, event_service_pb2, system_service_pb2
from tests.support.cli import mailsync
from tests.support.service import Service, Stubs, running, wait_for

PATIENCE = 30.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for the tests that leave it as it was."""
    with running(Service(tmp_path_factory.mktemp("service"))) as started:
        yield started


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not waited for does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    return False


def children(pid: int) -> list[int]:
    """Worker processes of a server, whichever of its threads started them."""
    found = " ".join(each.read_text("ascii") for each in Path(f"/proc/{pid}/task").glob("*/children")).split()
    return [int(each) for each in found if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def test_the_metrics_of_all_processes_are_what_prometheus_wants(service: Service) -> None:
    with Stubs(service.address) as stubs:
        stubs.system.GetServerInfo(system_service_pb2.GetServerInfoRequest())
        with pytest.raises(grpc.RpcError):
            stubs.accounts.GetAccount(account_service_pb2.GetAccountRequest(name="accounts/none"))
    counted = re.compile(r'^grpc_server_handled_total\{grpc_code="NOT_FOUND".*GetAccount', re.MULTILINE)
    wait_for(lambda: counted.search(service.scrape()), PATIENCE, "the failed call to be counted")
    shown = service.scrape()
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=shown, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    for name in ("mailsync_accounts", "mailsync_event_log_head_revision", "mailsync_content_cache_hit_ratio"):
        assert name in shown
    for first in (
        'mailsync_event_log_dropped_total{cause="size"} 0.0',
        'mailsync_sync_brake_looks_total{result="held"} 0.0',
        'mailsync_changes_total{kind="move",outcome="unknown"} 0.0',
        'mailsync_changes_waiting{state="begun"} 0.0',
    ):
        assert first in shown, "an increase from nothing to the first one would not be seen"


def test_the_lag_of_open_streams_is_shown_by_the_label_they_gave(service: Service) -> None:
    with Stubs(service.address) as stubs:
        request = event_service_pb2.WatchEventsRequest(
            oldest=event_service_pb2.StartOldest(), label="billing"
        )
        stream = stubs.events.WatchEvents(request)
        next(stream)
        shown = service.scrape()
        stream.cancel()
    assert 'mailsync_watch_label_streams{label="billing"} 1.0' in shown
    assert 'mailsync_watch_stream_lag_revisions{label="billing"} 0.0' in shown
    assert 'mailsync_watch_stream_lag_seconds{label="billing"} 0.0' in shown
    assert "mailsync_watch_streams_limit 10000.0" in shown
    assert "mailsync_event_log_limit_age_seconds 604800.0" in shown


def test_double_start(service: Service) -> None:
    assert service.process is not None
    data = str(service.data / "data")
    second = mailsync("serve", "--data-dir", data, "--listen", "127.0.0.1:0", "--metrics", "off")
    assert second.returncode == 1
    assert str(service.process.pid) in second.stderr
    assert "Traceback" not in second.stderr
    assert "grpc_server_started_total" in service.scrape()


@pytest.mark.parametrize("listen", ["unix:/none/such/api.sock", "127.0.0.1:1"], ids=["no directory", "taken"])
def test_an_address_that_cannot_be_listened_on_is_named(
    tmp_path: Path, service: Service, listen: str
) -> None:
    listen = service.address if listen.endswith(":1") else listen
    refused = mailsync("serve", "--data-dir", str(tmp_path), "--listen", listen, "--metrics", "off")
    assert refused.returncode == 2
    said = [line for line in refused.stderr.splitlines() if "master key made" not in line]
    assert len(said) == 1, refused.stderr
    assert f"listen={listen}" in said[0]


def test_worker_killed(service: Service) -> None:
    assert service.process is not None
    (worker,) = children(service.process.pid)
    os.kill(worker, signal.SIGKILL)
    pid = service.process.pid
    wait_for(lambda: next((each for each in children(pid) if each != worker), None), PATIENCE, "a new worker")
    assert 'mailsync_worker_restarts_total{cause="died"} 1.0' in service.scrape()


def test_a_killed_server_takes_its_workers_along(tmp_path: Path) -> None:
    with running(Service(tmp_path / "service")) as service:
        assert service.process is not None
        workers = children(service.process.pid)
        assert workers
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
        wait_for(lambda: None if any(map(alive, workers)) else True, PATIENCE, "the workers' end")


def test_a_stopped_server_says_goodbye_and_ends_well(tmp_path: Path) -> None:
    with running(Service(tmp_path / "service")) as service, Stubs(service.address) as stubs:
        assert service.process is not None
        workers = children(service.process.pid)
        stream = stubs.events.WatchEvents(event_service_pb2.WatchEventsRequest())
        next(stream)
        service.process.send_signal(signal.SIGTERM)
        assert next(stream).goodbye.reason == event_service_pb2.GOODBYE_REASON_DRAINING
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert service.process.wait(PATIENCE) == 0
        assert not any(map(alive, workers))
        assert not list((service.data / "data" / "run").iterdir())


def test_a_login_that_is_never_answered_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        running(Service(tmp_path / "service")) as service,
        Stubs(service.address) as stubs,
    ):
        assert service.process is not None
        request = account_service_pb2.CreateAccountRequest()
        request.account.imap.host, request.account.imap.port = listener.getsockname()
        request.account.imap.security = account_pb2.IMAP_SECURITY_PLAINTEXT
        request.account.auth.password.username = request.account.auth.password.password = "ann"
        call = stubs.accounts.CreateAccount.future(request)
        mail_server, _ = listener.accept()
        with mail_server:
            mail_server.sendall(b"* OK ready\r\n")
            assert mail_server.recv(1_000), "it asks, and no answer comes for as long as a command may take"
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(12) == 0
        assert call.exception() is not None


async def test_worker_hung(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path / "data", metrics="off")
    store = open_store(config.data_dir, exclusive=True, max_bytes=config.store.max_bytes)
    supervisor = Supervisor(config, hung_after=2.0)
    await supervisor.start()
    try:
        (worker,) = supervisor.pids
        async with asyncio.timeout(PATIENCE):
            while not supervisor.alive:  # noqa: ASYNC110 - it is another process's doing
                await asyncio.sleep(0.05)
            os.kill(worker, signal.SIGSTOP)
            while supervisor.pids in ([worker], []):  # noqa: ASYNC110 - it is another process's doing
                await asyncio.sleep(0.05)
        assert not alive(worker)
    finally:
        await supervisor.stop()
        store.close()
    assert supervisor.alive == 0


def test_a_worker_is_replaced_when_it_died_or_was_silent_too_long() -> None:
    assert verdict(alive=False, silent=0.0, patience=10.0) == "died"
    assert verdict(alive=True, silent=10.1, patience=10.0) == "hung"
    assert verdict(alive=True, silent=9.9, patience=10.0) == ""


def test_a_worker_that_keeps_dying_is_started_ever_later() -> None:
    pauses = [pause(failures) for failures in range(1, 10)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.5, 30.0)

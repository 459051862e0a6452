"""`mailsync serve` as a process group of its own that a test may kill and start again on the same data."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import grpc

from mailsync_grpc.v1 import (
    account_pb2,
    account_service_pb2,
    account_service_pb2_grpc,
    content_service_pb2_grpc,
    envelope_service_pb2_grpc,
    folder_service_pb2_grpc,
    sync_run_pb2,
    system_service_pb2_grpc,
)
from tests.support.checked import blocking_events_stub, served
from tests.support.mail import AnyMailbox
from tests.support.stream_history import History

T = TypeVar("T")
_READY = re.compile(r"grpc (\S+?),? .*?(http://\S+)?$", re.MULTILINE)
START_SECONDS = 30.0


@dataclass(slots=True)
class Service:
    """A service on ephemeral loopback ports; `data` outlives its restarts. `environment` adds settings.

    `history` is what its streams told, over all restarts. While it is down, nobody else is given its port.
    """

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    address: str = ""
    metrics_url: str = ""
    history: History = field(default_factory=History)
    _port: socket.socket | None = None

    def start(self) -> None:
        """Start and wait for the line that tells the addresses."""
        self.data.mkdir(exist_ok=True)
        log, ready = self.data / "log", self.data / "ready"
        settings = {
            "MAILSYNC_DATA_DIR": str(self.data / "data"),
            "MAILSYNC_LISTEN": self.address or "127.0.0.1:0",
            "MAILSYNC_METRICS": "127.0.0.1:0",
            "MAILSYNC_IMAP__ALLOW_NETWORKS": "127.0.0.0/8",
            "MAILSYNC_IMAP__ALLOW_PLAINTEXT": "true",
            "MAILSYNC_CONTENT__MAX_DISK_USE": "1",  # whatever the developer's disk holds
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAILSYNC_")}
        with ready.open("wb") as out, log.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mailsync_grpc.cli", "serve"],
                env=environment | settings | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        line = wait_for(lambda: self._ready_line(ready), START_SECONDS, "the ready line")
        self.address, self.metrics_url = line
        served[self.address] = self.history
        self.give_port_back()

    def _ready_line(self, ready: Path) -> tuple[str, str] | None:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        found = _READY.search(ready.read_text("utf-8"))
        return (found[1], found[2]) if found else None

    def scrape(self) -> str:
        """What Prometheus is told."""
        with urllib.request.urlopen(self.metrics_url) as answer:  # noqa: S310 - the address it printed itself
            return str(answer.read().decode())

    def log(self) -> str:
        """Return what the service logged."""
        return (self.data / "log").read_text("utf-8", "replace")

    def kill(self) -> None:
        """SIGKILL the service and its workers."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._hold_port()

    def _hold_port(self) -> None:
        """Bind the port without listening: the service itself may still take it, a port of the system's choice it is not."""
        if self.address and self._port is None:
            self._port = socket.socket()
            self._port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            host, _, port = self.address.rpartition(":")
            self._port.bind((host, int(port)))

    def give_port_back(self) -> None:
        """Let anyone have the port."""
        if self._port is not None:
            self._port.close()
            self._port = None

    def stop(self) -> int:
        """SIGTERM the service; return its exit status."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            self.kill()


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """The service while the block runs."""
    service.start()
    try:
        yield service
    finally:
        service.kill()
        service.give_port_back()


class Stubs:
    """Blocking stubs of every service over one channel. Every stream is checked; see `checked`."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self.history = served.get(address) or History()
        self.accounts = account_service_pb2_grpc.AccountServiceStub(self.channel)
        self.folders = folder_service_pb2_grpc.FolderServiceStub(self.channel)
        self.envelopes = envelope_service_pb2_grpc.EnvelopeServiceStub(self.channel)
        self.content = content_service_pb2_grpc.ContentServiceStub(self.channel)
        self.events = blocking_events_stub(self.channel, self.history)
        self.system = system_service_pb2_grpc.SystemServiceStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self.history.settle()

    def register(
        self, mailbox: AnyMailbox, account_id: str, sync: account_pb2.SyncSettings | None = None
    ) -> str:
        """Create an account for the mailbox; return the name of its first sync run."""
        request = account_service_pb2.CreateAccountRequest(
            account_id=account_id,
            account=account_pb2.Account(
                imap=account_pb2.ImapEndpoint(
                    host=mailbox.host, port=mailbox.port, security=account_pb2.IMAP_SECURITY_PLAINTEXT
                ),
                auth=account_pb2.AccountAuth(
                    password=account_pb2.PasswordAuth(username=mailbox.user, password=mailbox.password)
                ),
                sync=sync,
            ),
        )
        return self.accounts.CreateAccount(request).sync_run

    def sync(self, account_id: str, *, full: bool = False) -> None:
        """Ask for a sync and wait until it succeeded."""
        request = account_service_pb2.StartSyncRequest(name=f"accounts/{account_id}", full=full)
        self.finish(self.accounts.StartSync(request).sync_run.name)

    def finish(self, run: str, seconds: float = 60.0) -> sync_run_pb2.SyncRun:
        """Wait for the end of a run, which must be success."""

        def ended() -> sync_run_pb2.SyncRun | None:
            record = self.accounts.GetSyncRun(account_service_pb2.GetSyncRunRequest(name=run)).sync_run
            return record if record.state >= sync_run_pb2.SYNC_RUN_STATE_SUCCEEDED else None

        record = wait_for(ended, seconds, f"the end of {run}")
        assert record.state == sync_run_pb2.SYNC_RUN_STATE_SUCCEEDED, record
        return record


def wait_for(look: Callable[[], T | None], seconds: float, what: str) -> T:
    """Return what `look` returns once it is not None; an AssertionError naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(0.05)

"""The programs of the scenario: the real server, and one mirror for each client, each a process that may be killed."""

import base64
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mailsync_grpc.store.lmdb import open_store

_HOST = "127.0.0.1"
_STOP_SECONDS = 15
# The log keeps what is younger than an hour whatever it is told.
_LATER_SECONDS = 2 * 3600
_TRIMMED_AT_ONCE = 1000
# A slow program runs for a fifth of the time.
_RUN_SECONDS, _HALT_SECONDS = 0.05, 0.2


def end(process: subprocess.Popen[str]) -> None:
    """Ask a process to stop, and make it."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Server:
    """`mailsync serve` over a data directory, always on the same port; killed and started as the scenario wishes."""

    def __init__(self, directory: Path) -> None:
        with socket.create_server((_HOST, 0)) as free:
            self.port = int(free.getsockname()[1])
        self.address = f"{_HOST}:{self.port}"
        self.data_dir = directory / "data"
        self._log = directory / "server.log"
        self._environment = {
            **os.environ,
            # The same key whatever becomes of the data directory: a store made anew must be told by its store_epoch.
            "MAILSYNC_MASTER_KEY": base64.b64encode(bytes(range(32))).decode("ascii"),
            "MAILSYNC_IMAP__ALLOW_NETWORKS": f"{_HOST}/32",
            "MAILSYNC_IMAP__ALLOW_PLAINTEXT": "true",
        }
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start; callers wait until it answers."""
        command = [sys.executable, "-m", "mailsync_grpc.cli", "serve", "--data-dir", str(self.data_dir)]
        command += ["--listen", self.address, "--metrics", "off"]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, text=True, start_new_session=True
            )

    def kill(self) -> None:
        """End it as a power cut would: no goodbye, nothing flushed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ask it to stop, as an operator would."""
        if self._process is not None:
            end(self._process)

    def compact(self) -> None:
        """Drop every event there is, as days of time would, beside the running server."""
        with closing(
            open_store(self.data_dir, exclusive=False, clock=lambda: time.time() + _LATER_SECONDS)
        ) as store:
            while store.trim_log(0, 0, _TRIMMED_AT_ONCE).more:
                pass

    def log(self) -> str:
        """Its last words."""
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-40:])


@dataclass(frozen=True, slots=True)
class Program:
    """A client's mirror program: its name, and the command that starts it without options."""

    name: str
    command: tuple[str, ...]

    @classmethod
    def parse(cls, argument: str) -> "Program":
        """`NAME=COMMAND WITH ARGUMENTS`."""
        name, _, command = argument.partition("=")
        return cls(name, tuple(shlex.split(command)))


class MirrorProcess:
    """One client's mirror at work on its own state file."""

    def __init__(self, program: Program, address: str, account: str, directory: Path) -> None:
        self.name = program.name
        self._state = directory / f"{program.name}.json"
        self._command = [*program.command, "--address", address, "--account", account]
        self._log = directory / f"{program.name}.log"
        self._process: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self._changed = threading.Condition()
        self._last = ""

    def start(self) -> None:
        """Follow the account from where the state file stands."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*self._command, "--state", str(self._state)], stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        if self._process is not None and self._listener is not None:
            self._process.kill()
            self._process.wait()
            self._listener.join()

    def empty(self) -> None:
        """Take its state away; it is not running."""
        self._state.unlink(missing_ok=True)

    @contextmanager
    def slowed(self) -> Iterator[None]:
        """Let it be slow inside the `with` block: it is halted most of the time."""
        over = threading.Event()
        thread = threading.Thread(target=self._halt_often, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _halt_often(self, over: threading.Event) -> None:
        assert self._process is not None
        while not over.wait(_RUN_SECONDS):
            self._process.send_signal(signal.SIGSTOP)
            over.wait(_HALT_SECONDS)
            self._process.send_signal(signal.SIGCONT)

    def wait_for(self, state_hash: str, seconds: float) -> None:
        """Wait until it says that hash. AssertionError when it does not, with its last word."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._last != state_hash:
                left = deadline - time.monotonic()
                assert left > 0, f"{self.name} says {self._last or 'nothing'}, the server holds {state_hash}"
                self._changed.wait(left)

    def run_until_quiet(self, state: Path | None = None) -> str:
        """Run it to its own end, on its state file or another; the hash it says."""
        command = [*self._command, "--state", str(state or self._state), "--until-quiet"]
        with self._log.open("a") as log:
            said = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=log, text=True, timeout=60, check=True
            )
        return said.stdout.split()[-1]

    def log(self) -> str:
        """What it said beside its output."""
        return "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-20:])

    def interruptions(self) -> str:
        """Everything it said of interruptions."""
        return self._log.read_text("utf-8", "replace")

    def _listen(self, output: IO[str]) -> None:
        with output:
            for line in output:
                with self._changed:
                    self._last = line.split()[-1]
                    self._changed.notify_all()

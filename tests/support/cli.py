"""The command line as a program of its own, by itself or on a stage: a service that mirrors a real mailbox."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.loopback import PASSWORD
from tests.support.service import Service, wait_for

USER = "anna"


def mailsync(
    *arguments: str, environment: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command with the environment given, without the caller's own settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAILSYNC_")}
    return subprocess.run(
        [sys.executable, "-m", "mailsync_grpc.cli", *arguments],
        env=inherited | {"COLUMNS": "160"} | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=None if "input" in options else subprocess.DEVNULL,
        **options,
    )


@dataclass(frozen=True, slots=True)
class Watch:
    """A `mailsync watch` at work, whose output goes to files."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def responses(self) -> list[dict[str, Any]]:
        """Return the responses printed so far for programs; a line cut short by a kill is none."""
        return [json.loads(line) for line in self.out.read_bytes().splitlines(True) if line.endswith(b"\n")]

    def wait_for(self, text: str, *, beside: bool = False) -> None:
        """Wait until it has printed `text`, or said it `beside`."""
        file = self.err if beside else self.out

        def there() -> bool | None:
            assert self.process.poll() is None, self.err.read_text("utf-8")
            return text in file.read_text("utf-8", "replace") or None

        wait_for(there, 60.0, f"{text!r} of the watch")

    def kill(self) -> None:
        """SIGKILL it."""
        self.process.kill()
        self.process.wait()

    def interrupt(self) -> int:
        """Press Ctrl-C; return its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@dataclass(frozen=True, slots=True)
class Stage:
    """A service that mirrors account `work`, and the mail server behind it."""

    service: Service
    server: DovecotServer

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command against the service; it must succeed."""
        done = self.try_(*arguments, **options)
        assert done.returncode == 0, done.stderr + self.service.log()
        return done

    def try_(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command against the service, whatever comes of it."""
        environment = {"MAILSYNC_ADDRESS": self.service.address, "MAILSYNC_IMAP_PASSWORD": PASSWORD}
        return mailsync(*arguments, environment=environment | options.pop("environment", {}), **options)

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command prints for programs."""
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]

    @contextmanager
    def watch(self, directory: Path, *arguments: str) -> Iterator[Watch]:
        """A watch of the service while the block runs; its output is kept in `directory`."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAILSYNC_")}
        environment = {"MAILSYNC_ADDRESS": self.service.address, "COLUMNS": "160"}
        number = len(list(directory.glob("out-*")))
        out, err = directory / f"out-{number}", directory / f"err-{number}"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "mailsync_grpc.cli", "watch", *arguments],
                env=inherited | environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        watch = Watch(process, out, err)
        try:
            yield watch
        finally:
            watch.kill()

    def add(self, account_id: str, *more: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Add an account of the mail server, over TLS."""
        return self.try_(
            *(
                "account",
                "add",
                "--id",
                account_id,
                "--host",
                "localhost",
                "--port",
                str(self.server.tls_port),
            ),
            *("--username", USER, "--ca-file", str(self.server.certificates.ca_file), *more),
            **options,
        )

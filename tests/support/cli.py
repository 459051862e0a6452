"""The command line as a program of its own, by itself or on a stage: a service that mirrors a real mailbox."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.loopback import PASSWORD
from tests.support.service import Service

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

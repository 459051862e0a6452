"""The demo's mail server where there is no Dovecot: pymap, an IMAP server in Python with its mail in memory.

It has one user and no TLS, and stores no keywords; the rest of the demo works with it as with Dovecot.
"""

import imaplib
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.util import find_spec
from types import TracebackType
from typing import Self

from mailsync_grpc.cli.demo import second_client
from mailsync_grpc.cli.demo.loopback import HOST, PASSWORD, answers, free_ports
from mailsync_grpc.cli.demo.second_client import Delivery

_POLL_SECONDS = 0.02


class PymapMissingError(Exception):
    """pymap is not installed."""

    def __init__(self) -> None:
        super().__init__("pymap is missing. Install it with: pip install 'mailsync-grpc[demo]'")


class PymapFailedError(Exception):
    """pymap was started but does not serve."""


class PymapServer:
    """A pymap with one user whose password is ``PASSWORD``; it serves inside a ``with`` block."""

    def __init__(self, user: str) -> None:
        if find_spec("pymap") is None:
            raise PymapMissingError
        self.users = (user,)
        self.host = HOST
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout: float = 20.0) -> None:
        """Start with an empty INBOX and wait, for at most ``timeout`` seconds, until the port answers."""
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A Ctrl-C on the demo's terminal must reach the demo, which then stops its servers in order.
            start_new_session=True,
        )
        deadline = time.monotonic() + timeout
        while not answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PymapFailedError(f"pymap does not serve on port {self.port}")
            time.sleep(_POLL_SECONDS)

    def stop(self, timeout: float = 10.0) -> None:
        """Stop with all connections; killed when it has not ended after ``timeout`` seconds. Its mail is gone then."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _command(self) -> list[str]:
        program = [sys.executable, "-c", "from pymap.main import main; main()"]
        listening = ["--host", HOST, "--port", str(self.port), "--no-tls"]
        return [*program, *listening, "dict", "--demo-user", self.users[0], "--demo-password", PASSWORD]

    def connect(self, user: str) -> imaplib.IMAP4:
        """A connection of the second client, logged in; a context manager that logs out."""
        return second_client.connect(HOST, self.port, user, PASSWORD)

    def deliver(self, user: str, folder: str, messages: Iterable[bytes | Delivery]) -> int:
        """Store messages in an existing folder as ``user`` would, in their order; their number."""
        with self.connect(user) as client:
            return second_client.deliver(client, folder, messages)

"""The demo's service: `mailsync serve` as a process of its own on a free loopback port, with a data directory that goes with it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_READY = re.compile(r"(127\.0\.0\.1:[1-9][0-9]*)")
_POLL_SECONDS = 0.05
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0
_LOG_LINES = 20


class ServiceFailedError(Exception):
    """The service was started but does not serve; the message ends with its log."""


@contextmanager
def demo_service(directory: Path) -> Iterator[str]:
    """A service while the block runs, in an existing directory; its address. ServiceFailedError when it does not start."""
    process = _spawn(directory)
    try:
        yield _wait_until_ready(process, directory)
    finally:
        _stop(process)


def _spawn(directory: Path) -> subprocess.Popen[bytes]:
    # Settings of the user's own service, such as a token or another address, are none of the demo's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAILSYNC_")}
    environment |= {
        "MAILSYNC_DATA_DIR": str(directory / "data"),
        "MAILSYNC_LISTEN": "127.0.0.1:0",
        "MAILSYNC_METRICS": "off",
        "MAILSYNC_IMAP__ALLOW_NETWORKS": "127.0.0.0/8",
        "MAILSYNC_IMAP__ALLOW_PLAINTEXT": "true",
    }
    with (directory / "ready").open("wb") as ready, (directory / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "mailsync_grpc.cli", "serve"],
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=ready,
            stderr=log,
            # A Ctrl-C on the terminal must reach the demo alone, which then stops its servers in order.
            start_new_session=True,
        )


def _wait_until_ready(process: subprocess.Popen[bytes], directory: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        line, newline, _ = (directory / "ready").read_text("utf-8").partition("\n")
        found = _READY.search(line) if newline else None
        if found is not None:
            return found[1]
        if process.poll() is not None:
            raise ServiceFailedError(f"the service ended with {process.returncode}:\n{_tail(directory)}")
        if time.monotonic() > deadline:
            raise ServiceFailedError(
                f"the service is not ready after {_START_SECONDS:g} s:\n{_tail(directory)}"
            )
        time.sleep(_POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    # Its workers too, should it have left any: the group is its own.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(directory: Path) -> str:
    return "\n".join((directory / "log").read_text("utf-8", "replace").splitlines()[-_LOG_LINES:])

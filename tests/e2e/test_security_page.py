"""docs/security.md from its first command to its last, as someone would type them."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.service import wait_for

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SERVE = BLOCKS.index("mailsync serve\n")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a fresh shell knows, with the mailsync under test on its path."""
    command = tmp_path / "bin" / "mailsync"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mailsync_grpc.cli "$@"\n')
    command.chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAILSYNC_")}
    path = f"{command.parent}{os.pathsep}{inherited['PATH']}"
    project = str(Path(__file__).parents[2])
    return inherited | {"PATH": path, "PYTHONPATH": project, "MAILSYNC_METRICS": "off"}


def typed(blocks: list[str], port: int) -> str:
    return "set -e\n" + "".join(blocks).replace("50051", str(port))


@contextmanager
def served(script: str, directory: Path, environment: dict[str, str]) -> Iterator[None]:
    ready, log = directory / "ready", directory / "log"
    with ready.open("wb") as out, log.open("wb") as err:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
    try:

        def is_ready() -> bool | None:
            assert process.poll() is None, log.read_text("utf-8")
            return "mailsync ready" in ready.read_text("utf-8") or None

        wait_for(is_ready, 60.0, "the ready line")
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_the_security_page_works_as_it_is_written(tmp_path: Path, environment: dict[str, str]) -> None:
    assert shutil.which("openssl"), "install openssl"
    port = free_port()
    # The last command in place of the shell, so that it is the one that is told to stop.
    before = typed([*BLOCKS[:SERVE], "exec mailsync serve\n"], port)
    with served(before, tmp_path, environment):
        caller = subprocess.run(
            ["bash", "-c", typed(BLOCKS[SERVE + 1 :], port)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    log = (tmp_path / "log").read_text("utf-8")
    assert caller.returncode == 0, caller.stdout + caller.stderr + log
    assert '"method": "SystemService.RevokeToken"' in caller.stdout
    assert "helpdesk" in caller.stdout
    assert "certificate renewed" in log
    assert (tmp_path / "admin.token").stat().st_mode & 0o077 == 0
    for secret in ((tmp_path / "admin.token").read_text("ascii").strip(),):
        assert secret not in log + (tmp_path / "audit.jsonl").read_text("ascii")

"""The demo as people run it: it shows everything by itself, and leaves nothing behind, however it ends."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.support.service import wait_for

COMMAND = [sys.executable, "-m", "mailsync_grpc.cli", "demo"]
WITHOUT_DOVECOT = """
import sys
from mailsync_grpc.cli.demo import mail
from mailsync_grpc.cli.demo.dovecot import DovecotMissingError
from mailsync_grpc.cli.main import main

def missing(_users):
    raise DovecotMissingError

mail.DovecotServer = missing
sys.argv = ["mailsync", "demo", "--once"]
main()
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A temporary directory of the demo's own that the mail server's user may enter, too."""
    directory = Path(tempfile.mkdtemp(prefix="mailsync-test-demo-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def environment(scratch: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(scratch), "COLUMNS": "140", "PYTHONUNBUFFERED": "1"}


def once(command: list[str], scratch: Path) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryFile("w+") as out:
        demo = subprocess.Popen(
            command, env=environment(scratch), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            demo.wait(100)
        finally:
            # Told rather than killed: the demo alone knows what it has started.
            demo.terminate()
            demo.wait(30)
        return subprocess.CompletedProcess(command, demo.returncode, read(out))


def read(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def processes_in(directory: Path) -> list[str]:
    """Command lines of processes that work in a directory or were started with something in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " ")
            place = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(directory) in command or place.startswith(str(directory)):
            found.append(command)
    return found


def test_the_demo_sees_every_kind_of_change_and_leaves_nothing_behind(scratch: Path) -> None:
    done = once([*COMMAND, "--once"], scratch)
    assert done.returncode == 0, done.stdout
    for words in ("First sync", "INBOX", "SHA-256", "arrived", "+flagged", "+demo-keyword", "removed"):
        assert words.lower() in done.stdout.lower()
    assert "every kind of change was seen" in done.stdout
    assert list(scratch.iterdir()) == []
    assert processes_in(scratch) == []


def test_without_dovecot_the_demo_goes_on_with_pymap_and_says_what_it_leaves_out(scratch: Path) -> None:
    done = once([sys.executable, "-c", WITHOUT_DOVECOT], scratch)
    assert done.returncode == 0, done.stdout
    assert "pymap keeps no keywords, so that step is left out" in done.stdout
    assert "demo-keyword" not in done.stdout
    assert list(scratch.iterdir()) == []
    assert processes_in(scratch) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_leaves_nothing_behind(scratch: Path, number: signal.Signals) -> None:
    with tempfile.TemporaryFile("w+") as out:
        demo = subprocess.Popen(
            COMMAND, env=environment(scratch), stdout=out, stderr=out, start_new_session=True
        )
        try:
            wait_for(lambda: "Live" in read(out) or None, 60, "the live act")
            assert processes_in(scratch)
        finally:
            demo.send_signal(number)
            status = demo.wait(30)
    assert status == 130
    assert list(scratch.iterdir()) == []
    assert processes_in(scratch) == []

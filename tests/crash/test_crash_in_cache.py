"""Killed while it fills, cleans and purges, the content cache serves whole entries and no others, and leaves no waste."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from mailsync_grpc.content.cache import Cache
from mailsync_grpc.content.names import entry_of
from mailsync_grpc.content.parts import Part
from mailsync_grpc.store.cache_index import CacheIndex
from tests.support.cache_child import LIMITS, UIDS, content_of
from tests.support.crash import RUNS
from tests.support.service import wait_for
from tests.unit.content.fakes import KEY, message

pytestmark = pytest.mark.timeout(60 + 20 * RUNS)


FAILPOINTS = ("in_cache_write", "cache_finished", "cache_recorded", "cache_renamed", "cache_deleted")


def fill_and_kill(directory: Path, acknowledgements: Path, seconds: float) -> None:
    told = acknowledgements.stat().st_size if acknowledgements.exists() else 0
    command = [sys.executable, "-m", "tests.support.cache_child", str(directory), str(acknowledgements)]
    child = subprocess.Popen(command)

    def begun() -> bool | None:
        assert child.poll() is None
        return True if acknowledgements.exists() and acknowledgements.stat().st_size > told else None

    wait_for(begun, 30, "the first entry")
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    child.wait()


def check(directory: Path) -> int:
    """Hold every entry against what it must be; return how many there are."""
    with closing(Cache(directory, KEY, LIMITS)) as cache:
        found = {uid: cache.find(entry_of(KEY, message(uid), "1")) for uid in range(1, UIDS + 1)}
        for uid, cached in found.items():
            if cached is not None:
                content = content_of(uid)
                assert cached.part == Part("1", "text/plain", size=uid)
                assert cached.file.read(0, len(content) + 1) == content
                cached.file.close()
        whole = sum(cached is not None for cached in found.values())
        assert not list((directory / "tmp").glob("*")), "what was half written is gone"
    return whole


def files(directory: Path) -> set[bytes]:
    return {bytes.fromhex(path.name) for path in directory.glob("??/??/*")}


def recorded(directory: Path) -> set[bytes]:
    with closing(CacheIndex(directory / "index")) as index:
        return set(index.owned((), 10_000))


def fill_until(directory: Path, failpoint: str) -> None:
    """Run a child that dies at the failpoint's n-th hit."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.support.cache_child", str(directory), os.devnull],
        env={**os.environ, "MAILSYNC_FAILPOINT": failpoint},
        timeout=60,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_killed_at_any_step_of_a_write_a_cache_goes_on_with_what_is_whole(
    failpoint: str, tmp_path: Path
) -> None:
    for hit in (1, 7):
        fill_until(tmp_path / "content", f"{failpoint}:{hit}")
        check(tmp_path / "content")
        assert files(tmp_path / "content") <= recorded(tmp_path / "content"), "no file without a record"


@pytest.mark.parametrize("run", range(RUNS))
def test_no_half_entry_is_ever_served(run: int, tmp_path: Path) -> None:
    dice = random.Random(os.urandom(8))
    for _ in range(3):
        fill_and_kill(tmp_path / "content", tmp_path / "told", dice.uniform(0.0, 0.4))
        assert check(tmp_path / "content") <= UIDS
        assert files(tmp_path / "content") <= recorded(tmp_path / "content"), "no file without a record"
    with closing(Cache(tmp_path / "content", KEY, LIMITS)) as cache:
        cache.purge(())
        assert cache.holds() == (0, 0)
    assert not files(tmp_path / "content"), f"run {run}: everything that lies there can be purged"

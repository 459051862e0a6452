"""A hint that cannot be sent costs nobody anything: commits go on."""

import errno
import os
from pathlib import Path

import pytest

from mailsync_grpc.store.base import Counter
from mailsync_grpc.store.lmdb import open_store


def test_commits_go_on_when_no_hint_can_be_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when thousands of streams have taken every descriptor: listing a directory needs one."""

    def none_left(_: int) -> list[str]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    store = open_store(tmp_path, exclusive=True)
    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", none_left)
        first = store.allocate(Counter.ACCOUNT)
    assert store.allocate(Counter.ACCOUNT) == first + 1
    store.close()

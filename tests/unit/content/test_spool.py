"""Messages that wait on disk: bounded in all, and removed once nobody names them."""

import tempfile
from pathlib import Path

import pytest

from mailsync_grpc.content.spool import Spool
from mailsync_grpc.errors import QuotaExceededError, StoreFullError

LIMIT = 1_000


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", bytes(32), LIMIT)


def held(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "spool").iterdir()}


def test_what_is_being_received_counts_with_all_that_it_may_become(spool: Spool) -> None:
    first = spool.create(LIMIT - 100)
    with pytest.raises(QuotaExceededError, match="max_spooled_bytes"):
        spool.create(101)
    spool.release(first, keep=False)
    spool.create(LIMIT)


def test_what_waits_for_the_mail_server_counts_until_it_is_removed(spool: Spool) -> None:
    draft = spool.create(500)
    draft.add(b"x" * 500)
    draft.finish()
    spool.release(draft, keep=True)
    with pytest.raises(QuotaExceededError):
        spool.create(501)
    spool.remove(draft.name)
    spool.create(LIMIT)


def test_a_message_that_cannot_be_begun_takes_no_room(tmp_path: Path) -> None:
    (tmp_path / "spool").write_bytes(b"no directory")
    spool = Spool(tmp_path / "spool", bytes(32), LIMIT)
    for _ in range(2):
        with pytest.raises(StoreFullError):
            spool.create(LIMIT)


def test_cleaning_removes_what_is_neither_named_nor_being_received(spool: Spool, tmp_path: Path) -> None:
    named, left, received = (spool.create(100) for _ in range(3))
    for draft in (named, left):
        spool.release(draft, keep=True)
    spool.clean(lambda: {named.name})
    assert held(tmp_path) == {named.name, received.name}


def test_a_message_that_is_handed_over_while_the_spool_is_cleaned_stays(spool: Spool, tmp_path: Path) -> None:
    """The files are listed, then its call commits an intent and ends; whoever asks for the names now sees it."""
    draft = spool.create(100)

    def names() -> set[str]:
        spool.release(draft, keep=True)
        return {draft.name}

    spool.clean(names)
    assert held(tmp_path) == {draft.name}


def test_a_finished_message_that_is_not_kept_closes_no_file_of_others(spool: Spool) -> None:
    """The number of a closed file is the next one's, which may be another thread's."""
    draft = spool.create(10)
    draft.finish()
    with tempfile.TemporaryFile() as others:
        spool.release(draft, keep=False)
        others.write(b"still open")
        others.flush()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_message_that_is_broken_off_leaves_no_file_open(spool: Spool) -> None:
    before = open_files()
    for end in (False, True):
        draft = spool.create(10)
        if end:
            draft.finish()
        spool.release(draft, keep=False)
    assert open_files() == before

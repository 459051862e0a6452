"""A cache after a crash, damage, a full disk and foreign hands: whole or not there, and never an error of the download."""

import errno
import json
import os
import shutil

import pytest

from mailsync_grpc.content.names import owner_of
from mailsync_grpc.content.sealed import SealedFile
from mailsync_grpc.errors import StoreFullError
from tests.unit.content.cache_rig import PART, CacheRig, entry, not_cached
from tests.unit.content.fakes import KEY, message


def test_a_crash_leaves_nothing_that_is_served_and_nothing_that_stays(cached: CacheRig) -> None:
    draft = cached.cache.draft(entry(1), PART)
    assert draft is not None
    cached.cache.append(draft, b"half")
    draft.file.close()
    assert cached.get(entry(1)) is None
    cached.reopen()
    assert cached.files() == []


def test_a_record_whose_file_vanished_is_a_miss_and_is_cleaned(cached: CacheRig) -> None:
    cached.put(entry())
    cached.files()[0].unlink()
    assert cached.get(entry()) is None
    cached.disk = (90, 10)
    assert cached.cache.clean() > 0
    assert cached.cache.clean() == 0


def test_a_damaged_file_is_a_miss_and_is_deleted(cached: CacheRig) -> None:
    cached.put(entry())
    cached.files()[0].write_bytes(b"MSC1 and then nothing of sense")
    assert cached.get(entry()) is None
    assert cached.files() == []
    assert cached.put(entry())
    assert cached.get(entry()) == b"text"


@pytest.mark.parametrize("damage", ["missing", "overwritten"])
def test_a_cache_without_its_index_begins_anew(cached: CacheRig, damage: str) -> None:
    cached.put(entry())
    cached.cache.close()
    data = cached.directory / "index" / "data.mdb"
    if damage == "missing":
        data.unlink()
    else:
        data.write_bytes(os.urandom(data.stat().st_size))
    cached.cache = cached.open()
    assert cached.files() == []
    assert cached.put(entry())
    assert cached.get(entry()) == b"text"


def test_a_full_disk_is_no_error_of_the_download(cached: CacheRig, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = cached.cache.draft(entry(), PART)
    assert draft is not None

    def full(_file: SealedFile, _data: bytes = b"") -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SealedFile, "append", full)
    monkeypatch.setattr(SealedFile, "finish", full)
    assert not cached.cache.append(draft, b"x")
    assert not cached.cache.commit(draft)
    draft.file.close()
    assert cached.files() == []


def test_a_full_disk_is_counted(cached: CacheRig, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [not_cached("disk_full"), not_cached("disk_error"), not_cached("too_large")]
    draft = cached.cache.draft(entry(), PART)
    assert draft is not None
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO):

        def broken(_handle: int, _data: bytes, number: int = number) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "write", broken)
        assert not cached.cache.append(draft, b"x")
    monkeypatch.undo()
    cached.cache.discard(draft)
    draft.file.close()
    assert [count() for count in counts] == [2, 1, 0]
    assert cached.put(entry()), "once there is room again, content is kept again"


def test_a_full_index_keeps_nobody_from_reading(cached: CacheRig, monkeypatch: pytest.MonkeyPatch) -> None:
    cached.put(entry(1))
    full = not_cached("disk_full")

    def refuse(*_: object) -> int:
        raise StoreFullError("the index of the content cache cannot be written")

    monkeypatch.setattr(cached.cache._index, "put", refuse)
    monkeypatch.setattr(cached.cache._index, "touch", refuse)
    assert not cached.put(entry(2))
    assert full() == 1
    assert cached.get(entry(1)) == b"text"
    assert [path.parent.name for path in cached.files()] != ["tmp"]


def test_a_cache_that_is_deleted_under_its_feet_goes_on(cached: CacheRig) -> None:
    cached.put(entry(1))
    late = cached.cache.draft(entry(2), PART)
    assert late is not None
    shutil.rmtree(cached.directory)
    assert cached.cache.append(late, b"late"), "an open file takes what it is given"
    assert not cached.cache.commit(late)
    late.file.close()
    assert cached.get(entry(1)) is None
    assert cached.put(entry(1))
    assert cached.get(entry(1)) == b"text"
    shutil.rmtree(cached.directory)
    assert cached.cache.clean() == 0
    cached.reopen()
    assert cached.put(entry(1))
    assert cached.get(entry(1)) == b"text"


def test_what_else_lies_in_the_caches_directory_is_left_alone(cached: CacheRig) -> None:
    """A disk of the cache's own has a `lost+found`, which may not even be read."""
    cached.put(entry())
    cached.cache.close()
    (cached.directory / "lost+found").mkdir()
    (cached.directory / "README").write_text("the cache of mailsync")
    (cached.directory / "index" / "data.mdb").unlink()
    cached.cache = cached.open()
    assert cached.get(entry()) is None
    assert [path.name for path in cached.files()] == ["README"]
    assert (cached.directory / "lost+found").is_dir()


def test_a_file_without_a_record_is_not_served(cached: CacheRig) -> None:
    """Put back by hand or from a backup, it would outlive every purge and count for nothing."""
    cached.put(entry())
    path = cached.directory / entry().path
    stored = path.read_bytes()
    cached.cache.purge(())
    path.write_bytes(stored)
    assert cached.get(entry()) is None
    assert cached.files() == []


def test_a_file_that_cannot_be_deleted_keeps_no_other_one(cached: CacheRig) -> None:
    for uid in (1, 2, 3):
        cached.put(entry(uid))
    stuck = cached.directory / entry(1).path
    stuck.unlink()
    stuck.mkdir()
    cached.cache.purge(owner_of(message(1)))
    assert cached.cache.purge(())[0] == 2
    assert cached.cache.holds() == (0, 0)


def test_short_content(cached: CacheRig) -> None:
    """Fewer octets than declared are never an entry, and one that is there all the same is fetched again."""
    declared = PART._replace(size=9)
    assert not cached.put(entry(), b"text", declared)
    assert cached.files() == []
    path = cached.directory / entry().path
    path.parent.mkdir(parents=True)
    file = SealedFile.create(path, KEY, entry().name, json.dumps(declared).encode())
    file.append(b"text")
    file.finish()
    file.close()
    assert cached.get(entry()) is None
    assert cached.files() == []
    assert cached.put(entry(), b"more text", declared)

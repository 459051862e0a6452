"""The cache on disk: whole or not there, found by nobody without the key, never larger than allowed."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailsync_grpc.content.cache import Cache
from mailsync_grpc.content.cleaning import Limits, Usage, octets_to_free
from mailsync_grpc.content.names import Entry, entry_of, owner_of
from mailsync_grpc.content.parts import Part
from mailsync_grpc.content.sealed import SealedFile
from mailsync_grpc.content.values import MessageKey
from mailsync_grpc.errors import StoreFullError
from mailsync_grpc.metrics import CONTENT_CACHE_EVICTED_AGE, CONTENT_CACHE_EVICTIONS, CONTENT_NOT_CACHED
from tests.unit.content.fakes import KEY, message


def counted(counter: Any) -> Callable[[], float]:
    before = counter._value.get()
    return lambda: float(counter._value.get() - before)


def not_cached(reason: str) -> Callable[[], float]:
    return counted(CONTENT_NOT_CACHED.labels(reason))


PART = Part("1", "text/plain", "utf-8", "base64", 4, "a name")


class Rig:
    """A cache that can be opened anew, with a clock and a disk of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = 1_000.0
        self.disk = (0, 1 << 40)
        self.limits = Limits(1 << 20, 0.85)
        self.cache = self.open()

    def open(self) -> Cache:
        return Cache(self.directory, KEY, self.limits, clock=lambda: self.now, disk=lambda _: self.disk)

    def reopen(self, limits: Limits | None = None) -> None:
        self.cache.close()
        self.limits = limits or self.limits
        self.cache = self.open()

    def put(self, entry: Entry, content: bytes = b"text", part: Part = PART) -> bool:
        self.now += 1
        draft = self.cache.draft(entry, part)
        assert draft is not None
        assert self.cache.append(draft, content)
        kept = self.cache.commit(draft)
        draft.file.close()
        return kept

    def get(self, entry: Entry) -> bytes | None:
        self.now += 1
        found = self.cache.find(entry)
        if found is None:
            return None
        try:
            return found.file.read(0, found.file.size)
        finally:
            found.file.close()

    def files(self) -> list[Path]:
        index = self.directory / "index"
        return [path for path in self.directory.rglob("*") if path.is_file() and index not in path.parents]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "content")
    yield rig
    rig.cache.close()


def entry(uid: int = 1, section: str = "1", source: MessageKey | None = None) -> Entry:
    return entry_of(KEY, source or message(uid), section)


def test_what_was_kept_is_found_with_its_description_also_after_a_restart(rig: Rig) -> None:
    rig.put(entry())
    rig.reopen()
    found = rig.cache.find(entry())
    assert found is not None
    assert found.part == PART
    assert found.file.read(0, 10) == b"text"
    found.file.close()


def test_path_traversal(rig: Rig) -> None:
    """Whatever a mail or a section says, files are named by keyed hash, within the cache, two levels deep."""
    rig.put(entry(section="../../etc/passwd"), part=PART._replace(file_name="../../etc/passwd"))
    (file,) = rig.files()
    parts = file.relative_to(rig.directory).parts
    assert [len(part) for part in parts] == [2, 2, 64]
    assert all(set(part) <= set("0123456789abcdef") for part in parts)
    assert parts[2].startswith(parts[0] + parts[1])


def test_names_differ_by_every_part_of_what_they_name_and_by_the_key() -> None:
    names = {
        entry().name,
        entry(uid=2).name,
        entry(section="2").name,
        entry(source=message(account_no=2)).name,
        entry(source=message(folder_no=2)).name,
        entry(source=message(uid_validity=8)).name,
        entry_of(b"l" * 32, message(), "1").name,
    }
    assert len(names) == 7


def test_cache_epoch(rig: Rig) -> None:
    """After a UIDVALIDITY change the old entries have other names, and are purged together."""
    rig.put(entry(1))
    rig.put(entry(2))
    renumbered = message(1, uid_validity=8)
    assert rig.get(entry(source=renumbered)) is None
    rig.put(entry(source=renumbered))
    rig.cache.purge_numbering(owner_of(message(1)))
    assert [rig.get(entry(1)), rig.get(entry(2))] == [None, None]
    assert rig.get(entry(source=renumbered)) == b"text"


def test_cache_account_purge(rig: Rig) -> None:
    """A removed account's files are gone, and a download still under way leaves none."""
    for uid in range(1, 301):
        rig.put(entry(uid))
    rig.put(entry(source=message(account_no=2)))
    late = rig.cache.draft(entry(999), PART)
    assert late is not None
    rig.cache.purge_account(1)
    assert not rig.cache.commit(late)
    late.file.close()
    assert len(rig.files()) == 1
    assert rig.get(entry(source=message(account_no=2))) == b"text"


def test_a_message_that_is_gone_takes_all_its_entries_along(rig: Rig) -> None:
    rig.put(entry(1, "1"))
    rig.put(entry(1, "2"))
    rig.put(entry(2, "1"))
    rig.cache.purge_message(owner_of(message(1)))
    assert [rig.get(entry(1, "1")), rig.get(entry(1, "2")), rig.get(entry(2))] == [None, None, b"text"]


def test_a_crash_leaves_nothing_that_is_served_and_nothing_that_stays(rig: Rig) -> None:
    draft = rig.cache.draft(entry(1), PART)
    assert draft is not None
    rig.cache.append(draft, b"half")
    draft.file.close()
    assert rig.get(entry(1)) is None
    rig.reopen()
    assert rig.files() == []


def test_a_record_whose_file_vanished_is_a_miss_and_is_cleaned(rig: Rig) -> None:
    rig.put(entry())
    rig.files()[0].unlink()
    assert rig.get(entry()) is None
    rig.disk = (90, 10)
    assert rig.cache.clean() > 0
    assert rig.cache.clean() == 0


def test_a_damaged_file_is_a_miss_and_is_deleted(rig: Rig) -> None:
    rig.put(entry())
    rig.files()[0].write_bytes(b"MSC1 and then nothing of sense")
    assert rig.get(entry()) is None
    assert rig.files() == []
    assert rig.put(entry())
    assert rig.get(entry()) == b"text"


@pytest.mark.parametrize("damage", ["missing", "overwritten"])
def test_a_cache_without_its_index_begins_anew(rig: Rig, damage: str) -> None:
    rig.put(entry())
    rig.cache.close()
    data = rig.directory / "index" / "data.mdb"
    if damage == "missing":
        data.unlink()
    else:
        data.write_bytes(os.urandom(data.stat().st_size))
    rig.cache = rig.open()
    assert rig.files() == []
    assert rig.put(entry())
    assert rig.get(entry()) == b"text"


def test_beyond_its_cap_the_least_recently_used_go_until_a_tenth_is_free(rig: Rig) -> None:
    for uid in range(1, 21):
        rig.put(entry(uid), b"x" * 10_000)
    stored = rig.files()[0].stat().st_size
    rig.reopen(Limits(10 * stored, 0.85))
    for uid in (1, 2, 3):
        assert rig.get(entry(uid)) is not None
    freed = rig.cache.clean()
    kept = {uid for uid in range(1, 21) if rig.get(entry(uid)) is not None}
    assert kept == {1, 2, 3, *range(15, 21)}
    assert freed == 11 * stored
    assert rig.cache.clean() == 0


def test_on_a_full_disk_the_cache_gives_way_before_its_own_cap(rig: Rig) -> None:
    for uid in range(1, 11):
        rig.put(entry(uid), b"x" * 10_000)
    stored = rig.files()[0].stat().st_size
    total = 100 * stored
    rig.disk = (86 * stored, total - 86 * stored)
    assert rig.cache.clean() == 6 * stored
    assert [uid for uid in range(1, 11) if rig.get(entry(uid)) is not None] == [7, 8, 9, 10]


@pytest.mark.parametrize(
    ("usage", "limits", "freed"),
    [
        (Usage(100, 0, 1_000), Limits(100, 0.85), 0),
        (Usage(101, 0, 1_000), Limits(100, 0.85), 11),
        (Usage(500, 850, 150), Limits(1_000, 0.85), 0),
        (Usage(500, 860, 140), Limits(1_000, 0.85), 60),
        (Usage(40, 990, 10), Limits(1_000, 0.85), 40),
        (Usage(500, 860, 140), Limits(480, 0.85), 68),
        (Usage(5, 0, 1_000), Limits(0, 0.85), 5),
        (Usage(0, 1_000, 0), Limits(1_000, 0.85), 0),
    ],
)
def test_how_much_goes_is_decided_by_the_limit_that_is_passed_further(
    usage: Usage, limits: Limits, freed: int
) -> None:
    assert octets_to_free(usage, limits) == freed


def test_a_cache_of_no_size_keeps_nothing(rig: Rig) -> None:
    rig.reopen(Limits(0, 0.85))
    assert rig.cache.draft(entry(), PART) is None


def test_content_larger_than_the_whole_cache_is_not_kept(rig: Rig) -> None:
    rig.reopen(Limits(1_000, 0.85))
    draft = rig.cache.draft(entry(), PART)
    assert draft is not None
    assert not rig.cache.append(draft, b"x" * 1_001)
    rig.cache.discard(draft)
    draft.file.close()
    assert rig.files() == []


def test_a_full_disk_is_no_error_of_the_download(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = rig.cache.draft(entry(), PART)
    assert draft is not None

    def full(_file: SealedFile, _data: bytes = b"") -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SealedFile, "append", full)
    monkeypatch.setattr(SealedFile, "finish", full)
    assert not rig.cache.append(draft, b"x")
    assert not rig.cache.commit(draft)
    draft.file.close()
    assert rig.files() == []


def test_a_full_disk_is_counted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [not_cached("disk_full"), not_cached("disk_error"), not_cached("too_large")]
    draft = rig.cache.draft(entry(), PART)
    assert draft is not None
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO):

        def broken(_handle: int, _data: bytes, number: int = number) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "write", broken)
        assert not rig.cache.append(draft, b"x")
    monkeypatch.undo()
    rig.cache.discard(draft)
    draft.file.close()
    assert [count() for count in counts] == [2, 1, 0]
    assert rig.put(entry()), "once there is room again, content is kept again"


def test_a_full_index_keeps_nobody_from_reading(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.put(entry(1))
    full = not_cached("disk_full")

    def refuse(*_: object) -> int:
        raise StoreFullError("the index of the content cache cannot be written")

    monkeypatch.setattr(rig.cache._index, "put", refuse)
    monkeypatch.setattr(rig.cache._index, "touch", refuse)
    assert not rig.put(entry(2))
    assert full() == 1
    assert rig.get(entry(1)) == b"text"
    assert [path.parent.name for path in rig.files()] != ["tmp"]


def test_a_cache_that_is_deleted_under_its_feet_goes_on(rig: Rig) -> None:
    rig.put(entry(1))
    late = rig.cache.draft(entry(2), PART)
    assert late is not None
    shutil.rmtree(rig.directory)
    assert rig.cache.append(late, b"late"), "an open file takes what it is given"
    assert not rig.cache.commit(late)
    late.file.close()
    assert rig.get(entry(1)) is None
    assert rig.put(entry(1))
    assert rig.get(entry(1)) == b"text"
    shutil.rmtree(rig.directory)
    assert rig.cache.clean() == 0
    rig.reopen()
    assert rig.put(entry(1))
    assert rig.get(entry(1)) == b"text"


def test_an_entry_that_passes_the_cap_makes_room_at_once(rig: Rig) -> None:
    rig.put(entry(1), b"x" * 10_000)
    stored = rig.files()[0].stat().st_size
    rig.reopen(Limits(5 * stored, 0.85))
    for uid in range(2, 8):
        rig.put(entry(uid), b"x" * 10_000)
        assert rig.cache.holds()[1] <= 5 * stored


def test_what_is_evicted_is_counted_with_the_time_since_its_last_use(rig: Rig) -> None:
    evicted = {limit: counted(CONTENT_CACHE_EVICTIONS.labels(limit)) for limit in ("size", "disk")}
    ages = CONTENT_CACHE_EVICTED_AGE._sum
    before = ages.get()
    for uid in (1, 2):
        rig.put(entry(uid))
    rig.now += 100
    rig.disk = (90, 10)
    rig.cache.clean()
    assert {limit: count() for limit, count in evicted.items()} == {"size": 0, "disk": 1}
    assert ages.get() - before == 101


def test_a_purge_of_everything_says_how_much_that_was(rig: Rig) -> None:
    for uid in range(1, 301):
        rig.put(entry(uid))
    rig.put(entry(source=message(account_no=2)))
    entries, octets = rig.cache.holds()
    assert rig.cache.purge(2)[0] == 1
    assert rig.cache.purge(None)[0] == entries - 1
    assert octets > 0
    assert rig.cache.holds() == (0, 0)
    assert rig.put(entry(source=message(account_no=2))), "a purge is no farewell"


def test_the_cache_is_closed_to_other_users(rig: Rig) -> None:
    rig.put(entry())
    assert rig.directory.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in rig.files()] == [0o600]


def test_what_else_lies_in_the_caches_directory_is_left_alone(rig: Rig) -> None:
    """A disk of the cache's own has a `lost+found`, which may not even be read."""
    rig.put(entry())
    rig.cache.close()
    (rig.directory / "lost+found").mkdir()
    (rig.directory / "README").write_text("the cache of mailsync")
    (rig.directory / "index" / "data.mdb").unlink()
    rig.cache = rig.open()
    assert rig.get(entry()) is None
    assert [path.name for path in rig.files()] == ["README"]
    assert (rig.directory / "lost+found").is_dir()


def test_content_that_would_drive_out_all_other_is_not_kept(rig: Rig) -> None:
    """A cleaning goes on below the cap, so what only just fits would go as well."""
    for uid in range(1, 6):
        rig.put(entry(uid), b"x" * 10_000)
    stored = rig.files()[0].stat().st_size
    rig.reopen(Limits(10 * stored, 0.85))
    draft = rig.cache.draft(entry(9), PART)
    assert draft is not None
    assert not rig.cache.append(draft, b"x" * (10 * stored - 5_000))
    rig.cache.discard(draft)
    draft.file.close()
    assert len(rig.files()) == 5


def test_clock_jump(rig: Rig) -> None:
    """What was used while the clock was ahead goes in its turn, not after all that is used from now on."""
    rig.now = 2e9
    for uid in (1, 2, 3):
        rig.put(entry(uid))
    rig.now = 1e9
    assert rig.get(entry(2)) is not None
    rig.put(entry(4))
    rig.reopen()
    rig.put(entry(5))
    rig.put(entry(6))
    stored = sum(file.stat().st_size for file in rig.files()) // 6
    rig.reopen(Limits(5 * stored, 0.85))
    rig.cache.clean()
    assert [uid for uid in range(1, 7) if rig.get(entry(uid)) is not None] == [2, 4, 5, 6]


def test_on_a_disk_that_others_fill_nothing_is_kept_only_to_be_evicted(rig: Rig) -> None:
    full = not_cached("disk_full")
    rig.put(entry(1))
    rig.disk = (90, 10)
    draft = rig.cache.draft(entry(2), PART)
    assert draft is not None
    assert not rig.cache.append(draft, b"text")
    rig.cache.discard(draft)
    draft.file.close()
    assert full() == 1
    assert rig.cache.clean() > 0
    assert [rig.cache.clean() for _ in range(3)] == [0, 0, 0]
    rig.disk = (70, 30)
    assert rig.put(entry(2))


def test_a_file_that_cannot_be_deleted_keeps_no_other_one(rig: Rig) -> None:
    for uid in (1, 2, 3):
        rig.put(entry(uid))
    stuck = rig.directory / entry(1).path
    stuck.unlink()
    stuck.mkdir()
    rig.cache.purge_message(owner_of(message(1)))
    assert rig.cache.purge(None)[0] == 2
    assert rig.cache.holds() == (0, 0)

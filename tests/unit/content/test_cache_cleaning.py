"""A cache never holds more than it may: the least recently used go first, and nothing is kept in vain."""

import pytest

from mailsync_grpc.content.cleaning import Limits, Usage, octets_to_free
from mailsync_grpc.metrics import (
    CONTENT_CACHE_EVICTED_AGE,
    CONTENT_CACHE_EVICTED_BYTES,
    CONTENT_CACHE_EVICTIONS,
)
from tests.unit.content.cache_rig import PART, CacheRig, counted, entry, not_cached


def test_beyond_its_cap_the_least_recently_used_go_until_a_tenth_is_free(cached: CacheRig) -> None:
    for uid in range(1, 21):
        cached.put(entry(uid), b"x" * 10_000)
    stored = cached.files()[0].stat().st_size
    cached.reopen(Limits(10 * stored, 0.85))
    for uid in (1, 2, 3):
        assert cached.get(entry(uid)) is not None
    freed = cached.cache.clean()
    kept = {uid for uid in range(1, 21) if cached.get(entry(uid)) is not None}
    assert kept == {1, 2, 3, *range(15, 21)}
    assert freed == 11 * stored
    assert cached.cache.clean() == 0


def test_on_a_full_disk_the_cache_gives_way_before_its_own_cap(cached: CacheRig) -> None:
    for uid in range(1, 11):
        cached.put(entry(uid), b"x" * 10_000)
    stored = cached.files()[0].stat().st_size
    total = 100 * stored
    cached.disk = (86 * stored, total - 86 * stored)
    assert cached.cache.clean() == 6 * stored
    assert [uid for uid in range(1, 11) if cached.get(entry(uid)) is not None] == [7, 8, 9, 10]


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


def test_a_cache_of_no_size_keeps_nothing(cached: CacheRig) -> None:
    cached.reopen(Limits(0, 0.85))
    assert cached.cache.draft(entry(), PART) is None


def test_content_larger_than_the_whole_cache_is_not_kept(cached: CacheRig) -> None:
    cached.reopen(Limits(1_000, 0.85))
    draft = cached.cache.draft(entry(), PART)
    assert draft is not None
    assert not cached.cache.append(draft, b"x" * 1_001)
    cached.cache.discard(draft)
    draft.file.close()
    assert cached.files() == []


def test_an_entry_that_passes_the_cap_makes_room_at_once(cached: CacheRig) -> None:
    cached.put(entry(1), b"x" * 10_000)
    stored = cached.files()[0].stat().st_size
    cached.reopen(Limits(5 * stored, 0.85))
    for uid in range(2, 8):
        cached.put(entry(uid), b"x" * 10_000)
        assert cached.cache.holds()[1] <= 5 * stored


def test_what_is_evicted_is_counted_with_the_time_since_its_last_use(cached: CacheRig) -> None:
    evicted = {limit: counted(CONTENT_CACHE_EVICTIONS.labels(limit)) for limit in ("size", "disk")}
    ages = CONTENT_CACHE_EVICTED_AGE._sum
    before = ages.get()
    for uid in (1, 2):
        cached.put(entry(uid))
    stored = cached.files()[0].stat().st_size
    octets = counted(CONTENT_CACHE_EVICTED_BYTES)
    cached.now += 100
    cached.disk = (90, 10)
    cached.cache.clean()
    assert {limit: count() for limit, count in evicted.items()} == {"size": 0, "disk": 1}
    assert ages.get() - before == 101
    assert octets() == stored
    cached.reopen(Limits(stored // 2, 0.85))
    cached.cache.clean()
    assert {limit: count() for limit, count in evicted.items()} == {"size": 1, "disk": 1}
    assert octets() == 2 * stored


def test_content_that_would_drive_out_all_other_is_not_kept(cached: CacheRig) -> None:
    """A cleaning goes on below the cap, so what only just fits would go as well."""
    for uid in range(1, 6):
        cached.put(entry(uid), b"x" * 10_000)
    stored = cached.files()[0].stat().st_size
    cached.reopen(Limits(10 * stored, 0.85))
    draft = cached.cache.draft(entry(9), PART)
    assert draft is not None
    assert not cached.cache.append(draft, b"x" * (10 * stored - 5_000))
    cached.cache.discard(draft)
    draft.file.close()
    assert len(cached.files()) == 5


def test_clock_jump(cached: CacheRig) -> None:
    """What was used while the clock was ahead goes in its turn, not after all that is used from now on."""
    cached.now = 2e9
    for uid in (1, 2, 3):
        cached.put(entry(uid))
    cached.now = 1e9
    assert cached.get(entry(2)) is not None
    cached.put(entry(4))
    cached.reopen()
    cached.put(entry(5))
    cached.put(entry(6))
    stored = sum(file.stat().st_size for file in cached.files()) // 6
    cached.reopen(Limits(5 * stored, 0.85))
    cached.cache.clean()
    assert [uid for uid in range(1, 7) if cached.get(entry(uid)) is not None] == [2, 4, 5, 6]


def test_on_a_disk_that_others_fill_nothing_is_kept_only_to_be_evicted(cached: CacheRig) -> None:
    full = not_cached("disk_full")
    cached.put(entry(1))
    cached.disk = (90, 10)
    draft = cached.cache.draft(entry(2), PART)
    assert draft is not None
    assert not cached.cache.append(draft, b"text")
    cached.cache.discard(draft)
    draft.file.close()
    assert full() == 1
    assert cached.cache.clean() > 0
    assert [cached.cache.clean() for _ in range(3)] == [0, 0, 0]
    cached.disk = (70, 30)
    assert cached.put(entry(2))

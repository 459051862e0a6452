"""The index: sizes add up, the least recently used come first, what belongs together is found together."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailsync_grpc.errors import StoreFullError
from mailsync_grpc.store.cache_index import CacheIndex, Owner


def name(number: int) -> bytes:
    return number.to_bytes(32, "big")


def owner(account: int = 1, folder: int = 1, uid_validity: int = 1, uid: int = 1) -> Owner:
    return Owner(account, folder.to_bytes(10, "big"), uid_validity, uid)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[CacheIndex]:
    index = CacheIndex(tmp_path / "index", 16 << 20)
    yield index
    index.close()


def test_an_index_is_new_once(tmp_path: Path) -> None:
    for created in (True, False):
        index = CacheIndex(tmp_path / "index", 1 << 20)
        assert index.created is created
        index.close()


def test_an_entry_put_twice_counts_once(index: CacheIndex) -> None:
    index.put(name(1), owner(), 10, 1)
    index.put(name(1), owner(), 30, 2)
    assert index.total() == 30
    assert [use.name for use in index.oldest(1_000, 10)] == [name(1)]
    assert index.remove([name(1), name(2)]) == 30
    assert index.total() == 0
    assert index.owned((1,), 10) == []


def test_the_oldest_make_up_what_is_asked_for(index: CacheIndex) -> None:
    for number in range(10):
        index.put(name(number), owner(uid=number), 10, 100 - number)
    index.touch({name(9): 200, name(77): 200})
    assert [use.name for use in index.oldest(25, 100)] == [name(8), name(7), name(6)]
    assert [use.name for use in index.oldest(1_000, 2)] == [name(8), name(7)]
    assert [use.name for use in index.oldest(0, 100)] == []


def test_a_scope_holds_its_own_and_no_neighbours(index: CacheIndex) -> None:
    owners = [
        owner(1, 1, 1, 1),
        owner(1, 1, 1, 2),
        owner(1, 1, 2, 1),
        owner(1, 2, 1, 1),
        owner(2, 1, 1, 1),
        owner(256),
    ]
    for number, whose in enumerate(owners):
        index.put(name(number), whose, 1, number)
    assert index.owned(owner(1, 1, 1, 1), 10) == [name(0)]
    assert index.owned(owner()[:3], 10) == [name(0), name(1)]
    assert index.owned(owner()[:2], 10) == [name(0), name(1), name(2)]
    assert index.owned((1,), 10) == [name(0), name(1), name(2), name(3)]
    assert index.owned((1,), 3) == [name(0), name(1), name(2)]


@given(
    st.lists(st.tuples(st.sampled_from(["put", "touch", "remove"]), st.integers(0, 5), st.integers(0, 50)))
)
def test_the_index_agrees_with_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    index = CacheIndex(tmp_path_factory.mktemp("index"), 1 << 20)
    known: dict[bytes, tuple[int, int]] = {}
    for step, number, value in steps:
        if step == "put":
            index.put(name(number), owner(), value, value)
            known[name(number)] = (value, value)
        elif step == "touch":
            index.touch({name(number): value})
            if name(number) in known:
                known[name(number)] = (value, known[name(number)][1])
        else:
            index.remove([name(number)])
            known.pop(name(number), None)
    assert (index.count(), index.total()) == (len(known), sum(size for _, size in known.values()))
    assert [use.name for use in index.oldest(10_000, 100)] == sorted(
        known, key=lambda key: (known[key][0], key)
    )
    assert sorted(index.owned((1,), 100)) == sorted(known)
    index.close()


def test_a_full_index_says_so_and_keeps_what_it_had(tmp_path: Path) -> None:
    index = CacheIndex(tmp_path / "index", 64 << 10)
    index.put(name(0), owner(), 1, 1)

    def fill() -> None:
        for number in range(1, 10_000):
            index.put(name(number), owner(uid=number), 1, number)

    with pytest.raises(StoreFullError):
        fill()
    assert index.owned(owner(), 10) == [name(0)]
    index.close()

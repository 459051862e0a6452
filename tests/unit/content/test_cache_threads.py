"""A cache that several threads fill, read, purge and clean at once: what is found is right, and files and records agree."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailsync_grpc.content.cleaning import Limits
from mailsync_grpc.content.names import Span, owner_of
from mailsync_grpc.content.parts import Part
from mailsync_grpc.content.values import MessageKey
from mailsync_grpc.store.cache_index import CacheIndex
from tests.unit.content.cache_rig import CacheRig, entry
from tests.unit.content.fakes import message

THREADS, STEPS, UIDS = 4, 200, 40


def whose(uid: int) -> MessageKey:
    return message(uid, account_no=1 + uid % 2)


def content(uid: int) -> bytes:
    return random.Random(uid).randbytes(uid * 1_000)


def keep(cached: CacheRig, uid: int) -> None:
    draft = cached.cache.draft(entry(source=whose(uid)), Part("1", "text/plain", size=uid * 1_000))
    assert draft is not None
    assert cached.cache.append(draft, content(uid))
    cached.cache.commit(draft)
    draft.file.close()


def look(cached: CacheRig, uid: int) -> None:
    found = cached.cache.find(entry(source=whose(uid)))
    if found is not None:
        assert found.file.read(0, found.file.size) == content(uid)
        found.file.close()


def steps(cached: CacheRig, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(STEPS):
        uid, chance = dice.randrange(1, UIDS), dice.random()
        if chance < 0.45:
            look(cached, uid)
        elif chance < 0.85:
            keep(cached, uid)
        elif chance < 0.95:
            cached.cache.purge(owner_of(whose(uid)))
        elif chance < 0.97:
            cached.cache.purge_between([Span(owner_of(whose(1)), owner_of(whose(uid)))])
        else:
            cached.cache.clean()


@pytest.mark.parametrize("run", range(3))
def test_files_and_records_agree_whatever_several_threads_do(cached: CacheRig, run: int) -> None:
    cached.reopen(Limits(300_000, 1.0))
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda thread: steps(cached, run * THREADS + thread), range(THREADS)))
    files = {bytes.fromhex(path.name): path.stat().st_size for path in cached.files()}
    cached.cache.close()
    index = CacheIndex(cached.directory / "index")
    assert set(index.owned((), 1_000)) >= set(files)
    assert index.total() >= sum(files.values())
    index.close()
    cached.cache = cached.open()
    for uid in range(1, UIDS):
        look(cached, uid)
    cached.cache.purge(())
    assert cached.files() == []
    assert cached.cache.holds() == (0, 0)

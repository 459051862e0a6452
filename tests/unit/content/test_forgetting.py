"""What a reader keeps goes: with its message, its numbering or its account, and when there is too much of it."""

import threading

import lmdb
import pytest

from mailsync_grpc.content import reader, structures
from mailsync_grpc.content.cache import Cache
from mailsync_grpc.content.drafts import Draft
from mailsync_grpc.content.shared import WINDOW
from mailsync_grpc.content.values import ContentKind
from mailsync_grpc.errors import EnvelopeNotFoundError, StoreFullError
from mailsync_grpc.store.cache_index import CacheIndex
from tests.unit.content.fakes import message
from tests.unit.content.rig import ENVELOPE, ReaderRig, until_kept


async def test_cache_account_purge(rig: ReaderRig) -> None:
    await rig.get("2")
    await rig.get("3", of=message(account_no=2))
    await until_kept(rig, 2)
    await rig.reader.purge_account(message().account.no)
    assert len(rig.files()) == 1
    assert (await rig.get("3", of=message(account_no=2))).header.cached


async def test_a_message_found_gone_is_purged(rig: ReaderRig) -> None:
    await rig.get("3")
    await until_kept(rig)
    rig.source.gone.add(1)
    with pytest.raises(EnvelopeNotFoundError):
        await rig.get("2", envelope=ENVELOPE)
    await until_kept(rig, 0)


async def test_a_message_is_gone_also_where_the_index_cannot_be_written(
    rig: ReaderRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.get("3")
    await until_kept(rig)

    def full(*_: object) -> int:
        raise StoreFullError("full")

    monkeypatch.setattr(CacheIndex, "remove", full)
    rig.source.gone.add(1)
    with pytest.raises(EnvelopeNotFoundError):
        await rig.get("2", envelope=ENVELOPE)


async def test_cache_epoch(rig: ReaderRig) -> None:
    await rig.get("3")
    rig.source.sections["3"] = b"WFla"
    assert (await rig.get("3", of=message(uid_validity=8), decode=True)).octets == b"XYZ"
    assert (await rig.get("3", decode=True)).octets == b"ABCDEF"


async def test_what_is_becoming_an_entry_goes_with_its_message_too(
    rig: ReaderRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, may_commit = Cache.commit, threading.Event()

    def slow(cache: Cache, draft: Draft) -> bool:
        assert may_commit.wait(10)
        return commit(cache, draft)

    monkeypatch.setattr(Cache, "commit", slow)
    await rig.get("3")
    rig.source.gone.add(1)
    with pytest.raises(EnvelopeNotFoundError):
        await rig.get("2", envelope=ENVELOPE)
    may_commit.set()
    await rig.restart()
    assert rig.files() == []


async def test_what_is_becoming_an_entry_goes_with_a_purge_of_everything(
    rig: ReaderRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever purges after a download has ended leaves nothing of it, though it may not have been kept yet."""
    commit, may_commit = Cache.commit, threading.Event()

    def slow(cache: Cache, draft: Draft) -> bool:
        assert may_commit.wait(10)
        return commit(cache, draft)

    monkeypatch.setattr(Cache, "commit", slow)
    await rig.get("3")
    await rig.reader.purge(None)
    may_commit.set()
    await rig.restart()
    assert rig.files() == []


async def test_a_cache_above_its_cap_is_cleaned_when_it_is_opened(rig: ReaderRig) -> None:
    await rig.get("2")
    await until_kept(rig)
    await rig.restart(max_bytes=WINDOW)
    await until_kept(rig, 0)


async def test_a_cleaning_that_fails_is_tried_again(rig: ReaderRig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.get("2")
    await until_kept(rig)
    failures: list[Exception] = [
        OSError("the disk is gone"),
        StoreFullError("full"),
        lmdb.CorruptedError("index"),
    ]
    clean = Cache.clean

    def failing(cache: Cache) -> int:
        if failures:
            raise failures.pop()
        return clean(cache)

    monkeypatch.setattr(Cache, "clean", failing)
    monkeypatch.setattr(reader, "CLEAN_SECONDS", 0.001)
    await rig.restart(max_bytes=WINDOW)
    await until_kept(rig, 0)


async def test_few_structures_are_remembered(rig: ReaderRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structures, "_KEPT", 2)
    for uid, asked in ((1, 1), (2, 2), (1, 2), (3, 3), (1, 3), (2, 4)):
        await rig.get(ContentKind.TEXT, of=message(uid))
        assert rig.source.structures == asked, "the one that was asked for longest ago is forgotten"

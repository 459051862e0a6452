"""What is cached goes when the log tells that its message, its folder's numbering or its account is gone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace

import lmdb
import pytest

from mailsync_grpc.content.names import Span, entry_of
from mailsync_grpc.content.parts import Part
from mailsync_grpc.content.reader import ContentReader
from mailsync_grpc.content.values import MessageKey
from mailsync_grpc.errors import RevisionCompactedError, StoreFullError
from mailsync_grpc.model.changes import (
    AccountRemoved,
    EnvelopeMoved,
    EnvelopesRemoved,
    FolderRemoved,
    FolderReset,
)
from mailsync_grpc.model.evidence import MoveEvidence
from mailsync_grpc.model.folder import MirrorNo
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services import content_forgetting
from mailsync_grpc.services.content import ContentService
from mailsync_grpc.services.content_forgetting import _MARK, _position, forget_gone
from mailsync_grpc.store.base import Batch, Counter
from mailsync_grpc.store.values import LogRecord
from tests.support.api import Api
from tests.support.store import Mailbox, message_of

OTHER = 1
"""Entries of a mailbox that nothing happens to."""


class Followed:
    """A mailbox whose messages 1 to 5 are cached, beside another one's, and the task under test."""

    def __init__(self, api: Api) -> None:
        service = api.services.servicers["ContentService"][0]
        assert isinstance(service, ContentService)
        self.api, self.reader = api, service.reader
        self.box, self.other = (Mailbox.make(api.store, account) for account in ("acme", "other"))
        self.task: asyncio.Task[None] | None = None
        for uid in range(1, 6):
            self.box.add(message_of(uid))
            keep(self.reader, self.box, uid)
        keep(self.reader, self.other, 1)

    def start(self) -> None:
        self.task = asyncio.ensure_future(forget_gone(self.api.core, self.api.feed, self.reader))

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task

    async def left(self, entries: int) -> None:
        async with asyncio.timeout(10):
            while (await self.reader.cached())[0] != entries + OTHER:  # noqa: ASYNC110 - files tell nobody
                await asyncio.sleep(0.01)


def keep(reader: ContentReader, box: Mailbox, uid: int) -> None:
    cache = reader._cache
    entry = entry_of(b"k" * 32, MessageKey(box.account, box.folder, uid), "1")
    draft = cache.draft(entry, Part("1", "text/plain"))
    assert draft is not None
    assert cache.append(draft, b"text")
    assert cache.commit(draft)
    draft.file.close()


@pytest.fixture
async def followed(api: Api) -> AsyncIterator[Followed]:
    made = Followed(api)
    while api.feed.head < api.core.head():
        await api.feed.wait(1)
    made.start()
    await asyncio.sleep(0.05)
    yield made
    await made.stop()


async def test_messages_that_are_removed_take_their_content_along(followed: Followed) -> None:
    box = followed.box
    gone = EnvelopesRemoved(box.folder.key, UidSet.of([1, 2, 4]))
    box.store.apply(Batch(box.account.key, (gone,)))
    await followed.left(2)


async def test_a_message_that_moves_takes_its_content_along(followed: Followed) -> None:
    box = followed.box
    archive = Mailbox.make(box.store, name="Archive")
    row = box.store.envelope(box.folder, 3)
    assert row is not None
    there = message_of(9, envelope_id=row.envelope_id)
    evidence = MoveEvidence.MESSAGE_ID_SIZE_DATE
    moved = EnvelopeMoved(box.folder.key, 3, archive.folder.key, there, evidence)
    box.store.apply(Batch(box.account.key, (moved,)))
    await followed.left(4)


async def test_a_folder_that_is_renumbered_loses_what_was_kept_of_it(followed: Followed) -> None:
    box, before = followed.box, followed.box.folder
    mirror = MirrorNo(box.store.allocate(Counter.MIRROR))
    after = replace(before, version=before.version + 1, mirror=mirror, uid_validity=78)
    box.store.apply(Batch(box.account.key, (FolderReset(after, before.key),)))
    await followed.left(0)


async def test_a_folder_that_is_removed_loses_what_was_kept_of_it(followed: Followed) -> None:
    box = followed.box
    box.store.apply(Batch(box.account.key, (FolderRemoved(box.folder),)))
    await followed.left(0)


async def test_cache_account_purge(followed: Followed) -> None:
    """Also when nobody was told but the log, as after a crash between the commit and the purge."""
    box = followed.box
    box.store.apply(Batch(box.account.key, (AccountRemoved(box.account.key),)))
    await followed.left(0)


async def test_what_went_while_nobody_followed_is_found_in_the_log(followed: Followed) -> None:
    box = followed.box
    async with asyncio.timeout(10):
        while not await followed.reader.mark():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await followed.stop()
    gone = EnvelopesRemoved(box.folder.key, UidSet.of([1, 2, 3, 4, 5]))
    box.store.apply(Batch(box.account.key, (gone,)))
    followed.start()
    await followed.left(0)


async def test_what_could_not_be_deleted_is_deleted_later(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget, failures = followed.reader.forget_gone, [lmdb.Error("index"), StoreFullError("full")]

    async def failing(spans: Sequence[Span], mark: bytes = b"") -> None:
        if failures:
            raise failures.pop()
        await forget(spans, mark)

    monkeypatch.setattr(followed.reader, "forget_gone", failing)
    monkeypatch.setattr(content_forgetting, "_RETRY", 0.01)
    box = followed.box
    box.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, UidSet.of([1])),)))
    await followed.left(4)


async def test_where_the_log_was_cut_what_comes_after_is_followed(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    await followed.stop()
    box, read, feed = followed.box, followed.api.feed.read, followed.api.feed
    floor = feed.head

    async def cut(after: Revision) -> list[LogRecord]:
        if after < floor:
            raise RevisionCompactedError(floor, feed.head)
        return await read(after)

    monkeypatch.setattr(feed, "read", cut)
    await followed.reader.forget_gone([], _MARK.pack(box.store.epoch, 1))
    followed.start()
    box.store.apply(Batch(box.account.key, (EnvelopesRemoved(box.folder.key, UidSet.of([1])),)))
    await followed.left(4)


def test_a_mark_of_another_store_is_no_place_in_this_one() -> None:
    mine, other = b"m" * 16, b"o" * 16
    head = Revision(50)
    assert _position(b"", mine, head) == head
    assert _position(_MARK.pack(other, 7), mine, head) == head
    assert _position(_MARK.pack(mine, 7), mine, head) == 7
    assert _position(_MARK.pack(mine, 70), mine, head) == head, "the store was rolled back"

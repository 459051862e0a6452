"""Content shared by its callers and kept on disk: one fetch, whole or not kept, gone when its message is."""

import asyncio
import errno
import os
import resource
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from mailsync_grpc.content import shared
from mailsync_grpc.content.sealed import CHUNK
from mailsync_grpc.content.shared import WINDOW
from mailsync_grpc.content.values import ContentHeader, ContentKind, DecodingWarning, MessageKey, Piece
from mailsync_grpc.errors import (
    ImapUnreachableError,
    QuotaExceededError,
)
from tests.unit.content.fakes import attachment
from tests.unit.content.rig import BIG, ENVELOPE, ReaderRig, counted, until, until_kept


async def test_a_resumed_download_fetches_from_where_it_resumes(rig: ReaderRig) -> None:
    await rig.get("2", offset=2 * WINDOW + 7)
    assert rig.source.fetches[0] == ("2", 2 * WINDOW)


async def test_cache_single_flight(rig: ReaderRig) -> None:
    """Two callers, one fetch; the one who cancels takes nothing from the other."""
    joined = counted("joined")
    rig.source.may_answer.clear()
    first = asyncio.create_task(rig.get("2"))
    await rig.source.asked.wait()
    second = asyncio.create_task(rig.get("2"))
    third = asyncio.create_task(rig.get("2"))
    await until(lambda: joined() == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    rig.source.may_answer.set()
    assert [got.octets == BIG for got in await asyncio.gather(second, third)] == [True, True]
    assert sorted(rig.source.fetches) == [("2", number * WINDOW) for number in range(4)]
    assert (await rig.get("2")).header.cached


async def test_a_cancelled_last_caller_leaves_nothing_behind(rig: ReaderRig) -> None:
    rig.source.may_answer.clear()
    only = asyncio.create_task(rig.get("2"))
    await rig.source.asked.wait()
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    rig.source.may_answer.set()
    await until_kept(rig, 0)
    assert not (await rig.get("2")).header.cached


async def test_nothing_is_fetched_that_no_reader_asked_for_yet(rig: ReaderRig) -> None:
    async with aclosing(rig.open("2")) as pieces:
        await anext(pieces)
        assert rig.source.fetches == []
        for _ in range(WINDOW // CHUNK):
            await anext(pieces)
        assert rig.source.fetches == [("2", 0)]
        fast = await rig.get("2")
        assert fast.octets == BIG
        rest = [piece async for piece in pieces]
    assert b"".join(piece for piece in rest if isinstance(piece, bytes)) == BIG[WINDOW:]
    assert len(rig.source.fetches) == 4, "the slow reader reads what the fast one fetched"


@pytest.mark.parametrize("declared", [len(BIG), 0], ids=["declared", "not declared"])
async def test_the_end_that_another_caller_came_to_makes_nothing_whole(rig: ReaderRig, declared: int) -> None:
    """One reads from the beginning, one goes on near the end meanwhile: what lies between is still to be fetched."""
    rig.source.envelope = ENVELOPE._replace(attachments=(attachment("2", declared),))
    async with aclosing(rig.open("2")) as pieces:
        for _ in range(1 + WINDOW // CHUNK):
            await anext(pieces)
        assert (await rig.get("2", offset=3 * WINDOW)).octets == BIG[3 * WINDOW :]
        rest = [piece async for piece in pieces]
    assert b"".join(piece for piece in rest if isinstance(piece, bytes)) == BIG[WINDOW:]
    await rig.restart()
    got = await rig.get("2")
    assert got.octets == BIG
    assert got.trailer.decoding_warnings == ()
    assert got.header.cached, "the first reader came to the end with all of it"


async def test_readers_at_different_places_do_not_end_each_others_runs(rig: ReaderRig) -> None:
    await rig.restart(max_bytes=0)
    got = [b"", b""]
    async with aclosing(rig.open("2")) as first, aclosing(rig.open("2", offset=2 * WINDOW)) as second:
        async for number, piece in _in_turns(first, second):
            got[number] += piece
    assert got == [BIG, BIG[2 * WINDOW :]]
    assert rig.source.runs == [0, 2 * WINDOW]


async def _in_turns(*streams: AsyncGenerator[Piece, None]) -> AsyncGenerator[tuple[int, bytes], None]:
    left = dict(enumerate(streams))
    while left:
        for number, stream in list(left.items()):
            piece = await anext(stream, None)
            if piece is None:
                del left[number]
            elif isinstance(piece, bytes):
                yield number, piece


async def test_a_download_left_early_is_not_kept(rig: ReaderRig) -> None:
    await rig.get("2", limit=10)
    await until_kept(rig, 0)
    assert not (await rig.get("2")).header.cached


async def test_short_content(rig: ReaderRig) -> None:
    """Fewer octets than declared: the real size and checksum, a warning, and never cached."""
    rig.source.sections["2"] = BIG[: WINDOW + 10]
    for _ in range(2):
        got = await rig.get("2")
        assert got.octets == BIG[: WINDOW + 10]
        assert got.header.total_size == len(BIG)
        assert not got.header.cached
        assert (got.trailer.size, got.trailer.total_size) == (WINDOW + 10, WINDOW + 10)
        assert got.trailer.decoding_warnings == (DecodingWarning.SHORT,)
    await until_kept(rig, 0)


async def test_more_content_than_declared_is_served_and_kept(rig: ReaderRig) -> None:
    rig.source.sections["3"] = b"QUJDREVGQUJD"
    assert (await rig.get("3", decode=True)).octets == b"ABCDEFABC"
    assert (await rig.get("3")).header.cached


async def test_a_failing_server_fails_the_download_and_the_next_one_succeeds(rig: ReaderRig) -> None:
    rig.source.failures = [ImapUnreachableError("connection lost")]
    with pytest.raises(ImapUnreachableError):
        await rig.get("2")
    await until_kept(rig, 0)
    assert (await rig.get("2")).octets == BIG


async def test_an_entry_found_damaged_half_way_is_finished_from_the_server(rig: ReaderRig) -> None:
    await rig.get("2")
    await until_kept(rig)
    async with aclosing(rig.open("2", chunk_size=1 << 20)) as pieces:
        header = await anext(pieces)
        assert isinstance(header, ContentHeader)
        assert header.cached
        (file,) = rig.files()
        with file.open("r+b") as handle:
            handle.seek(file.stat().st_size // 2)
            handle.write(b"\0" * 32)
        rest = [piece async for piece in pieces]
    assert b"".join(piece for piece in rest if isinstance(piece, bytes)) == BIG
    await until_kept(rig, 0)


async def test_without_a_cache_content_is_streamed_all_the_same(rig: ReaderRig) -> None:
    await rig.restart(max_bytes=0)
    assert (await rig.get("2")).octets == BIG
    assert rig.files() == []


@pytest.mark.parametrize("octets_that_fit", [0, WINDOW + CHUNK])
async def test_on_a_full_disk_content_is_streamed_and_not_kept(
    rig: ReaderRig, monkeypatch: pytest.MonkeyPatch, octets_that_fit: int
) -> None:
    """From the first octet on, or in the middle: the callers notice nothing, and later ones are kept again."""
    room, write = octets_that_fit, os.write

    def filling(handle: int, data: bytes) -> int:
        nonlocal room
        room -= len(data)
        if room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, data)

    monkeypatch.setattr(os, "write", filling)
    first, second = await asyncio.gather(rig.get("2"), rig.get("2"))
    assert first.octets == second.octets == BIG
    await until_kept(rig, 0)
    monkeypatch.undo()
    assert (await rig.get("2")).octets == BIG
    await until_kept(rig, 1)
    assert (await rig.get("2")).header.cached


async def test_where_the_system_takes_no_more_of_a_file_content_is_streamed_and_not_kept(
    rig: ReaderRig,
) -> None:
    """No fault put in: the kernel takes a part of a write and refuses the rest, as it does on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (WINDOW + CHUNK + 100, hard))
    try:
        first, second = await asyncio.gather(rig.get("2"), rig.get("2"))
        assert first.octets == second.octets == BIG
        await until_kept(rig, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (await rig.get("2")).header.cached
    await until_kept(rig, 1)
    assert (await rig.get("2")).header.cached


async def test_content_beyond_the_cap_is_streamed_and_not_kept(rig: ReaderRig) -> None:
    await rig.restart(max_bytes=WINDOW)
    assert (await rig.get("2")).octets == BIG
    await until_kept(rig, 0)


async def test_the_structure_is_asked_for_once_by_many(rig: ReaderRig) -> None:
    await asyncio.gather(
        *(rig.get(ContentKind.TEXT) for _ in range(5)), rig.get("3"), rig.get(ContentKind.RAW)
    )
    assert rig.source.structures == 1


async def test_mime_bomb(rig: ReaderRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends without end is cut off, whatever it declares."""
    monkeypatch.setattr(shared, "MAX_CONTENT", 2 * WINDOW)
    with pytest.raises(QuotaExceededError):
        await rig.get("2")
    await until_kept(rig, 0)


async def test_a_closed_reader_has_closed_its_connections(rig: ReaderRig) -> None:
    await rig.restart()
    assert rig.source.closed


async def test_readers_at_different_places_of_what_is_not_kept_go_on_with_their_runs(rig: ReaderRig) -> None:
    await rig.restart(max_bytes=0)
    rig.source.sections["2"] = octets = bytes(8 * WINDOW)
    rig.source.envelope = ENVELOPE._replace(attachments=(attachment("2", len(octets)),))
    places = [number * 2 * WINDOW for number in range(4)]

    async def read(place: int) -> None:
        assert (await rig.get("2", offset=place, limit=2 * WINDOW)).octets == octets[: 2 * WINDOW]

    async with aclosing(rig.open("2")) as idle:
        await anext(idle)
        await asyncio.gather(*map(read, places))
    assert sorted(rig.source.runs) == places


async def test_what_is_asked_for_once_more_is_asked_for_alone(
    rig: ReaderRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that sends less than is asked for at a time is not asked ahead for what would be thrown away."""
    windows, octets = rig.source.windows, rig.source.octets
    ahead: list[tuple[int, bool]] = []

    def noting(
        key: MessageKey, section: str, offset: int, size: int, expected: int
    ) -> AsyncGenerator[bytes, None]:
        ahead.append((offset, expected > offset + size))
        return windows(key, section, offset, size, expected)

    async def at_most_half(key: MessageKey, section: str, offset: int, length: int) -> bytes:
        return await octets(key, section, offset, min(length, WINDOW // 2))

    monkeypatch.setattr(rig.source, "windows", noting)
    monkeypatch.setattr(rig.source, "octets", at_most_half)
    assert (await rig.get("2")).octets == BIG
    assert [more for offset, more in ahead if offset % WINDOW] == [False] * 4

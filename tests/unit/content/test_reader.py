"""What a caller of content gets: the right octets, from one fetch, whatever happens to others and to the cache."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from mailsync_grpc.content import shared
from mailsync_grpc.content.cache import Cache
from mailsync_grpc.content.cleaning import Limits
from mailsync_grpc.content.reader import ContentReader
from mailsync_grpc.content.sealed import CHUNK
from mailsync_grpc.content.shared import WINDOW
from mailsync_grpc.content.values import ContentHeader, ContentKind, DecodingWarning, MessageKey, Piece, What
from mailsync_grpc.errors import (
    ContentChangedError,
    EnvelopeNotFoundError,
    ImapUnreachableError,
    InvalidFieldError,
    PartNotFoundError,
    QuotaExceededError,
)
from mailsync_grpc.metrics import CONTENT_CACHE_REQUESTS
from mailsync_grpc.model.envelope import Envelope, Partial, PartialReason
from tests.unit.content.fakes import KEY, Download, FakeSource, attachment, download, message, text_part

BIG = bytes(range(251)) * 4_000  # four windows, the last one not full
ENVELOPE = Envelope(
    size=3_000,
    text_parts=(text_part("1", 9, charset="iso-8859-1", encoding="quoted-printable"),),
    attachments=(attachment("2", len(BIG), "../../etc/passwd"), attachment("3", 8, encoding="base64")),
)
SECTIONS = {"1": b"Gr=FC=DFe\r\n", "2": BIG, "3": b"QUJDREVG", "": b"whole", "HEADER": b"Subject: x\r\n\r\n"}


class Rig:
    """A reader over a fake mail server and a real cache directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.source = FakeSource(dict(SECTIONS), ENVELOPE)
        self.reader = self.new_reader()

    def new_reader(self, max_bytes: int = 1 << 30) -> ContentReader:
        cache = Cache(self.directory, KEY, Limits(max_bytes, 0.99), disk=lambda _: (0, 1 << 40))
        return ContentReader(self.source, cache, KEY, CHUNK)

    async def restart(self, max_bytes: int = 1 << 30) -> None:
        await self.reader.__aexit__(None, None, None)
        self.reader = await self.new_reader(max_bytes).__aenter__()

    def open(
        self,
        what: What,
        *,
        of: MessageKey | None = None,
        envelope: Envelope | None = None,
        decode: bool = False,
        offset: int = 0,
        limit: int = 0,
        if_match: str = "",
        chunk_size: int = 0,
    ) -> AsyncGenerator[Piece, None]:
        asked = of or message()
        return self.reader.open(
            asked.account,
            asked.folder,
            asked.uid,
            what,
            envelope=envelope,
            decode=decode,
            offset=offset,
            limit=limit,
            if_match=if_match,
            chunk_size=chunk_size,
        )

    async def get(self, what: What, **options: object) -> Download:
        return await download(self.open(what, **options))  # type: ignore[arg-type]  # options are open's own

    def files(self) -> list[Path]:
        return [path for path in self.directory.rglob("*") if path.is_file() and path.parent.name != "index"]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path / "content")
    await rig.reader.__aenter__()
    yield rig
    await rig.reader.__aexit__(None, None, None)


def counted(result: str) -> Callable[[], float]:
    counter = CONTENT_CACHE_REQUESTS.labels(result)
    before = counter._value.get()
    return lambda: counter._value.get() - before


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  files and counters tell nobody when they change
            await asyncio.sleep(0.001)


async def until_kept(rig: Rig, files: int = 1) -> None:
    await until(lambda: len(rig.files()) == files)


async def test_a_part_arrives_in_chunks_with_its_size_and_checksum(rig: Rig) -> None:
    got = await rig.get("2")
    assert got.octets == BIG
    assert {len(chunk) for chunk in got.chunks[:-1]} == {CHUNK}
    assert (got.header.total_size, got.header.file_name, got.header.cached) == (
        len(BIG),
        "../../etc/passwd",
        False,
    )
    assert (got.trailer.size, got.trailer.total_size) == (len(BIG), len(BIG))
    assert got.trailer.sha256 == hashlib.sha256(BIG).digest()


async def test_what_was_read_to_its_end_is_served_from_disk_after_a_restart(rig: Rig) -> None:
    misses, hits = counted("miss"), counted("hit")
    first = await rig.get("2")
    await rig.restart()
    fetched = len(rig.source.fetches)
    rig.source.gone.add(1)  # nothing can be asked of the server any more
    second = await rig.get("2")
    assert second.octets == BIG
    assert second.header.cached
    assert second.header.etag == first.header.etag
    assert len(rig.source.fetches) == fetched
    assert (misses(), hits()) == (1, 1)


async def test_text_is_decoded_to_utf8_or_left_as_sent(rig: Rig) -> None:
    decoded = await rig.get(ContentKind.TEXT, decode=True)
    assert decoded.octets == "Grüße\r\n".encode()
    assert (decoded.header.media_type, decoded.header.charset) == ("text/plain", "utf-8")
    assert (decoded.header.section, decoded.header.transfer_encoding) == ("1", "")
    assert decoded.header.total_size is None
    assert decoded.trailer.total_size == len(decoded.octets)
    sent = await rig.get("1")
    assert sent.octets == SECTIONS["1"]
    assert (sent.header.charset, sent.header.transfer_encoding) == ("iso-8859-1", "quoted-printable")
    assert sent.header.etag != decoded.header.etag
    assert rig.source.fetches == [("1", 0)], "both forms come from one fetch"


async def test_headers_and_the_whole_message_are_never_decoded(rig: Rig) -> None:
    for kind, octets in ((ContentKind.HEADERS, SECTIONS["HEADER"]), (ContentKind.RAW, SECTIONS[""])):
        got = await rig.get(kind, decode=True)
        assert got.octets == octets
        assert got.header.section == ""


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("offset", "limit"),
    [(0, 10), (5, 0), (WINDOW, 1), (WINDOW - 1, 2), (len(BIG), 0), (len(BIG) + WINDOW, 5), (1 << 62, 0)],
)
async def test_offset_and_limit_cut_the_stream(rig: Rig, offset: int, limit: int, cached: bool) -> None:
    if cached:
        await rig.get("2")
    got = await rig.get("2", offset=offset, limit=limit)
    assert got.octets == BIG[offset : offset + limit if limit else None]
    assert got.header.offset == offset
    assert got.trailer.size == len(got.octets)


async def test_offset_counts_decoded_octets(rig: Rig) -> None:
    assert (await rig.get("3", decode=True, offset=2, limit=3)).octets == b"CDE"


async def test_a_resumed_download_fetches_from_where_it_resumes(rig: Rig) -> None:
    await rig.get("2", offset=2 * WINDOW + 7)
    assert rig.source.fetches[0] == ("2", 2 * WINDOW)


@pytest.mark.parametrize(
    ("asked", "size"), [(1, 1 << 10), (0, CHUNK), (100_000, 100_000), (1 << 30, len(BIG))]
)
async def test_chunk_sizes_are_kept_within_bounds(rig: Rig, asked: int, size: int) -> None:
    assert len((await rig.get("2", chunk_size=asked)).chunks[0]) == size


async def test_if_match_names_content_and_form(rig: Rig) -> None:
    etag = (await rig.get("3", decode=True)).header.etag
    assert (await rig.get("3", decode=True, offset=3, if_match=etag)).octets == b"DEF"
    with pytest.raises(ContentChangedError):
        await rig.get("3", if_match=etag)
    with pytest.raises(ContentChangedError):
        await rig.get("3", decode=True, if_match="ünfit")


async def test_cache_single_flight(rig: Rig) -> None:
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


async def test_a_cancelled_last_caller_leaves_nothing_behind(rig: Rig) -> None:
    rig.source.may_answer.clear()
    only = asyncio.create_task(rig.get("2"))
    await rig.source.asked.wait()
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    rig.source.may_answer.set()
    await until_kept(rig, 0)
    assert not (await rig.get("2")).header.cached


async def test_nothing_is_fetched_that_no_reader_asked_for_yet(rig: Rig) -> None:
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


async def test_a_download_left_early_is_not_kept(rig: Rig) -> None:
    await rig.get("2", limit=10)
    await until_kept(rig, 0)
    assert not (await rig.get("2")).header.cached


async def test_short_content(rig: Rig) -> None:
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


async def test_more_content_than_declared_is_served_and_kept(rig: Rig) -> None:
    rig.source.sections["3"] = b"QUJDREVGQUJD"
    assert (await rig.get("3", decode=True)).octets == b"ABCDEFABC"
    assert (await rig.get("3")).header.cached


async def test_a_failing_server_fails_the_download_and_the_next_one_succeeds(rig: Rig) -> None:
    rig.source.failures = [ImapUnreachableError("connection lost")]
    with pytest.raises(ImapUnreachableError):
        await rig.get("2")
    await until_kept(rig, 0)
    assert (await rig.get("2")).octets == BIG


async def test_an_entry_found_damaged_half_way_is_finished_from_the_server(rig: Rig) -> None:
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


async def test_without_a_cache_content_is_streamed_all_the_same(rig: Rig) -> None:
    await rig.restart(max_bytes=0)
    assert (await rig.get("2")).octets == BIG
    assert rig.files() == []


async def test_content_beyond_the_cap_is_streamed_and_not_kept(rig: Rig) -> None:
    await rig.restart(max_bytes=WINDOW)
    assert (await rig.get("2")).octets == BIG
    await until_kept(rig, 0)


async def test_unknown_messages_and_parts_are_not_found(rig: Rig) -> None:
    with pytest.raises(PartNotFoundError, match="HTML"):
        await rig.get(ContentKind.HTML)
    with pytest.raises(PartNotFoundError, match="section 9"):
        await rig.get("9")
    with pytest.raises(InvalidFieldError):
        await rig.get("../1")
    rig.source.gone.add(2)
    with pytest.raises(EnvelopeNotFoundError):
        await rig.get("1", of=message(2))


async def test_what_the_store_knows_saves_asking_for_the_structure(rig: Rig) -> None:
    assert (await rig.get(ContentKind.TEXT, envelope=ENVELOPE)).octets == SECTIONS["1"]
    assert rig.source.structures == 0
    unread = Envelope(partial=Partial(PartialReason.MALFORMED, "unreadable"))
    assert (await rig.get(ContentKind.TEXT, envelope=unread)).octets == SECTIONS["1"]
    assert rig.source.structures == 1


async def test_the_structure_is_asked_for_once_by_many(rig: Rig) -> None:
    await asyncio.gather(
        *(rig.get(ContentKind.TEXT) for _ in range(5)), rig.get("3"), rig.get(ContentKind.RAW)
    )
    assert rig.source.structures == 1


async def test_cache_account_purge(rig: Rig) -> None:
    await rig.get("2")
    await rig.get("3", of=message(account_no=2))
    await until_kept(rig, 2)
    await rig.reader.purge_account(message().account.no)
    assert len(rig.files()) == 1
    assert (await rig.get("3", of=message(account_no=2))).header.cached


async def test_a_message_found_gone_is_purged(rig: Rig) -> None:
    await rig.get("3")
    await until_kept(rig)
    rig.source.gone.add(1)
    with pytest.raises(EnvelopeNotFoundError):
        await rig.get("2", envelope=ENVELOPE)
    await until_kept(rig, 0)


async def test_cache_epoch(rig: Rig) -> None:
    await rig.get("3")
    rig.source.sections["3"] = b"WFla"
    assert (await rig.get("3", of=message(uid_validity=8), decode=True)).octets == b"XYZ"
    assert (await rig.get("3", decode=True)).octets == b"ABCDEF"


async def test_mime_bomb(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends without end is cut off, whatever it declares."""
    monkeypatch.setattr(shared, "MAX_CONTENT", 2 * WINDOW)
    with pytest.raises(QuotaExceededError):
        await rig.get("2")
    await until_kept(rig, 0)


async def test_an_unknown_transfer_encoding_is_passed_on_with_a_warning(rig: Rig) -> None:
    rig.source.envelope = Envelope(attachments=(attachment("3", 8, encoding="x-uuencode"),))
    got = await rig.get("3", decode=True)
    assert got.octets == SECTIONS["3"]
    assert got.header.transfer_encoding == "x-uuencode"
    assert got.trailer.decoding_warnings == (DecodingWarning.UNKNOWN_TRANSFER_ENCODING,)


async def test_a_closed_reader_has_closed_its_connections(rig: Rig) -> None:
    await rig.restart()
    assert rig.source.closed

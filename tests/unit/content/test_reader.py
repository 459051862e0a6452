"""What a caller of content gets: the right octets in the right form, or why not."""

import hashlib

import pytest

from mailsync_grpc.content.sealed import CHUNK
from mailsync_grpc.content.shared import WINDOW
from mailsync_grpc.content.values import ContentKind, DecodingWarning
from mailsync_grpc.errors import (
    ContentChangedError,
    EnvelopeNotFoundError,
    InvalidFieldError,
    PartNotFoundError,
)
from mailsync_grpc.model.envelope import Envelope, Partial, PartialReason
from tests.unit.content.fakes import attachment, message, text_part
from tests.unit.content.rig import BIG, ENVELOPE, SECTIONS, ReaderRig, counted, until_kept


async def test_a_part_arrives_in_chunks_with_its_size_and_checksum(rig: ReaderRig) -> None:
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


async def test_what_was_read_to_its_end_is_served_from_disk_after_a_restart(rig: ReaderRig) -> None:
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


async def test_text_is_decoded_to_utf8_or_left_as_sent(rig: ReaderRig) -> None:
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


@pytest.mark.parametrize(
    ("encoding", "sent", "octets"),
    [
        ("base64", b"Y2Fmww", b"caf\xef\xbf\xbd"),
        ("quoted-printable", b"caf=C3=A9 = ", "café ".encode()),
        ("8bit", b"caf\xc3", b"caf\xef\xbf\xbd"),
    ],
)
async def test_what_is_held_back_for_what_follows_comes_when_nothing_does(
    rig: ReaderRig, encoding: str, sent: bytes, octets: bytes
) -> None:
    rig.source.envelope = Envelope(
        text_parts=(text_part("1", len(sent), charset="utf-8", encoding=encoding),)
    )
    rig.source.sections["1"] = sent
    got = await rig.get("1", decode=True)
    assert got.octets == octets
    assert (got.trailer.size, got.trailer.total_size) == (len(octets), len(octets))
    assert (await rig.get("1", decode=True, limit=3)).octets == b"caf"


async def test_headers_and_the_whole_message_are_never_decoded(rig: ReaderRig) -> None:
    for kind, octets in ((ContentKind.HEADERS, SECTIONS["HEADER"]), (ContentKind.RAW, SECTIONS[""])):
        got = await rig.get(kind, decode=True)
        assert got.octets == octets
        assert got.header.section == ""


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("offset", "limit"),
    [(0, 10), (5, 0), (WINDOW, 1), (WINDOW - 1, 2), (len(BIG), 0), (len(BIG) + WINDOW, 5), (1 << 62, 0)],
)
async def test_offset_and_limit_cut_the_stream(rig: ReaderRig, offset: int, limit: int, cached: bool) -> None:
    if cached:
        await rig.get("2")
    got = await rig.get("2", offset=offset, limit=limit)
    assert got.octets == BIG[offset : offset + limit if limit else None]
    assert got.header.offset == offset
    assert got.trailer.size == len(got.octets)


@pytest.mark.parametrize("decode", [False, True])
async def test_what_has_no_octets_is_whole_all_the_same(rig: ReaderRig, decode: bool) -> None:
    rig.source.envelope = Envelope(text_parts=(text_part(encoding="base64"),))
    rig.source.sections |= {"": b"", "1": b""}
    for what, held in ((ContentKind.RAW, 1), (ContentKind.TEXT, 2)):
        for cached in (False, True):
            got = await rig.get(what, decode=decode)
            assert (got.chunks, got.header.cached) == ([], cached)
            assert (got.trailer.size, got.trailer.total_size) == (0, 0)
            assert got.trailer.sha256 == hashlib.sha256().digest()
            await until_kept(rig, held)


async def test_offset_counts_decoded_octets(rig: ReaderRig) -> None:
    assert (await rig.get("3", decode=True, offset=2, limit=3)).octets == b"CDE"


@pytest.mark.parametrize(
    ("asked", "size"), [(1, 1 << 10), (0, CHUNK), (100_000, 100_000), (1 << 30, 1 << 20)]
)
async def test_chunk_sizes_are_kept_within_bounds(rig: ReaderRig, asked: int, size: int) -> None:
    assert len((await rig.get("2", chunk_size=asked)).chunks[0]) == size


async def test_if_match_names_content_and_form(rig: ReaderRig) -> None:
    etag = (await rig.get("3", decode=True)).header.etag
    assert (await rig.get("3", decode=True, offset=3, if_match=etag)).octets == b"DEF"
    with pytest.raises(ContentChangedError):
        await rig.get("3", if_match=etag)
    with pytest.raises(ContentChangedError):
        await rig.get("3", decode=True, if_match="ünfit")


async def test_unknown_messages_and_parts_are_not_found(rig: ReaderRig) -> None:
    with pytest.raises(PartNotFoundError, match="HTML"):
        await rig.get(ContentKind.HTML)
    with pytest.raises(PartNotFoundError, match="section 9"):
        await rig.get("9")
    with pytest.raises(InvalidFieldError):
        await rig.get("../1")
    rig.source.gone.add(2)
    with pytest.raises(EnvelopeNotFoundError):
        await rig.get("1", of=message(2))


async def test_what_the_store_knows_saves_asking_for_the_structure(rig: ReaderRig) -> None:
    assert (await rig.get(ContentKind.TEXT, envelope=ENVELOPE)).octets == SECTIONS["1"]
    assert rig.source.structures == 0
    unread = Envelope(partial=Partial(PartialReason.MALFORMED, "unreadable"))
    assert (await rig.get(ContentKind.TEXT, envelope=unread)).octets == SECTIONS["1"]
    assert rig.source.structures == 1


async def test_an_unknown_transfer_encoding_is_passed_on_with_a_warning(rig: ReaderRig) -> None:
    rig.source.envelope = Envelope(attachments=(attachment("3", 8, encoding="x-uuencode"),))
    got = await rig.get("3", decode=True)
    assert got.octets == SECTIONS["3"]
    assert got.header.transfer_encoding == "x-uuencode"
    assert got.trailer.decoding_warnings == (DecodingWarning.UNKNOWN_TRANSFER_ENCODING,)

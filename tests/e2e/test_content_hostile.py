"""Content that lies, is without end, or goes away: from a real Dovecot, or where that is too honest from a faked server."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mailsync_grpc.cli.demo import mime
from mailsync_grpc.content.values import ContentKind, DecodingWarning, MessageKey, Wanted
from mailsync_grpc.errors import EnvelopeNotFoundError, PartNotFoundError, UidValidityChangedError
from mailsync_grpc.v1 import content_service_pb2
from tests.support.content_corpus import HEAD, multiparts
from tests.support.content_rig import ContentRig
from tests.support.content_site import PICTURE, Site, with_file
from tests.support.hostile import HostileServer
from tests.support.hostile_faults import Reply
from tests.support.service import Service, Stubs, running, wait_for
from tests.unit.content.fakes import download


async def test_charset_torture(rig: ContentRig) -> None:
    """Labels that lie and encodings that are broken: something readable, a warning, never an error."""
    liars = {
        b"us-ascii": ("Grüße".encode("cp1252"), "Grüße", DecodingWarning.UNKNOWN_CHARSET),
        b"x-unheard-of": ("日本".encode(), "日本", DecodingWarning.UNKNOWN_CHARSET),
        b"utf-8": (b"caf\xe9!", "caf\ufffd!", DecodingWarning.REPLACED_OCTETS),
        b"zlib": (b"plain", "plain", DecodingWarning.UNKNOWN_CHARSET),
    }
    broken = HEAD + mime.part(b"text/plain; charset=utf-8", b"SGVs*bG8\r\n", b"base64")
    rig.mailbox.deliver(
        [
            *(
                HEAD + mime.part(b"text/plain; charset=" + label, lie[0], b"8bit")
                for label, lie in liars.items()
            ),
            broken,
        ]
    )
    rig.client.select("INBOX", readonly=True)
    for uid, (_, shown, warning) in enumerate(liars.values(), 1):
        got = await rig.get(uid, ContentKind.TEXT, decode=True)
        assert got.octets.decode().rstrip() == shown
        assert got.trailer.decoding_warnings == (warning,)
    got = await rig.get(len(liars) + 1, ContentKind.TEXT, decode=True)
    assert got.octets == b"Hello"
    assert got.trailer.decoding_warnings == (DecodingWarning.BROKEN_TRANSFER_ENCODING,)


def halving(reply: Reply) -> Reply:
    """Half of what was asked for, said to be all of it."""

    def halved(line: bytes) -> bytes:
        found = re.search(rb"\{(\d+)\}\r\n", line)
        if found is None:
            return line
        start, size = found.end(), int(found[1])
        return b"%b{%d}\r\n%b" % (
            line[: found.start()],
            size // 2,
            line[start : start + size // 2] + line[start + size :],
        )

    return replace(reply, lines=tuple(halved(line) for line in reply.lines))


def test_short_content(tmp_path: Path, hostile: HostileServer) -> None:
    """Real size and checksum, a warning, never cached; and whole once the server sends all."""
    hostile.mailbox.deliver([with_file(PICTURE)])
    with running(Service(tmp_path / "home")) as service, Stubs(service.address) as stubs:
        site = Site(service, stubs, hostile.mailbox)
        site.sync()
        name = site.names()[1]
        hostile.always(rb"BODY\.PEEK\[2\]", halving)
        for _ in range(2):
            header, *chunks, trailer = site.pieces(name, "2", decode=False)
            octets = b"".join(piece.chunk for piece in chunks)
            assert mime.base64_lines(PICTURE).startswith(octets)
            assert 0 < len(octets) < header.header.total_size
            assert (trailer.trailer.size, trailer.trailer.total_size) == (len(octets), len(octets))
            assert trailer.trailer.sha256 == hashlib.sha256(octets).digest()
            assert trailer.trailer.decoding_warnings == [content_service_pb2.DECODING_WARNING_SHORT]
            assert not header.header.cached
        hostile.heal()
        assert site.get(name, "2") == (PICTURE, False)
        wait_for(lambda: site.get(name, "2")[1] or None, 20, "the entry")


async def test_mime_bomb(rig: ContentRig) -> None:
    """Thousands of parts, hundreds of levels, a header of a megabyte: served or refused by name, and soon."""
    many = HEAD + mime.multipart(
        "mixed", b"b", [mime.part(b"text/plain", b"%d" % number, b"7bit") for number in range(10_000)]
    )
    deep = b"Content-Type: text/plain\r\n\r\nbottom\r\n"
    for level in range(300):
        deep = mime.multipart("mixed", b"level-%d-" % level, [deep])
    header = (
        HEAD
        + b"".join(b"X-Bomb-%d: %s\r\n" % (number, b"x" * 900) for number in range(1_100))
        + b"\r\nbody\r\n"
    )
    bombs = [many, HEAD + deep, header]
    rig.mailbox.deliver(bombs)
    rig.client.select("INBOX", readonly=True)
    for uid, bomb in enumerate(bombs, 1):
        assert (await rig.get(uid, ContentKind.RAW)).octets == bomb
        assert (await rig.get(uid, ContentKind.HEADERS)).octets == rig.wire(uid, "HEADER")
    for section in (1, 2_999, 9_998):
        assert (await rig.get(1, str(section))).octets == b"%d" % (section - 1)
    with pytest.raises(PartNotFoundError):
        await rig.get(1, "10001")
    assert (await rig.get(3, ContentKind.TEXT)).octets == b"body\r\n"


async def test_a_message_delivered_after_the_folder_was_opened_is_found(rig: ContentRig) -> None:
    rig.mailbox.deliver([HEAD + b"\r\none\r\n"])
    rig.client.select("INBOX", readonly=True)
    assert (await rig.get(1, ContentKind.TEXT)).octets == b"one\r\n"
    rig.mailbox.deliver([HEAD + b"\r\ntwo\r\n"])
    assert (await rig.get(2, ContentKind.TEXT)).octets == b"two\r\n"
    rig.mailbox.deliver([HEAD + b"\r\nthree\r\n"])
    assert (await rig.get(3, ContentKind.HEADERS)).octets == HEAD + b"\r\n"


async def test_expunged_messages_and_renumbered_folders_are_told_apart(rig: ContentRig) -> None:
    rig.mailbox.deliver([HEAD + b"\r\none\r\n", HEAD + b"\r\ntwo\r\n"])
    rig.client.select("INBOX", readonly=True)
    rig.mailbox.expunge("1")
    with pytest.raises(EnvelopeNotFoundError):
        await rig.get(1, ContentKind.TEXT)
    with pytest.raises(EnvelopeNotFoundError):
        await rig.get(1, ContentKind.HEADERS)
    renumbered = replace(rig.folder, uid_validity=rig.folder.uid_validity + 1)
    with pytest.raises(UidValidityChangedError):
        await download(rig.reader.open(MessageKey(rig.account, renumbered, 2), Wanted(ContentKind.TEXT)))
    assert (await rig.get(2, ContentKind.TEXT)).octets == b"two\r\n"


async def test_reading_leaves_no_trace_on_the_server(rig: ContentRig) -> None:
    rig.mailbox.deliver(multiparts())
    rig.client.select("INBOX", readonly=True)
    before = rig.mailbox.flags_by_uid()
    for kind in (ContentKind.RAW, ContentKind.HEADERS):
        await rig.get(1, kind)
    await rig.get(1, "2")
    assert rig.mailbox.flags_by_uid() == before

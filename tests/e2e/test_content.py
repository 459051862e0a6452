"""Content from a real Dovecot, octet for octet what an independent reading (imaplib and email) of the mailbox says."""

import base64
import email
import hashlib

import pytest

from mailsync_grpc.content.values import ContentKind
from mailsync_grpc.errors import PartNotFoundError
from tests.support.content_corpus import (
    BIG,
    CORPUS,
    HEAD,
    broken,
    every_charset_and_encoding,
    long,
    multiparts,
    nested,
    odd,
    text,
)
from tests.support.content_rig import ContentRig, leaves


async def test_every_part_is_octet_for_octet_what_an_independent_reading_says(rig: ContentRig) -> None:
    rig.mailbox.deliver(CORPUS)
    rig.client.select("INBOX", readonly=True)
    compared = 0
    for uid, source in enumerate(CORPUS, 1):
        raw = await rig.get(uid, ContentKind.RAW)
        assert raw.octets == source
        assert raw.trailer.sha256 == hashlib.sha256(source).digest()
        assert (await rig.get(uid, ContentKind.HEADERS)).octets == rig.wire(uid, "HEADER")
        for leaf in leaves(email.message_from_bytes(source)):
            sent = await rig.get(uid, leaf.section)
            assert sent.octets == rig.wire(uid, leaf.section), (uid, leaf.section)
            assert sent.trailer.decoding_warnings == ()
            compared += 1
    assert compared > len(CORPUS)


async def test_decoded_parts_are_what_the_email_package_decodes(rig: ContentRig) -> None:
    corpus = [*every_charset_and_encoding(), *multiparts(), *nested(), *long(), *odd()]
    rig.mailbox.deliver(corpus)
    rig.client.select("INBOX", readonly=True)
    for uid, source in enumerate(corpus, 1):
        for leaf in leaves(email.message_from_bytes(source)):
            if leaf.part.get_content_maintype() == "message":
                continue
            got = await rig.get(uid, leaf.section, decode=True)
            assert got.octets == leaf.decoded, (uid, leaf.section)
            assert got.trailer.decoding_warnings == ()
            assert got.header.media_type == leaf.part.get_content_type()


async def test_broken_mail_is_read_as_its_server_reads_it(rig: ContentRig) -> None:
    """Every section that the server has is served octet for octet, decoded in some way, and no other one is."""
    corpus = list(broken())
    rig.mailbox.deliver(corpus)
    rig.client.select("INBOX", readonly=True)
    served = 0
    for uid in range(1, len(corpus) + 1):
        assert (await rig.get(uid, ContentKind.RAW)).octets == rig.wire(uid, ""), uid
        assert (await rig.get(uid, ContentKind.HEADERS)).octets == rig.wire(uid, "HEADER"), uid
        for section in ("1", "2", "1.1", "1.2", "2.1", "2.2"):
            try:
                sent = await rig.get(uid, section)
            except PartNotFoundError:
                # Dovecot answers 1.1 with part 1 where that has no parts.
                leaf = section.rpartition(".")[0]
                assert rig.wire(uid, section) in {b"", rig.wire(uid, leaf)}, (uid, section)
                continue
            assert sent.octets == rig.wire(uid, section), (uid, section)
            decoded = await rig.get(uid, section, decode=True)
            assert bool(decoded.octets) or not sent.octets.strip(), (uid, section)
            if decoded.header.charset == "utf-8" and not decoded.header.transfer_encoding:
                decoded.octets.decode("utf-8")
            served += 1
    assert served > len(corpus)


async def test_text_and_html_are_the_parts_a_reader_would_be_shown(rig: ContentRig) -> None:
    source = next(multiparts())
    rig.mailbox.deliver([source, HEAD + text("utf-8", b"base64")])
    rig.client.select("INBOX", readonly=True)
    plain, html = list(leaves(email.message_from_bytes(source)))[:2]
    for kind, leaf in ((ContentKind.TEXT, plain), (ContentKind.HTML, html)):
        got = await rig.get(1, kind, decode=True)
        assert (got.header.section, got.octets) == (leaf.section, leaf.decoded)
    with pytest.raises(PartNotFoundError):
        await rig.get(2, ContentKind.HTML)


async def test_what_is_shown_is_found_in_every_multipart_and_never_in_an_attached_message(
    rig: ContentRig,
) -> None:
    shown = {
        "message/rfc822": (None, None),
        "multipart/mixed": ("2", None),
        "multipart/digest": (None, None),
        "multipart/signed": ("1.2", None),
        "multipart/report": ("1", None),
        "related": ("1.1.1", "1.1.2"),
    }
    corpus = list(nested())
    rig.mailbox.deliver(corpus)
    rig.client.select("INBOX", readonly=True)
    seen = set()
    for uid, source in enumerate(corpus, 1):
        message = email.message_from_bytes(source)
        kind = "related" if b"multipart/related" in source else message.get_content_type()
        if b'boundary="bare"' in source:
            continue
        seen.add(kind)
        for what, section in zip((ContentKind.TEXT, ContentKind.HTML), shown[kind], strict=True):
            if section is None:
                with pytest.raises(PartNotFoundError):
                    await rig.get(uid, what)
            else:
                assert (await rig.get(uid, what)).header.section == section, (uid, kind)
    assert seen == set(shown)


async def test_an_attachment_is_whole_named_and_from_disk_the_second_time(rig: ContentRig) -> None:
    rig.mailbox.deliver([next(multiparts())])
    rig.client.select("INBOX", readonly=True)
    first = await rig.get(1, "2", decode=True)
    assert first.octets == BIG
    assert first.header.file_name == "../../etc/passwd"
    assert not first.header.cached
    second = await rig.get(1, "2", decode=True, offset=1_000_000)
    assert second.octets == BIG[1_000_000:]
    assert second.header.cached
    assert second.header.etag == first.header.etag
    stored = b"".join(path.read_bytes() for path in rig.directory.rglob("*") if path.is_file())
    assert BIG[:64] not in stored
    assert base64.b64encode(BIG[:48]) not in stored


async def test_parts_inside_an_attached_message_and_multiparts_as_a_whole_are_served(rig: ContentRig) -> None:
    rig.mailbox.deliver([next(multiparts())])
    rig.client.select("INBOX", readonly=True)
    for section in ("1", "4", "4.1", "4.2"):
        assert (await rig.get(1, section)).octets == rig.wire(1, section), section
    assert (await rig.get(1, "4.1", decode=True)).octets.startswith("0 Grüße aus Köln\r\n".encode())
    assert (await rig.get(1, "4.2", decode=True)).octets == BIG
    for section in ("5", "1.3", "4.3", "2.1"):
        with pytest.raises(PartNotFoundError):
            await rig.get(1, section)

"""Content from a real Dovecot, octet for octet what an independent reading (imaplib and email) of the mailbox says."""

import base64
import email
import email.message
import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

import pytest

from mailsync_grpc.cli.demo import mime
from mailsync_grpc.config import Config, ImapConfig
from mailsync_grpc.content.reader import ContentReader, open_reader
from mailsync_grpc.content.values import ContentKind, DecodingWarning, What
from mailsync_grpc.errors import EnvelopeNotFoundError, PartNotFoundError, UidValidityChangedError
from mailsync_grpc.imap.budget import Process, Use
from mailsync_grpc.imap.connecting import connector, ledger_of, with_password
from mailsync_grpc.imap.sessions import Sessions
from mailsync_grpc.model.account import Account, Security
from mailsync_grpc.model.folder import Folder, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.vault import Vault
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
from tests.support.mail import Mailbox
from tests.unit.content.fakes import Download, download


class Rig:
    """A reader on an account of a mailbox's INBOX, and the independent reading."""

    def __init__(self, mailbox: Mailbox, directory: Path) -> None:
        self.mailbox = mailbox
        self.directory = directory
        self.vault = Vault(b"m" * 32)
        sealed = self.vault.seal_password(AccountNo(1), mailbox.password)
        self.account = Account(
            AccountNo(1), "test", 1, mailbox.host, mailbox.port, Security.PLAINTEXT, mailbox.user, sealed
        )
        self.client = mailbox.connect()
        self.client.select("INBOX", readonly=True)
        self.reader = self.new_reader()

    @property
    def folder(self) -> Folder:
        (validity,) = self.client.untagged_responses["UIDVALIDITY"][-1:]
        assert isinstance(validity, bytes)
        return Folder(
            self.account.key,
            FolderNo(1),
            b"0123456789",
            MirrorNo(1),
            1,
            b"INBOX",
            "INBOX",
            uid_validity=int(validity),
        )

    def new_reader(self) -> ContentReader:
        loopback = ImapConfig(allow_networks=(ip_network("127.0.0.0/8"),), allow_plaintext=True)
        config = Config(data_dir=self.directory, imap=loopback)
        books = ledger_of(config, Process.API)
        sessions = Sessions(connector(loopback, self.vault, with_password(self.vault), books, Use.CONTENT))
        return open_reader(config, self.vault, sessions)

    async def get(self, uid: int, what: What, *, decode: bool = False, offset: int = 0) -> Download:
        return await download(
            self.reader.open(self.account, self.folder, uid, what, decode=decode, offset=offset)
        )

    def wire(self, uid: int, section: str) -> bytes:
        """BODY.PEEK[section] as imaplib reads it."""
        _, answer = self.client.uid("FETCH", str(uid), f"(BODY.PEEK[{section}])")
        found = answer[0]
        return found[1] if isinstance(found, tuple) else b""


@pytest.fixture
async def rig(mailbox: Mailbox, tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(mailbox, tmp_path)
    await rig.reader.__aenter__()
    yield rig
    await rig.reader.__aexit__(None, None, None)
    rig.client.logout()


class Leaf(NamedTuple):
    """A part as the email package sees it."""

    section: str
    part: email.message.Message

    @property
    def decoded(self) -> bytes:
        """Its content decoded, text as UTF-8."""
        payload = self.part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        if self.part.get_content_maintype() != "text":
            return payload
        return payload.decode(self.part.get_content_charset("us-ascii")).encode()


def leaves(message: email.message.Message, section: str = "") -> Iterator[Leaf]:
    """Number the parts of a message as RFC 3501 section 6.4.5 does, those of messages attached to it too."""
    parts = message.get_payload() if message.get_content_maintype() == "multipart" else [message]
    for number, part in enumerate(parts, 1):
        assert isinstance(part, email.message.Message)
        place = f"{section}.{number}" if section else str(number)
        if part is not message and part.get_content_maintype() == "multipart":
            yield from leaves(part, place)
            continue
        yield Leaf(place, part)
        if part.get_content_type() == "message/rfc822":
            attached = part.get_payload(0)
            assert isinstance(attached, email.message.Message)
            yield from leaves(attached, place)


async def test_every_part_is_octet_for_octet_what_an_independent_reading_says(rig: Rig) -> None:
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


async def test_decoded_parts_are_what_the_email_package_decodes(rig: Rig) -> None:
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


async def test_broken_mail_is_read_as_its_server_reads_it(rig: Rig) -> None:
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


async def test_text_and_html_are_the_parts_a_reader_would_be_shown(rig: Rig) -> None:
    source = next(multiparts())
    rig.mailbox.deliver([source, HEAD + text("utf-8", b"base64")])
    rig.client.select("INBOX", readonly=True)
    plain, html = list(leaves(email.message_from_bytes(source)))[:2]
    for kind, leaf in ((ContentKind.TEXT, plain), (ContentKind.HTML, html)):
        got = await rig.get(1, kind, decode=True)
        assert (got.header.section, got.octets) == (leaf.section, leaf.decoded)
    with pytest.raises(PartNotFoundError):
        await rig.get(2, ContentKind.HTML)


async def test_what_is_shown_is_found_in_every_multipart_and_never_in_an_attached_message(rig: Rig) -> None:
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


async def test_an_attachment_is_whole_named_and_from_disk_the_second_time(rig: Rig) -> None:
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


async def test_parts_inside_an_attached_message_and_multiparts_as_a_whole_are_served(rig: Rig) -> None:
    rig.mailbox.deliver([next(multiparts())])
    rig.client.select("INBOX", readonly=True)
    for section in ("1", "4", "4.1", "4.2"):
        assert (await rig.get(1, section)).octets == rig.wire(1, section), section
    assert (await rig.get(1, "4.1", decode=True)).octets.startswith("0 Grüße aus Köln\r\n".encode())
    assert (await rig.get(1, "4.2", decode=True)).octets == BIG
    for section in ("5", "1.3", "4.3", "2.1"):
        with pytest.raises(PartNotFoundError):
            await rig.get(1, section)


async def test_charset_torture(rig: Rig) -> None:
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


async def test_mime_bomb(rig: Rig) -> None:
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


async def test_a_message_delivered_after_the_folder_was_opened_is_found(rig: Rig) -> None:
    rig.mailbox.deliver([HEAD + b"\r\none\r\n"])
    rig.client.select("INBOX", readonly=True)
    assert (await rig.get(1, ContentKind.TEXT)).octets == b"one\r\n"
    rig.mailbox.deliver([HEAD + b"\r\ntwo\r\n"])
    assert (await rig.get(2, ContentKind.TEXT)).octets == b"two\r\n"
    rig.mailbox.deliver([HEAD + b"\r\nthree\r\n"])
    assert (await rig.get(3, ContentKind.HEADERS)).octets == HEAD + b"\r\n"


async def test_expunged_messages_and_renumbered_folders_are_told_apart(rig: Rig) -> None:
    rig.mailbox.deliver([HEAD + b"\r\none\r\n", HEAD + b"\r\ntwo\r\n"])
    rig.client.select("INBOX", readonly=True)
    rig.mailbox.expunge("1")
    with pytest.raises(EnvelopeNotFoundError):
        await rig.get(1, ContentKind.TEXT)
    with pytest.raises(EnvelopeNotFoundError):
        await rig.get(1, ContentKind.HEADERS)
    renumbered = replace(rig.folder, uid_validity=rig.folder.uid_validity + 1)
    with pytest.raises(UidValidityChangedError):
        await download(rig.reader.open(rig.account, renumbered, 2, ContentKind.TEXT))
    assert (await rig.get(2, ContentKind.TEXT)).octets == b"two\r\n"


async def test_reading_leaves_no_trace_on_the_server(rig: Rig) -> None:
    rig.mailbox.deliver(multiparts())
    rig.client.select("INBOX", readonly=True)
    before = rig.mailbox.flags_by_uid()
    for kind in (ContentKind.RAW, ContentKind.HEADERS):
        await rig.get(1, kind)
    await rig.get(1, "2")
    assert rig.mailbox.flags_by_uid() == before

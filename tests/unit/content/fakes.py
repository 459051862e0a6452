"""A mail server's content in memory, and short ways to make messages and read streams."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import NamedTuple

from mailsync_grpc.content.parts import Part, part_of
from mailsync_grpc.content.values import ContentHeader, ContentTrailer, MessageKey, Piece
from mailsync_grpc.errors import EnvelopeNotFoundError, PartNotFoundError
from mailsync_grpc.model.account import Account, Security
from mailsync_grpc.model.envelope import Attachment, BodyPart, Envelope
from mailsync_grpc.model.folder import Folder, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo

KEY = b"k" * 32


def account(no: int = 1, version: int = 1) -> Account:
    return Account(
        AccountNo(no), f"account-{no}", version, "mail.example", 993, Security.IMPLICIT_TLS, "user", b""
    )


def folder(no: int = 1, uid_validity: int = 7, owner: Account | None = None) -> Folder:
    key = (owner or account()).key
    return Folder(
        key,
        FolderNo(no),
        b"folder%04d" % no,
        MirrorNo(no),
        1,
        b"Folder %d" % no,
        f"Folder {no}",
        uid_validity=uid_validity,
    )


def message(uid: int = 1, account_no: int = 1, folder_no: int = 1, uid_validity: int = 7) -> MessageKey:
    owner = account(account_no)
    return MessageKey(owner, folder(folder_no, uid_validity, owner), uid)


def text_part(
    section: str = "1", size: int = 0, subtype: str = "plain", charset: str = "", encoding: str = ""
) -> BodyPart:
    return BodyPart(section, "text", subtype, charset, encoding, size, 0)


def attachment(section: str = "2", size: int = 0, name: str = "", encoding: str = "") -> Attachment:
    return Attachment(section, name, "application", "octet-stream", size, "", False, encoding, "")


@dataclass
class FakeSource:
    """One message's content by section, the same under every UID but those in `gone`. Counts what is asked of it."""

    sections: dict[str, bytes]
    envelope: Envelope = field(default_factory=Envelope)
    gone: set[int] = field(default_factory=set)
    fetches: list[tuple[str, int]] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    structures: int = 0
    looked_afresh: int = 0
    failures: list[Exception] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False

    def __post_init__(self) -> None:
        self.may_answer.set()

    async def structure(self, message: MessageKey, *, fresh: bool = False) -> Envelope:
        self.structures += 1
        self.looked_afresh += fresh
        self._check(message)
        return self.envelope

    async def part(self, message: MessageKey, section: str, known: Envelope) -> Part:
        part = part_of(known, section)
        if part is None:
            raise PartNotFoundError(f"{message.name}, section {section}")
        return part

    async def octets(self, message: MessageKey, section: str, offset: int, length: int) -> bytes:
        self.fetches.append((section, offset))
        self.asked.set()
        await self.may_answer.wait()
        self._check(message)
        if self.failures:
            raise self.failures.pop(0)
        return self.sections[section][offset : offset + length]

    async def windows(
        self, message: MessageKey, section: str, offset: int, size: int, _expected: int
    ) -> AsyncGenerator[bytes, None]:
        self.runs.append(offset)
        while True:
            data = await self.octets(message, section, offset, size)
            yield data
            if len(data) < size:
                return
            offset += len(data)

    async def close(self) -> None:
        self.closed = True

    def _check(self, message: MessageKey) -> None:
        if message.uid in self.gone:
            raise EnvelopeNotFoundError(message.name)


class Download(NamedTuple):
    """A stream read to its end."""

    header: ContentHeader
    chunks: list[bytes]
    trailer: ContentTrailer

    @property
    def octets(self) -> bytes:
        return b"".join(self.chunks)


async def download(pieces: AsyncGenerator[Piece, None]) -> Download:
    header, *chunks, trailer = [piece async for piece in pieces]
    assert isinstance(header, ContentHeader)
    assert isinstance(trailer, ContentTrailer)
    return Download(header, [chunk for chunk in chunks if isinstance(chunk, bytes)], trailer)

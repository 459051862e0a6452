"""A content reader over a fake mail server and a real cache directory."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from mailsync_grpc.content.cache import Cache
from mailsync_grpc.content.cleaning import Limits
from mailsync_grpc.content.reader import ContentReader
from mailsync_grpc.content.sealed import CHUNK
from mailsync_grpc.content.values import MessageKey, Piece, Wanted, What
from mailsync_grpc.metrics import CONTENT_CACHE_REQUESTS
from mailsync_grpc.model.envelope import Envelope
from tests.unit.content.fakes import KEY, Download, FakeSource, attachment, download, message, text_part

BIG = bytes(range(251)) * 8_000  # four windows, the last one not full
ENVELOPE = Envelope(
    size=3_000,
    text_parts=(text_part("1", 9, charset="iso-8859-1", encoding="quoted-printable"),),
    attachments=(attachment("2", len(BIG), "../../etc/passwd"), attachment("3", 8, encoding="base64")),
)
SECTIONS = {"1": b"Gr=FC=DFe\r\n", "2": BIG, "3": b"QUJDREVG", "": b"whole", "HEADER": b"Subject: x\r\n\r\n"}


class ReaderRig:
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
        wanted = Wanted(what, decode, offset, limit, if_match, chunk_size)
        return self.reader.open(of or message(), wanted, envelope)

    async def get(self, what: What, **options: object) -> Download:
        return await download(self.open(what, **options))  # type: ignore[arg-type]  # options are open's own

    def files(self) -> list[Path]:
        return [path for path in self.directory.rglob("*") if path.is_file() and path.parent.name != "index"]


def counted(result: str) -> Callable[[], float]:
    counter = CONTENT_CACHE_REQUESTS.labels(result)
    before = counter._value.get()
    return lambda: counter._value.get() - before


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  files and counters tell nobody when they change
            await asyncio.sleep(0.001)


async def until_kept(rig: ReaderRig, files: int = 1) -> None:
    """Wait until so many entries are whole, under their final names, and nothing is on its way there."""
    await until(
        lambda: len(rig.files()) == files and not any(path.parent.name == "tmp" for path in rig.files())
    )

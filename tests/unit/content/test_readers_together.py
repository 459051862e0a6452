"""Whatever callers do at the same time, and whatever becomes of the files meanwhile, each gets the octets it asked for."""

import asyncio
import base64
import hashlib
import os
import random
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from mailsync_grpc.content.shared import WINDOW
from mailsync_grpc.content.values import ContentTrailer
from tests.unit.content.fakes import attachment
from tests.unit.content.rig import BIG, ENVELOPE, ReaderRig

ENCODED = base64.encodebytes(BIG)
ROUNDS = 24


class Wish(NamedTuple):
    """What one caller asks for, and whether it leaves before it has all."""

    section: str
    decode: bool
    offset: int
    limit: int
    leaves: bool

    @property
    def octets(self) -> bytes:
        whole = ENCODED if self.section == "4" and not self.decode else BIG
        return whole[self.offset : self.offset + self.limit if self.limit else None]


def wishes(dice: random.Random) -> Iterator[Wish]:
    for _ in range(dice.randrange(2, 9)):
        offset = dice.choice([0, 0, 0, WINDOW, dice.randrange(len(BIG)), len(BIG)])
        limit = dice.choice([0, 0, dice.randrange(1, len(BIG))])
        yield Wish(dice.choice("24"), dice.random() < 0.5, offset, limit, dice.random() < 0.3)


async def read(rig: ReaderRig, wish: Wish, dice: random.Random) -> None:
    got = bytearray()
    size = dice.choice([50_000, 1 << 20])
    pieces = rig.open(wish.section, decode=wish.decode, offset=wish.offset, limit=wish.limit, chunk_size=size)
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, bytes):
                got += piece
                if wish.leaves and dice.random() < 0.2:
                    return
                await asyncio.sleep(dice.choice([0, 0, 0.005]))
            elif isinstance(piece, ContentTrailer):
                assert (piece.size, piece.decoding_warnings) == (len(got), ())
                assert piece.sha256 == hashlib.sha256(got).digest()
    assert got == wish.octets, wish


def flip(file: Path, dice: random.Random) -> None:
    with file.open("r+b") as handle:
        handle.seek(dice.randrange(max(1, file.stat().st_size)))
        handle.write(b"\xa5")


def cut(file: Path, dice: random.Random) -> None:
    os.truncate(file, dice.randrange(file.stat().st_size + 1))


def delete(file: Path, _: random.Random) -> None:
    file.unlink()


HARMS: list[Callable[[Path, random.Random], None]] = [flip, cut, delete]


async def harm(rig: ReaderRig, dice: random.Random) -> None:
    for _ in range(dice.randrange(6)):
        await asyncio.sleep(dice.random() * 0.03)
        with suppress(FileNotFoundError):  # an entry on its way from one name to the other
            if files := rig.files():
                dice.choice(HARMS)(dice.choice(files), dice)
        if dice.random() < 0.3:
            await rig.reader.purge(None)


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_callers_who_come_go_and_skip_get_what_they_asked_for(rig: ReaderRig, seed: int) -> None:
    dice = random.Random(seed)
    rig.source.sections["4"] = ENCODED
    rig.source.envelope = ENVELOPE._replace(
        attachments=(*ENVELOPE.attachments, attachment("4", len(ENCODED), encoding="base64"))
    )
    if seed % 4 == 0:
        await rig.restart(max_bytes=dice.choice([0, WINDOW, 3 << 20]))
    callers = [
        asyncio.create_task(read(rig, wish, random.Random(seed + place)))
        for place, wish in enumerate(wishes(dice))
    ]
    harming = asyncio.create_task(harm(rig, dice))
    await asyncio.sleep(dice.random() * 0.02)
    callers.pop().cancel()
    async with asyncio.timeout(30):
        await asyncio.gather(*callers, harming)
    await rig.restart()
    assert not list((rig.directory / "tmp").glob("*"))
    assert (await rig.get("2")).octets == BIG
    assert (await rig.get("4", decode=True)).octets == BIG

"""Where content comes from: a message on its mail server, read in windows.

Only here is an answer of IMAP turned into what content means by it: a message that is gone, a part that is not there.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

from mailsync_grpc.content.parts import Part, can_hold, part_from_mime, part_of
from mailsync_grpc.content.run import Run
from mailsync_grpc.content.values import MessageKey
from mailsync_grpc.errors import EnvelopeNotFoundError, ImapRefusedError, PartNotFoundError
from mailsync_grpc.imap.reading import Reading
from mailsync_grpc.imap.sessions import Sessions, Wish
from mailsync_grpc.model.envelope import Envelope

_MAX_MIME_HEADER = 64 << 10


class Source(Protocol):
    """What content needs of mail servers.

    Reading may raise EnvelopeNotFoundError, UidValidityChangedError, CredentialsNeededError and any ImapError.
    """

    async def structure(self, message: MessageKey, *, fresh: bool = False) -> Envelope:
        """Return what the server says of a message's parts and size; `fresh` of one that may be gone by now."""
        ...

    async def part(self, message: MessageKey, section: str, known: Envelope) -> Part:
        """Return what is known of a section. Raises PartNotFoundError."""
        ...

    async def octets(self, message: MessageKey, section: str, offset: int, length: int) -> bytes:
        """Return at most `length` octets of a section from `offset`; fewer, or none, at its end."""
        ...

    def windows(
        self, message: MessageKey, section: str, offset: int, size: int, expected: int
    ) -> AsyncGenerator[bytes, None]:
        """Yield a section from `offset` on in windows of `size` octets; at least one, not always all.

        The one that is smaller is the last; after one of full size the caller may have to begin anew from there.
        `expected` is where the section is thought to end; beyond it nothing is asked for ahead.
        """
        ...

    async def close(self) -> None:
        """Release the connections."""
        ...


class ImapSource:
    """Reads over the pool of connections."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def structure(self, message: MessageKey, *, fresh: bool = False) -> Envelope:
        """Return what the server says of a message's parts and size."""

        def read(connection: Reading) -> Envelope:
            envelope = connection.fetch_structure(message.uid)
            if envelope is None:
                raise EnvelopeNotFoundError(message.name)
            return envelope

        return await self._sessions.read(
            message.account, message.folder, read, Wish(message.uid, fresh=fresh)
        )

    async def part(self, message: MessageKey, section: str, known: Envelope) -> Part:
        """Return what is known of a section, from the message's structure or else from the part's own header."""
        part = part_of(known, section)
        if part is not None:
            return part
        header = b""
        if can_hold(known, section):
            header = await self.octets(message, f"{section}.MIME", 0, _MAX_MIME_HEADER)
        if not header:
            raise PartNotFoundError(f"{message.name}, section {section}")
        return part_from_mime(section, header)

    async def octets(self, message: MessageKey, section: str, offset: int, length: int) -> bytes:
        """Return at most `length` octets of a section by BODY.PEEK[section]<offset.length>."""
        return await self._sessions.read(
            message.account,
            message.folder,
            lambda connection: _octets(connection, message, section, offset, length),
            Wish(message.uid),
        )

    async def windows(
        self, message: MessageKey, section: str, offset: int, size: int, expected: int
    ) -> AsyncGenerator[bytes, None]:
        """Yield a section in windows, those of one run on one connection."""
        run = Run(lambda connection: connection.section_windows(message.uid, section), offset, size, expected)

        def read(connection: Reading) -> None:
            try:
                run.read(connection)
            except ImapRefusedError:
                _check_there(connection, message)
                run.expect_nothing()
                run.read(connection)

        reading = asyncio.ensure_future(
            self._sessions.read(message.account, message.folder, read, Wish(message.uid))
        )
        reading.add_done_callback(lambda _: run.over())
        try:
            while (data := await run.take()) is not None:
                yield data
            await reading
        finally:
            run.stop()
            await asyncio.gather(reading, return_exceptions=True)

    async def close(self) -> None:
        """Close the connections."""
        await self._sessions.close()


def _octets(connection: Reading, message: MessageKey, section: str, offset: int, length: int) -> bytes:
    try:
        return connection.fetch_section(message.uid, section, offset, length)
    except ImapRefusedError:
        _check_there(connection, message)
        return connection.fetch_section(message.uid, section, offset, length)


def _check_there(connection: Reading, message: MessageKey) -> None:
    """Raise EnvelopeNotFoundError when a refusal means that the message is gone.

    If it is there, the refusal may have come from an old view, which every command lets the server renew.
    """
    if connection.fetch_structure(message.uid) is None:
        raise EnvelopeNotFoundError(message.name) from None

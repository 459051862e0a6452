"""EnvelopeService.AppendMessage: a message received in pieces, spooled, and added to a folder by a sync worker.

The octets go to disk as they come, so a large message is never in memory. They are part of what a request_id stands for.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.parser import BytesHeaderParser
from functools import partial
from hashlib import sha256
from typing import Any, Final

from mailsync_grpc.content.spool import Draft, Spool
from mailsync_grpc.errors import InvalidFieldError, QuotaExceededError
from mailsync_grpc.imap.header_text import message_id
from mailsync_grpc.model.ids import AccountNo, envelope_name
from mailsync_grpc.model.intent import Intent, IntentKind
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.envelope_changes import flags_asked
from mailsync_grpc.services.fields import Violations
from mailsync_grpc.services.intents import Asking
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.selection import find_changeable
from mailsync_grpc.v1 import envelope_service_pb2 as pb

MAX_CHUNK: Final = 1 << 20
_MAX_HEADER: Final = 256 << 10
_LAST_SECOND: Final = 253_402_300_799  # of the year 9999, the last that a date-time has (RFC 3501 section 9)


@dataclass(slots=True)
class Received:
    """What has come of a message: octets, their hash, the beginning, and the last octet."""

    draft: Draft
    size: int = 0
    digest: Any = field(default_factory=sha256)
    head: bytearray = field(default_factory=bytearray)
    last: bytes = b""

    def add(self, chunk: bytes) -> None:
        """Take in a chunk. Raises InvalidFieldError for octets that no message has, StoreFullError."""
        joined = self.last + chunk
        ends = joined.count(b"\r\n")
        # A CR at the end may have its LF in the next chunk.
        loose = joined.count(b"\n") - ends or joined.removesuffix(b"\r").count(b"\r") - ends
        if loose or b"\0" in chunk:
            raise InvalidFieldError({"chunk": "lines that end with CRLF, and no NUL (RFC 5322, RFC 3501)"})
        self.last = b"\r" if chunk.endswith(b"\r") else b""
        self.size += len(chunk)
        self.digest.update(chunk)
        self.head += chunk[: _MAX_HEADER - len(self.head)]
        self.draft.add(chunk)

    @property
    def message_id(self) -> str:
        """The Message-ID as the mail server will tell it, empty without one."""
        header = BytesHeaderParser().parsebytes(bytes(self.head))
        return message_id(str(header.get("Message-ID") or ""))


@dataclass(frozen=True, slots=True)
class AppendService:
    """Serves AppendMessage of `mailsync.v1.EnvelopeService`."""

    core: Core
    asking: Asking
    spool: Spool

    async def append_message(
        self, requests: AsyncIterator[pb.AppendMessageRequest], _context: Context
    ) -> pb.AppendMessageResponse:
        """Add a message to a folder."""
        header = await _header(requests)
        plan = await self.core.run(self._plan, header)
        async with self._draft(plan) as draft:
            received = await self._receive(requests, header.size, draft)
            await self.core.run_to_end(draft.finish)
            decide = partial(self._decide, header, draft.name, received.message_id)
            asked = await self.asking.ask(header, decide, received.digest.digest())
        intent = await self.asking.ended(asked)
        return await self.core.run(self._response, intent)

    @asynccontextmanager
    async def _draft(self, plan: Intent) -> AsyncIterator[Draft]:
        """Begin a message on disk, which is removed at the end unless it waits to be appended."""
        made: list[Draft] = []
        try:
            # To its end: a caller that leaves meanwhile would leave a file that nobody knows of.
            await self.core.run_to_end(lambda: made.append(self.spool.create(plan.size)))
            yield made[0]
        finally:
            await self.core.run_to_end(self._release, plan.account.no, made)

    def _release(self, account: AccountNo, drafts: list[Draft]) -> None:
        waiting: set[str] | None = None
        try:
            waiting = {intent.spool for intent in self.core.store.open_intents(account)}
        finally:
            for draft in drafts:
                # Where that is not known, cleaning finds out.
                self.spool.release(draft, keep=waiting is None or draft.name in waiting)

    def _decide(self, header: pb.AppendHeader, spool: str, message_id: str) -> Intent:
        """Return the plan as it is by now: a message may be hours on its way."""
        current().require_valid()
        return replace(self._plan(header), spool=spool, message_id=message_id)

    def _plan(self, header: pb.AppendHeader) -> Intent:
        account, folder = find_changeable(self.core, header.parent, "header.parent")
        faults = Violations()
        faults.unless(header.size > 0, "header.size", "the size of the message in octets")
        date = header.internal_date.seconds if header.HasField("internal_date") else None
        faults.unless(
            date is None or 0 <= date <= _LAST_SECOND, "header.internal_date", "a time of 1970 to 9999"
        )
        faults.unless(
            not header.flags.labels, "header.flags.labels", "none; add them by ModifyFlags once it is there"
        )
        faults.raise_any()
        limit = self.core.config.append.max_bytes
        if header.size > limit:
            raise QuotaExceededError(f"a message may have {limit} octets (append.max_bytes)")
        return Intent(
            account.key,
            0,
            0,
            IntentKind.APPEND,
            target=folder.no,
            add=flags_asked(header.flags, "header.flags"),
            size=header.size,
            date=date,
        )

    async def _receive(
        self, requests: AsyncIterator[pb.AppendMessageRequest], size: int, draft: Draft
    ) -> Received:
        received = Received(draft)
        async for piece in requests:
            if piece.WhichOneof("piece") != "chunk" or not 0 < len(piece.chunk) <= MAX_CHUNK:
                raise InvalidFieldError({"chunk": f"1 to {MAX_CHUNK} octets after the header"})
            if received.size + len(piece.chunk) > size:
                break
            await self.core.run_to_end(received.add, piece.chunk)
        else:
            if received.size == size and not received.last:
                return received
        raise InvalidFieldError({"header.size": "the size of all chunks, of which the last ends with no CR"})

    def _response(self, intent: Intent) -> pb.AppendMessageResponse:
        outcome, found = intent.outcome, self.core.store.folder_by_no(intent.account.no, intent.target)
        known = outcome.uid and outcome.uid_validity and found
        return pb.AppendMessageResponse(
            name=envelope_name(intent.account.id, found[0].id, outcome.uid_validity, outcome.uid)
            if known and found
            else "",
            uid_validity=outcome.uid_validity,
            uid=outcome.uid,
            visible_revision=intent.visible,
        )


async def _header(requests: AsyncIterator[pb.AppendMessageRequest]) -> pb.AppendHeader:
    async for piece in requests:
        if piece.WhichOneof("piece") == "header":
            return piece.header
        break
    raise InvalidFieldError({"header": "the first piece"})

"""EnvelopeService: envelopes one by one and by page, made by joining stored bytes.

Nothing of an envelope is parsed on the way out: a page is the concatenation of the rows' segments, framed as entries of
the response's first field, followed by the response's other fields as a message of their own.
"""

import struct
from dataclasses import dataclass
from typing import Final

from mailsync_grpc.errors import (
    NotImplementedYetError,
    UidValidityChangedError,
)
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services import fields
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.lookup import FoundEnvelope, find_envelope, find_folder
from mailsync_grpc.services.on_demand import OnDemand
from mailsync_grpc.services.paging import MAX_PAGE_BYTES, PageTokens, page_size
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.tokens import Position, ResumeTokens
from mailsync_grpc.store.codec.identity import View, join_envelope, join_envelopes
from mailsync_grpc.store.codec.wire import bytes_tag, chunk
from mailsync_grpc.store.values import EnvelopePage, EnvelopeRow
from mailsync_grpc.v1 import envelope_service_pb2 as pb

_ENVELOPE: Final = bytes_tag(1)
_KEY: Final = struct.Struct(">II")  # UIDVALIDITY and UID of the last envelope of a page
_MAX_RANGES: Final = 1_000
_MAX_UID: Final = 0xFFFFFFFF
_UNBUILT_ORDERS: Final = {pb.ENVELOPE_ORDER_DATE_DESC, pb.ENVELOPE_ORDER_DATE_ASC}


@dataclass(frozen=True, slots=True)
class EnvelopeService:
    """Serves `mailsync.v1.EnvelopeService`."""

    core: Core
    page_tokens: PageTokens
    resume_tokens: ResumeTokens
    on_demand: OnDemand

    async def get_envelope(self, request: pb.GetEnvelopeRequest, _context: Context) -> bytes:
        """Return one envelope by either form of its name; metadata that is asked for and not there is fetched."""
        view = fields.view(request.view, View.FULL)
        revision, found = await self.core.run(self._find, request.name)
        row = found.row if view is View.FLAGS else await self.on_demand.whole(found)
        rest = pb.GetEnvelopeResponse(read_revision=revision)
        return chunk(_ENVELOPE, join_envelope(found.folder.key, row, view)) + rest.SerializeToString()

    def _find(self, name: str) -> tuple[Revision, FoundEnvelope]:
        # The revision first: what was stored since does no harm, what was not would be missed.
        return self.core.head(), find_envelope(self.core, name)

    async def list_envelopes(self, request: pb.ListEnvelopesRequest, _context: Context) -> bytes:
        """Return a page of a folder's envelopes."""
        _refuse_unbuilt(request)
        view = fields.view(request.view, View.BASIC)
        return await self.core.run(self._list, request, view)

    def _list(self, request: pb.ListEnvelopesRequest, view: View) -> bytes:
        folder = find_folder(self.core, request.parent, "parent").folder
        key = self.page_tokens.open(request, request.page_token)
        after = _after(key, folder)
        size = page_size(request.page_size)
        newest_first = request.order != pb.ENVELOPE_ORDER_UID_ASC
        if request.filter.uids:
            page = self._page_of(_uids(request), folder, after, size, newest_first)
        else:
            page = self.core.store.page(folder, after, size, MAX_PAGE_BYTES, newest_first)
        rest = pb.ListEnvelopesResponse(read_revision=page.read_revision)
        if page.more:
            last = _KEY.pack(folder.uid_validity, page.rows[-1].uid)
            rest.next_page_token = self.page_tokens.seal(request, last)
        if key is None:
            position = Position(page.read_revision, self.core.store.log_check(page.read_revision))
            rest.resume_token = self.resume_tokens.of_list(position, folder.account.id)
        return join_envelopes(folder.key, page.rows, view) + rest.SerializeToString()

    def _page_of(
        self, uids: UidSet, folder: Folder, after: int | None, size: int, newest_first: bool
    ) -> EnvelopePage:
        """Return a page of those of `uids` that are stored, one read for each range until the page is full."""
        rows: list[EnvelopeRow] = []
        revision, used = self.core.head(), 0
        rest = _beyond(uids, after, newest_first)
        for low, high in rest:
            room = min(size - len(rows), high - low + 1)
            start = high + 1 if newest_first else low - 1
            page = self.core.store.page(folder, start, room, MAX_PAGE_BYTES - used, newest_first)
            found = [row for row in page.rows if low <= row.uid <= high]
            rows += found
            used += sum(len(row.flags) + len(row.basic) + len(row.detail) for row in found)
            cut_short = page.more and len(found) == len(page.rows)
            if len(rows) >= size or used >= MAX_PAGE_BYTES or (cut_short and len(found) < room):
                # Whether a further range holds anything is for the next page to find out.
                return EnvelopePage(rows, (low, high) != rest[-1] or cut_short, revision)
        return EnvelopePage(rows, False, revision)


def _beyond(uids: UidSet, after: int | None, newest_first: bool) -> list[tuple[int, int]]:
    """Return the ranges still to be read, in the order of the listing."""
    if after is not None:
        uids -= UidSet.span(after, _MAX_UID) if newest_first else UidSet.span(1, after)
    return list(reversed(uids.ranges)) if newest_first else list(uids.ranges)


def _uids(request: pb.ListEnvelopesRequest) -> UidSet:
    ranges = request.filter.uids
    faults = fields.Violations()
    faults.unless(len(ranges) <= _MAX_RANGES, "filter.uids", f"at most {_MAX_RANGES} ranges")
    faults.unless(
        all(0 < each.first <= each.last for each in ranges), "filter.uids", "ranges of 1 <= first <= last"
    )
    faults.raise_any()
    return UidSet.parse(",".join(f"{each.first}:{each.last}" for each in ranges))


def _after(key: bytes | None, folder: Folder) -> int | None:
    """Return the UID that the page before ended with."""
    if key is None:
        return None
    uid_validity, uid = _KEY.unpack(key)
    if uid_validity != folder.uid_validity:
        raise UidValidityChangedError(f"the folder's UIDVALIDITY is {folder.uid_validity} now; list it again")
    return int(uid)


def _refuse_unbuilt(request: pb.ListEnvelopesRequest) -> None:
    missing = [f"filter.{field.name}" for field, _ in request.filter.ListFields() if field.name != "uids"]
    if request.order in _UNBUILT_ORDERS:
        missing.append("order by date")
    if missing:
        raise NotImplementedYetError(
            f"{', '.join(missing)}: not in this version; list by UID and filter at your side"
        )

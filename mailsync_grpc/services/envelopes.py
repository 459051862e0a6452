"""EnvelopeService: envelopes one by one and by page, made by joining stored bytes.

Nothing of an envelope is parsed on the way out: a page is the concatenation of the rows' segments, framed as entries of
the response's first field, followed by the response's other fields as a message of their own.
"""

import struct
from dataclasses import dataclass
from typing import Final

from mailsync_grpc.errors import InvalidFieldError, NotImplementedYetError, UidValidityChangedError
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services import fields
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.envelope_filter import Wanted, wanted
from mailsync_grpc.services.envelope_scan import Turns, page_of
from mailsync_grpc.services.lookup import FoundEnvelope, find_envelope, find_folder
from mailsync_grpc.services.on_demand import OnDemand
from mailsync_grpc.services.paging import PageTokens, page_size
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.tokens import Position, ResumeTokens
from mailsync_grpc.store.codec.identity import View, join_envelope, join_envelopes
from mailsync_grpc.store.codec.wire import bytes_tag, chunk
from mailsync_grpc.v1 import envelope_service_pb2 as pb

_ENVELOPE: Final = bytes_tag(1)
_KEY: Final = struct.Struct(">II")  # UIDVALIDITY, and the UID up to which a page looked
_UNBUILT_ORDERS: Final = {pb.ENVELOPE_ORDER_DATE_DESC, pb.ENVELOPE_ORDER_DATE_ASC}


@dataclass(frozen=True, slots=True)
class EnvelopeService:
    """Serves `mailsync.v1.EnvelopeService`."""

    core: Core
    page_tokens: PageTokens
    resume_tokens: ResumeTokens
    on_demand: OnDemand
    turns: Turns

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
        _check_order(request)
        view = fields.view(request.view, View.BASIC)
        which = wanted(request.filter)
        async with self.turns.of(which):
            return await self.core.run(self._list, request, which, view)

    def _list(self, request: pb.ListEnvelopesRequest, which: Wanted, view: View) -> bytes:
        folder = find_folder(self.core, request.parent, "parent").folder
        key = self.page_tokens.open(request, request.page_token)
        page = page_of(
            self.core,
            folder,
            which,
            _after(key, folder),
            page_size(request.page_size),
            newest_first=request.order != pb.ENVELOPE_ORDER_UID_ASC,
        )
        if not (page.more or which.is_all):
            self._require_same(request, folder)
        rest = pb.ListEnvelopesResponse(read_revision=page.read_revision, scan_incomplete=page.incomplete)
        if page.more:
            rest.next_page_token = self.page_tokens.seal(request, _KEY.pack(folder.uid_validity, page.last))
        # Pages by what changes between them are no state that events could be applied to.
        if key is None and not which.mutable:
            position = Position(page.read_revision, self.core.store.log_check(page.read_revision))
            rest.resume_token = self.resume_tokens.of_list(position, folder.account.id)
        return join_envelopes(folder.key, page.rows, view) + rest.SerializeToString()

    def _require_same(self, request: pb.ListEnvelopesRequest, folder: Folder) -> None:
        """Raise UidValidityChangedError when the folder only seems to end, renumbered between two reads of a page."""
        now = find_folder(self.core, request.parent, "parent").folder
        if now.mirror != folder.mirror:
            raise _renumbered(now)


def _after(key: bytes | None, folder: Folder) -> int | None:
    """Return the UID up to which the page before looked."""
    if key is None:
        return None
    uid_validity, uid = _KEY.unpack(key)
    if uid_validity != folder.uid_validity:
        raise _renumbered(folder)
    return int(uid)


def _renumbered(folder: Folder) -> UidValidityChangedError:
    return UidValidityChangedError(f"the folder's UIDVALIDITY is {folder.uid_validity} now; list it again")


def _check_order(request: pb.ListEnvelopesRequest) -> None:
    if request.order in _UNBUILT_ORDERS:
        raise NotImplementedYetError(
            "order by date: it needs an index, which is not in this version; list by UID and sort at your side"
        )
    if request.order not in pb.EnvelopeOrder.values():
        raise InvalidFieldError({"order": "a value of EnvelopeOrder"})

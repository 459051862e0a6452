"""EnvelopeService, the export: the envelopes of a folder or an account as one stream, which goes on after a break.

An export is a scan without its accounts and folders; a piece ends with its folder. Under a filter a piece is what one page
of a listing would be, and may be empty: it tells how far the export is, so that a break loses little. Every piece says the revision it was
read at and, sealed with the request, where the next one begins; the first one has the token to watch from. A folder that
is renumbered on the way is exported once more, under its new UIDVALIDITY.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from mailsync_grpc.errors import InvalidFieldError
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.services import fields
from mailsync_grpc.services.callers import current
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.envelope_filter import Wanted, wanted
from mailsync_grpc.services.envelope_scan import Turns, page_of
from mailsync_grpc.services.lookup import find_folder
from mailsync_grpc.services.paging import MAX_PAGE_SIZE, PageTokens
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.scan import Place, rest_of
from mailsync_grpc.services.streams import Slots, Writer
from mailsync_grpc.services.tokens import Position, ResumeTokens
from mailsync_grpc.store.codec.identity import View, join_envelopes
from mailsync_grpc.v1 import envelope_service_pb2 as pb

_FORM: Final = "accounts/{account} or accounts/{account}/folders/{folder}"


class _Piece(NamedTuple):
    """Serialized envelopes of one folder, as field 1 of ExportEnvelopesResponse, and the place behind them."""

    content: bytes
    read_revision: Revision
    place: Place


@dataclass(frozen=True, slots=True)
class ExportService:
    """Serves ExportEnvelopes of `mailsync.v1.EnvelopeService`."""

    core: Core
    page_tokens: PageTokens
    resume_tokens: ResumeTokens
    snapshots: Slots
    turns: Turns

    async def export_envelopes(self, request: pb.ExportEnvelopesRequest, context: Context) -> None:
        """Stream the mirrored envelopes that pass the filter, ordered by folder and UID."""
        which = wanted(request.filter)
        view = fields.view(request.view, View.FULL)
        account, folders, place, head = await self.core.run(self._begin, request)
        self.snapshots.take()
        try:
            read = _pieces(self.core, folders, which, view, place)
            token = "" if request.continue_token or which.mutable else self._token(account, head)
            with Writer(context, self.core.config.watch.stall_timeout) as out:
                while (piece := await self._next(read, which)) is not None:
                    current().require_valid()
                    rest = pb.ExportEnvelopesResponse(
                        continue_token=self.page_tokens.seal(request, piece.place.pack()),
                        read_revision=piece.read_revision,
                        resume_token=token,
                    )
                    token = ""
                    await out.write(piece.content + rest.SerializeToString())
                last = pb.ExportEnvelopesResponse(
                    read_revision=self.core.head(), resume_token=token, complete=True
                )
                await out.write(last)
        finally:
            self.snapshots.give_back()

    async def _next(self, read: Iterator[_Piece], which: Wanted) -> _Piece | None:
        async with self.turns.of(which):
            return await self.core.run(next, read, None)

    def _token(self, account: Account, head: Position) -> str:
        return self.resume_tokens.of_list(head, account.id)

    def _begin(self, request: pb.ExportEnvelopesRequest) -> tuple[Account, list[Folder], Place, Position]:
        """Return what to export, from where, and the log's head from before."""
        revision = self.core.head()
        key = self.page_tokens.open(request, request.continue_token)
        place = Place() if key is None else Place.unpack(key)
        if request.parent.count("/") == 1:
            account = self.core.account(fields.account_id(request.parent, "parent"))
            folders = [folder for folder, _ in self.core.store.folders(account.no)]
        elif request.parent.count("/") == 3:
            account, folder, _ = find_folder(self.core, request.parent, "parent")
            folders = [folder]
        else:
            raise InvalidFieldError({"parent": f"expected {_FORM}"})
        return account, folders, place, Position(revision, self.core.store.log_check(revision))


def _pieces(core: Core, folders: list[Folder], which: Wanted, view: View, place: Place) -> Iterator[_Piece]:
    """Yield the envelopes of the mirrored `folders` from `place` on; folders that are read to their end give no piece."""
    for listed in rest_of(folders, place):
        folder: Folder | None = listed
        while folder is not None:
            start = place.start_in(folder)
            page = page_of(core, folder, which, start, MAX_PAGE_SIZE, newest_first=False)
            last = start if page.last is None else page.last
            place = place.at(folder, last, len(page.rows))
            if last != start:
                yield _Piece(join_envelopes(folder.key, page.rows, view), page.read_revision, place)
            folder = folder if page.more else _renumbered(core, folder)


def _renumbered(core: Core, folder: Folder) -> Folder | None:
    """Return the folder as it is now when that is not how it was read: then it is read again from its beginning."""
    found = core.store.folder_by_no(folder.account.no, folder.no)
    return found[0] if found and found[0].selected and found[0].mirror != folder.mirror else None

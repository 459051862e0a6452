"""EnvelopeService, changes of messages on the mail server: each call is an intent that a sync worker carries out."""

from dataclasses import dataclass
from typing import Final

from mailsync_grpc.errors import FolderNotFoundError, InvalidFieldError
from mailsync_grpc.imap.changes import MAX_LABEL, MAX_LABELS, is_flag, is_label, label_list
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.intent import NO_FOLDER, Intent, IntentKind
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.intents import Asking
from mailsync_grpc.services.registry import Context
from mailsync_grpc.services.selection import Selected, failures, find_changeable, find_selected, ranges
from mailsync_grpc.store.codec.envelope import decode_flags
from mailsync_grpc.sync import labels
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb

_TRASH: Final = "\\Trash"
_MAX_FLAGS: Final = 100
MAX_FLAG_OCTETS: Final = 4_096
"""Octets of all flags of one list, which stand in one command line with the UIDs."""
_LABELS: Final = (
    f"names of 1 to {MAX_LABEL} characters, no blank at either end and no control character;"
    " of those that begin with a backslash only such as \\Inbox"
)


@dataclass(frozen=True, slots=True)
class EnvelopeChanges:
    """Serves the changes of `mailsync.v1.EnvelopeService`."""

    core: Core
    asking: Asking

    async def modify_flags(self, request: pb.ModifyFlagsRequest, _context: Context) -> pb.ModifyFlagsResponse:
        """Add and remove flags and labels."""
        add, remove = flags_asked(request.add, "add"), flags_asked(request.remove, "remove")
        if add == remove == NO_FLAGS:
            raise InvalidFieldError({"add": "flags or labels to add or to remove"})
        if labels.contradict(add, remove):
            raise InvalidFieldError({"remove": "flags and labels that add does not name"})

        def decide() -> Intent:
            selected = find_selected(self.core, request.selection)
            return _intent(
                IntentKind.MODIFY_FLAGS,
                selected,
                add=add,
                remove=remove,
                unchanged_since=request.unchanged_since,
            )

        intent = await self.asking.once(request, decide)
        return pb.ModifyFlagsResponse(
            succeeded=ranges(intent.outcome.done),
            failures=failures(intent, request.selection),
            visible_revision=intent.visible,
        )

    async def move_envelopes(
        self, request: pb.MoveEnvelopesRequest, _context: Context
    ) -> pb.MoveEnvelopesResponse:
        """Move messages to another folder."""
        intent = await self._to_folder(IntentKind.MOVE, request)
        return pb.MoveEnvelopesResponse(
            succeeded=_mappings(intent),
            destination_uid_validity=intent.outcome.uid_validity,
            failures=failures(intent, request.selection),
            visible_revision=intent.visible,
        )

    async def copy_envelopes(
        self, request: pb.CopyEnvelopesRequest, _context: Context
    ) -> pb.CopyEnvelopesResponse:
        """Copy messages to another folder."""
        intent = await self._to_folder(IntentKind.COPY, request)
        return pb.CopyEnvelopesResponse(
            succeeded=_mappings(intent),
            destination_uid_validity=intent.outcome.uid_validity,
            failures=failures(intent, request.selection),
            visible_revision=intent.visible,
        )

    async def _to_folder(
        self, kind: IntentKind, request: pb.MoveEnvelopesRequest | pb.CopyEnvelopesRequest
    ) -> Intent:
        def decide() -> Intent:
            selected = find_selected(self.core, request.selection)
            account, target = find_changeable(self.core, request.destination, "destination")
            if account.no != selected.account.no or target.no == selected.folder.no:
                raise InvalidFieldError({"destination": f"another folder of {selected.account.name}"})
            return _intent(kind, selected, target.no)

        return await self.asking.once(request, decide)

    async def delete_envelopes(
        self, request: pb.DeleteEnvelopesRequest, _context: Context
    ) -> pb.DeleteEnvelopesResponse:
        """Delete messages, for good or into the trash."""
        if request.mode not in {pb.DELETE_MODE_TRASH, pb.DELETE_MODE_PERMANENT}:
            raise InvalidFieldError({"mode": "DELETE_MODE_TRASH or DELETE_MODE_PERMANENT"})

        def decide() -> Intent:
            selected = find_selected(self.core, request.selection)
            if request.mode == pb.DELETE_MODE_PERMANENT:
                return _intent(IntentKind.EXPUNGE, selected)
            return _intent(IntentKind.MOVE, selected, self._trash(selected).no)

        intent = await self.asking.once(request, decide)
        return pb.DeleteEnvelopesResponse(
            succeeded=ranges(intent.outcome.done),
            failures=failures(intent, request.selection),
            visible_revision=intent.visible,
        )

    def _trash(self, selected: Selected) -> Folder:
        folders = [folder for folder, _ in self.core.store.folders(selected.account.no)]
        trash = next((one for one in folders if one.special_use == _TRASH and one.selectable), None)
        if trash is None:
            raise FolderNotFoundError(f"with special use TRASH in {selected.account.name}")
        if trash.no == selected.folder.no:
            raise InvalidFieldError({"mode": "DELETE_MODE_PERMANENT for messages that are in the trash"})
        return trash


def flags_asked(message: envelope_pb2.Flags, field: str) -> Flags:
    """Return flags and labels that a request holds. Raises InvalidFieldError for what is neither."""
    flags = decode_flags(envelope_pb2.Envelope(flags=message).SerializeToString())
    if not all(map(is_flag, message.keywords)):
        raise InvalidFieldError({f"{field}.keywords": "atoms (RFC 3501 section 9), and not \\Recent"})
    if len(flags.names) > _MAX_FLAGS or flags.octets > MAX_FLAG_OCTETS:
        raise InvalidFieldError(
            {f"{field}.keywords": f"at most {_MAX_FLAGS}, of {MAX_FLAG_OCTETS} octets in all"}
        )
    if not all(map(is_label, message.labels)):
        raise InvalidFieldError({f"{field}.labels": _LABELS})
    if len(label_list(message.labels)) > MAX_LABELS:
        raise InvalidFieldError({f"{field}.labels": f"at most {MAX_LABELS} octets in modified UTF-7"})
    return flags


def _intent(
    kind: IntentKind,
    selected: Selected,
    target: FolderNo = NO_FOLDER,
    *,
    add: Flags = NO_FLAGS,
    remove: Flags = NO_FLAGS,
    unchanged_since: int = 0,
) -> Intent:
    return Intent(
        selected.account.key,
        0,
        0,
        kind,
        folder=selected.folder.no,
        target=target,
        uid_validity=selected.uid_validity,
        uids=selected.uids,
        single=selected.single,
        named=selected.named,
        add=add,
        remove=remove,
        unchanged_since=unchanged_since,
    )


def _mappings(intent: Intent) -> list[pb.UidMapping]:
    moved = dict(intent.outcome.moved)
    return [pb.UidMapping(source_uid=uid, destination_uid=moved.get(uid, 0)) for uid in intent.outcome.done]

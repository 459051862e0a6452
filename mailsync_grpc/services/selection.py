"""The messages that a caller names to be changed: by UID under a UIDVALIDITY, or by name of either form."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from mailsync_grpc.errors import (
    AccountPausedError,
    FolderNotSelectableError,
    InvalidFieldError,
    UidValidityChangedError,
)
from mailsync_grpc.imap.fetch import MAX_UID
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import EnvelopeIdRef
from mailsync_grpc.model.intent import Intent, Outcome
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.services import fields
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.lookup import find_folder
from mailsync_grpc.store.codec.messages import error_reason
from mailsync_grpc.v1 import envelope_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb

MAX_MESSAGES: Final = 10_000
_FIELD: Final = "selection"


class Selected(NamedTuple):
    """A selection as understood. `single` are UIDs each to be answered for, `named` the UID of each name, 0 for none."""

    account: Account
    folder: Folder
    uid_validity: int
    uids: UidSet
    single: UidSet
    named: tuple[int, ...] = ()


def find_changeable(core: Core, name: str, field: str) -> tuple[Account, Folder]:
    """Return a folder whose messages can be changed. Raises AccountPausedError and FolderNotSelectableError, too."""
    account, folder, _ = find_folder(core, name, field)
    if account.paused:
        raise AccountPausedError(f"{account.name} is paused; resume it first")
    if not folder.selectable:
        raise FolderNotSelectableError(f"{folder.name} cannot hold messages")
    return account, folder


def find_selected(core: Core, selection: pb.EnvelopeSelection) -> Selected:
    """Return what a selection names. Raises InvalidFieldError, FolderNotFoundError, UidValidityChangedError."""
    account, folder = find_changeable(core, selection.folder, f"{_FIELD}.folder")
    if bool(selection.uids) == bool(selection.names):
        raise InvalidFieldError({_FIELD: "uids or names, and not both"})
    found = (
        _by_name(core, account, folder, selection) if selection.names else _by_uid(account, folder, selection)
    )
    if folder.uid_validity and found.uid_validity != folder.uid_validity:
        raise UidValidityChangedError(f"the folder's UIDVALIDITY is {folder.uid_validity} now; list it again")
    return found


def _by_uid(account: Account, folder: Folder, selection: pb.EnvelopeSelection) -> Selected:
    ranges = selection.uids
    faults = fields.Violations()
    faults.unless(
        all(0 < one.first <= one.last for one in ranges), f"{_FIELD}.uids", "ranges of 1 <= first <= last"
    )
    faults.unless(
        sum(one.last - one.first + 1 for one in ranges) <= MAX_MESSAGES,
        f"{_FIELD}.uids",
        f"at most {MAX_MESSAGES} messages",
    )
    faults.unless(selection.uid_validity > 0, f"{_FIELD}.uid_validity", "the UIDVALIDITY of the UIDs")
    faults.raise_any()
    uids = UidSet.parse(",".join(f"{one.first}:{one.last}" for one in ranges))
    single = UidSet.of(one.first for one in ranges if one.first == one.last)
    return Selected(account, folder, selection.uid_validity, uids, single)


def _by_name(core: Core, account: Account, folder: Folder, selection: pb.EnvelopeSelection) -> Selected:
    if len(selection.names) > MAX_MESSAGES:
        raise InvalidFieldError({f"{_FIELD}.names": f"at most {MAX_MESSAGES} messages"})
    places = [_place(core, account, folder, name) for name in selection.names]
    validities = {validity for validity, _ in places if validity}
    if selection.uid_validity:
        validities.add(selection.uid_validity)
    if len(validities) > 1:
        raise UidValidityChangedError("the names are of different UIDVALIDITYs; list the folder again")
    named = tuple(uid for _, uid in places)
    uids = UidSet.of(uid for uid in named if uid)
    return Selected(account, folder, next(iter(validities), folder.uid_validity), uids, uids, named)


def _place(core: Core, account: Account, folder: Folder, name: str) -> tuple[int, int]:
    """Return UIDVALIDITY and UID of a named message, (0, 0) when it is not in the folder any more."""
    ref = fields.envelope_ref(name, f"{_FIELD}.names")
    if isinstance(ref, EnvelopeIdRef):
        place = core.store.locate(account.no, ref.envelope_id) if ref.account_id == account.id else None
        return (folder.uid_validity, place.uid) if place and place.folder == folder.no else (0, 0)
    if (ref.folder.account_id, ref.folder.folder_id) != (account.id, folder.id) or ref.uid > MAX_UID:
        raise InvalidFieldError({f"{_FIELD}.names": f"messages of {folder.name}"})
    return ref.uid_validity, ref.uid


# The answer


def ranges(uids: UidSet) -> list[envelope_pb2.UidRange]:
    """Return a set of UIDs as the contract writes it."""
    return [envelope_pb2.UidRange(first=low, last=high) for low, high in uids.ranges]


def failures(intent: Intent, selection: pb.EnvelopeSelection) -> list[pb.EnvelopeFailure]:
    """Return what became of the messages that were not changed, each with the name that the caller gave it."""
    names = dict(zip(intent.named, selection.names, strict=True)) if intent.named else {}
    unknown = [
        pb.EnvelopeFailure(
            name=name,
            reason=error_reason("ENVELOPE_NOT_FOUND"),
            message="the folder holds no message of this name",
        )
        for uid, name in zip(intent.named, selection.names, strict=False)
        if not uid
    ]
    return [*_refused(intent.outcome, names), *unknown]


def _refused(outcome: Outcome, names: dict[int, str]) -> Iterable[pb.EnvelopeFailure]:
    found = [(uid, refused) for refused in outcome.refused for uid in refused.uids]
    for uid, refused in sorted(found, key=lambda pair: pair[0]):
        yield pb.EnvelopeFailure(
            uid=uid,
            name=names.get(uid, ""),
            reason=error_reason(refused.reason),
            message=refused.message[:200],
        )

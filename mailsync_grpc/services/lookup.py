"""From resource names to what is stored under them."""

from typing import NamedTuple

from mailsync_grpc.errors import EnvelopeNotFoundError, FolderNotFoundError, UidValidityChangedError
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.model.ids import EnvelopeIdRef, EnvelopeRef
from mailsync_grpc.services import fields
from mailsync_grpc.services.core import Core
from mailsync_grpc.store.values import EnvelopeRow


class FoundFolder(NamedTuple):
    """A folder with its account and how far its mirror is."""

    account: Account
    folder: Folder
    progress: FolderProgress


class FoundEnvelope(NamedTuple):
    """An envelope with where it is."""

    account: Account
    folder: Folder
    row: EnvelopeRow


class FoundMessage(NamedTuple):
    """A message's place, with its envelope where the mirror has one."""

    account: Account
    folder: Folder
    uid: int
    row: EnvelopeRow | None


def find_folder(core: Core, name: str, field: str = "name") -> FoundFolder:
    """Return the folder of this name, which `field` of a request holds.

    Raises InvalidFieldError, AccountNotFoundError, FolderNotFoundError.
    """
    ref = fields.folder_ref(name, field)
    account = core.account(ref.account_id)
    found = core.store.folder(account.no, ref.folder_id)
    if found is None:
        raise FolderNotFoundError(name)
    return FoundFolder(account, *found)


def find_envelope(core: Core, name: str) -> FoundEnvelope:
    """Return the envelope of a name of either form.

    Raises InvalidFieldError, AccountNotFoundError, FolderNotFoundError, EnvelopeNotFoundError, UidValidityChangedError.
    """
    found = find_message(core, name)
    if found.row is None:
        raise EnvelopeNotFoundError(name)
    return FoundEnvelope(found.account, found.folder, found.row)


def find_message(core: Core, name: str) -> FoundMessage:
    """As `find_envelope`, but a message that the mirror does not hold is found by the name that has its UID."""
    ref = fields.envelope_ref(name)
    account = core.account(ref.account_id if isinstance(ref, EnvelopeIdRef) else ref.folder.account_id)
    if isinstance(ref, EnvelopeIdRef):
        return _by_id(core, account, ref, name)
    return _by_place(core, account, ref, name)


def _by_id(core: Core, account: Account, ref: EnvelopeIdRef, name: str) -> FoundMessage:
    place = core.store.locate(account.no, ref.envelope_id)
    found = core.store.folder_by_no(account.no, place.folder) if place else None
    row = core.store.envelope(found[0], place.uid) if found and place else None
    # Between the reads the message may have gone or moved; then it is not what was located.
    if found is None or row is None or row.envelope_id != ref.envelope_id:
        raise EnvelopeNotFoundError(name)
    return FoundMessage(account, found[0], row.uid, row)


def _by_place(core: Core, account: Account, ref: EnvelopeRef, name: str) -> FoundMessage:
    found = core.store.folder(account.no, ref.folder.folder_id)
    if found is None:
        raise FolderNotFoundError(name)
    folder = found[0]
    if folder.uid_validity != ref.uid_validity:
        raise UidValidityChangedError(f"the folder's UIDVALIDITY is {folder.uid_validity} now; list it again")
    return FoundMessage(account, folder, ref.uid, core.store.envelope(folder, ref.uid))

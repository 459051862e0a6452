"""A folder of an account and how far its mirror is.

A folder has three identities: `id` is public and survives a rename, `no` is its interned number in the event log, and
`mirror` is the number under which its envelopes and flags are kept. A change of UIDVALIDITY gives the folder a new
mirror, so that no row of the old numbering can be read under the new one while the old rows are purged.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, NewType

from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.ids import FolderNo, folder_name
from mailsync_grpc.model.uidset import UidSet

MirrorNo = NewType("MirrorNo", int)
"""Number under which a folder's envelopes are kept, 1 to 2^32-1, unique in the store, never reused."""


class FolderKey(NamedTuple):
    """What a change needs to know of its folder: whose it is, its identities, its numbering."""

    account: AccountKey
    no: FolderNo
    id: bytes
    mirror: MirrorNo
    uid_validity: int

    @property
    def name(self) -> str:
        """The resource name."""
        return folder_name(self.account.id, self.id)


class Selection(IntEnum):
    """Whether the folder is synced: by the default rule, or as the user said."""

    DEFAULT = 0
    SELECTED = 1
    DESELECTED = 2


@dataclass(frozen=True, slots=True)
class Folder:
    r"""One folder as listed by its server.

    `raw_name` is the mailbox name as on the wire (RFC 3501 section 5.1.3), `display_name` its decoded form with the
    server's `delimiter`; `attributes` are LIST attributes (RFC 3501 section 7.2.2, RFC 6154) in canonical case.
    `uid_validity` is 0 until the folder was examined once. `by_default` tells whether the default selection (INBOX and
    Sent) takes the folder. `parent_id` is the id of the folder above, empty at the root. `error_reason` (of the error tree) and
    `error_message` say why the folder cannot be synced, empty when it can.

    """

    account: AccountKey
    no: FolderNo
    id: bytes
    mirror: MirrorNo
    version: int
    raw_name: bytes
    display_name: str
    delimiter: str = ""
    attributes: tuple[str, ...] = ()
    special_use: str = ""
    selectable: bool = True
    by_default: bool = False
    selection: Selection = Selection.DEFAULT
    uid_validity: int = 0
    parent_id: bytes = b""
    error_reason: str = ""
    error_message: str = ""

    @property
    def key(self) -> FolderKey:
        """The identities that changes are addressed to."""
        return FolderKey(self.account, self.no, self.id, self.mirror, self.uid_validity)

    @property
    def name(self) -> str:
        """The resource name."""
        return folder_name(self.account.id, self.id)

    @property
    def selected(self) -> bool:
        """Whether the folder is to be synced."""
        if not self.selectable or self.selection is Selection.DESELECTED:
            return False
        return self.selection is Selection.SELECTED or self.by_default

    @property
    def path(self) -> tuple[str, ...]:
        """The display name split at the delimiter: the folder's place in the tree."""
        return tuple(self.display_name.split(self.delimiter)) if self.delimiter else (self.display_name,)


@dataclass(frozen=True, slots=True)
class FolderProgress:
    """How far a folder's mirror is; written with each batch, no event of its own.

    `cursor` is the highest UID that is stored or pending; every UID at or below it that the server was seen to hold
    is stored or in `pending`. UIDs up to `history_end` were there at the first look: they are stored without being
    announced one by one. `expected_exists` is EXISTS at the last full comparison plus arrivals minus removals
    since (None before the first). `stored` counts envelopes in the mirror. `as_of` and `verified_at` are the times of
    the last look and of the last full comparison. `synced` is set by the folder's first complete sync.
    """

    cursor: int = 0
    pending: UidSet = UidSet()
    history_end: int = 0
    expected_exists: int | None = None
    stored: int = 0
    synced: bool = False
    as_of: int = 0
    verified_at: int = 0

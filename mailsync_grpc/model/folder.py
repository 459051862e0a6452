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
from mailsync_grpc.model.window import EVERYTHING, Window

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
    `error_message` say why the folder cannot be synced, empty when it can. `mailbox_id` is the server's own identity of
    the mailbox (RFC 8474), empty where it has none.
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
    mailbox_id: str = ""

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
    is stored, in `pending`, or left out by the window (`Store.outside`). Of the pending ones those in `arriving` are
    new mail, to be announced one by one; the others are history. Stored ones in `leaving` are gone from the folder and
    stay listed until it is known whether they moved. `expected_exists` is EXISTS at the last full comparison plus
    arrivals minus removals since (None before the first). `stored` counts envelopes in the mirror. `as_of` and
    `verified_at` are the times of the last look and of the last full comparison. `synced` is set by the folder's first
    complete sync. `modseq` is HIGHESTMODSEQ at the beginning of the last complete look (RFC 7162), `uid_next` UIDNEXT
    likewise, both 0 when unknown and never more than hints. `window` is the window that was last applied. `tried` marks the
    software and the server with which partial records were last fetched (`sync.repair`), 0 when some never were.
    `rebinding` says that the folder was renumbered and its messages may have an id from before, until it is synced again.
    """

    cursor: int = 0
    pending: UidSet = UidSet()
    arriving: UidSet = UidSet()
    leaving: UidSet = UidSet()
    expected_exists: int | None = None
    stored: int = 0
    synced: bool = False
    as_of: int = 0
    verified_at: int = 0
    modseq: int = 0
    uid_next: int = 0
    window: Window = EVERYTHING
    tried: int = 0
    rebinding: bool = False

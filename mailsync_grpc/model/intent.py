r"""A change of the mail server that a caller asked for: what is to be done, how far it is, and how it ended.

An intent is one row of the store with one writer at a time, as `Account` is: made by the API, carried on by the
account's worker. Its states are the points that a crash may leave it at:

    ASKED     nothing was sent to the mail server; what is asked for may still be refused as a whole
    BEGUN     what is needed to find out what was done is recorded, and commands may have been sent
    SETTLED   it is known what was done; the mirror does not show it yet
    ENDED     the mirror was synced since, or could not be; nothing changes any more
"""

from dataclasses import dataclass
from enum import IntEnum

from mailsync_grpc.errors import MailsyncError
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.flags import NO_FLAGS, Flags
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.uidset import UidSet

NO_FOLDER = FolderNo(0)


class IntentKind(IntEnum):
    """What is asked for. Values are stored."""

    MODIFY_FLAGS = 1
    COPY = 2
    MOVE = 3
    EXPUNGE = 4
    APPEND = 5
    CREATE_FOLDER = 6
    RENAME_FOLDER = 7
    DELETE_FOLDER = 8
    SUBSCRIBE = 9
    UNSUBSCRIBE = 10


class IntentState(IntEnum):
    """How far it is. Values are stored."""

    ASKED = 1
    BEGUN = 2
    SETTLED = 3
    ENDED = 4


@dataclass(frozen=True, slots=True)
class Refused:
    """Messages that were not changed, and why (`reason` of the error tree, `message` for people)."""

    uids: UidSet
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done. `moved` are pairs of UIDs before and after, the latter 0 where it is not known, as always of messages
    that left a folder by a change of their labels.

    `error_reason` and `error_message` say why nothing was done at all, or that nobody knows; empty when messages were
    told apart. `uid` is the message that was made. `uid_validity` is that of the folder
    that messages went to.
    """

    done: UidSet = UidSet()
    moved: tuple[tuple[int, int], ...] = ()
    refused: tuple[Refused, ...] = ()
    uid_validity: int = 0
    uid: int = 0
    error_reason: str = ""
    error_message: str = ""

    @classmethod
    def failed(cls, error: MailsyncError) -> "Outcome":
        """Return that nothing was done at all, or that nobody knows, because of `error`."""
        return cls(error_reason=error.reason, error_message=str(error))


@dataclass(frozen=True, slots=True)
class Intent:
    """One change. `folder` holds the messages or is itself changed, `target` is where messages go.

    Asked for: `uids` under `uid_validity`, those of them in `single` each to be answered for
    (`named` has the UID of each name that the caller gave, 0 for one that is not there); flags and labels to `add` and to
    `remove`, where the mod-sequence is at most `unchanged_since`; for a folder its `path` (`raw_name` on the wire, once begun), `special_use` and whether
    it is to be mirrored (`selected`); for an append the `spool` file of `size` octets, its flags in `add`, and its
    INTERNALDATE (`date`, seconds since 1970, None for the server's now).
    `uid_next` and `target_validity` are the counters of the place where messages will appear, recorded when it was
    begun; 0 where the server did not tell; of a folder's change `target_validity` is the folder's own. `sent` says whether any command may have been sent, `tries` how often it
    was taken up after that broke off. `visible` is the revision at which the mirror shows what was done, 0 when it may not. `request_id` marks the events that it causes.
    """

    account: AccountKey
    no: int
    version: int
    kind: IntentKind
    state: IntentState = IntentState.ASKED
    request_id: str = ""
    folder: FolderNo = NO_FOLDER
    target: FolderNo = NO_FOLDER
    uid_validity: int = 0
    uids: UidSet = UidSet()
    single: UidSet = UidSet()
    named: tuple[int, ...] = ()
    add: Flags = NO_FLAGS
    remove: Flags = NO_FLAGS
    unchanged_since: int = 0
    path: str = ""
    raw_name: bytes = b""
    special_use: str = ""
    selected: bool = False
    spool: str = ""
    size: int = 0
    message_id: str = ""
    date: int | None = None
    sent: bool = False
    tries: int = 0
    target_validity: int = 0
    uid_next: int = 0
    outcome: Outcome = Outcome()
    visible: int = 0
    create_time: int = 0
    end_time: int = 0

    @property
    def of_messages(self) -> bool:
        """Whether it is about messages of a folder, and not about the folder itself."""
        return self.kind < IntentKind.CREATE_FOLDER

    @property
    def ended(self) -> bool:
        """Whether nothing changes any more."""
        return self.state is IntentState.ENDED

"""A sync run: a full or requested sync of an account, its progress and its end. Times are milliseconds since 1970."""

from dataclasses import dataclass
from enum import IntEnum

from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.ids import run_name


class RunState(IntEnum):
    """Values are those of `mailsync.v1.SyncRunState`."""

    PENDING = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5

    @property
    def ended(self) -> bool:
        """Whether the run can change no more."""
        return self >= RunState.SUCCEEDED


class RunKind(IntEnum):
    """Why the run was started. Values are those of `mailsync.v1.SyncRunKind`."""

    INITIAL = 1
    SCHEDULED = 2
    REQUESTED = 3


@dataclass(frozen=True, slots=True)
class SyncRun:
    """One sync run. `folders` are folder ids, none meaning every selected folder; `full` compares whole folders.

    `messages_total` and `folders_total` are what the run has found to do so far, `rate` is messages per second of late. `error_reason` and
    `error_message` are empty unless FAILED.
    """

    account: AccountKey
    no: int
    version: int
    kind: RunKind
    state: RunState = RunState.PENDING
    full: bool = True
    folders: tuple[bytes, ...] = ()
    messages_done: int = 0
    messages_total: int = 0
    folders_done: int = 0
    folders_total: int = 0
    rate: float = 0.0
    create_time: int = 0
    start_time: int = 0
    end_time: int = 0
    cancel_requested: bool = False
    error_reason: str = ""
    error_message: str = ""

    @property
    def name(self) -> str:
        """The resource name."""
        return run_name(self.account.id, self.no)

"""What a watch says besides events, as people see it: the current state, a line each account and folder; whom it shows.

Envelopes of the current state are counted only: a mailbox has more of them than anyone reads.
"""

from collections.abc import Iterator

from rich.text import Text

from mailsync_grpc.cli.event_view import EventLine, line_text
from mailsync_grpc.cli.terminal import plural, word
from mailsync_grpc.v1.account_pb2 import Account, AccountState
from mailsync_grpc.v1.errors_pb2 import ErrorReason
from mailsync_grpc.v1.event_service_pb2 import Reset, SnapshotChunk, SnapshotEnd, WatchEventsResponse
from mailsync_grpc.v1.folder_pb2 import Folder

_COUNT_EVERY = 10_000


def control_lines(response: WatchEventsResponse) -> Iterator[Text]:
    """The lines of a response that carries no events."""
    match response.WhichOneof("control"):
        case "snapshot_chunk":
            yield from map(_account_text, response.snapshot_chunk.accounts)
            yield from map(_folder_text, response.snapshot_chunk.folders)
        case "snapshot_end":
            yield line_text("", "", EventLine("complete", "bold green", _end_words(response.snapshot_end)))
        case "account_visible":
            line = EventLine("visible", "magenta", "its events are told from now on")
            yield line_text("", _id(response.account_visible.account), line)
        case "account_hidden":
            line = EventLine("hidden", "magenta", "its events are told no more")
            yield line_text("", _id(response.account_hidden.account), line)


def reset_words(reset: Reset) -> str:
    """Why what was told so far is void, and what follows."""
    reason = ErrorReason.Name(reset.reason).removeprefix("ERROR_REASON_")
    return (
        f"{reason}: the position cannot be served (kept are events after revision {reset.floor_revision}, up to"
        f" {reset.head_revision}); what was told before is void, the current state follows"
    )


class Progress:
    """How many envelopes of a current state have come, told every so many."""

    def __init__(self) -> None:
        self._count = 0

    def take(self, chunk: SnapshotChunk) -> str:
        """What to say after this chunk; empty when it is too early to say anything."""
        before, self._count = self._count, self._count + len(chunk.envelopes)
        if before // _COUNT_EVERY == self._count // _COUNT_EVERY:
            return ""
        return f"{plural(self._count, 'message')} of the current state so far"


def _account_text(account: Account) -> Text:
    state = word(AccountState.Name(account.state), "ACCOUNT_STATE_")
    what = f"{account.username} at {account.imap.host}, {state}"
    return line_text("", _id(account.name), EventLine("account", "magenta", what))


def _folder_text(folder: Folder) -> Text:
    counts = f"{plural(folder.counts.messages, 'message')}, {folder.counts.unseen:,} unread"
    what = f"{folder.path}: {counts if folder.selected else 'not mirrored'}"
    return line_text("", _id("/".join(folder.name.split("/")[:2])), EventLine("folder", "magenta", what))


def _end_words(end: SnapshotEnd) -> str:
    return (
        f"{plural(end.accounts, 'account')}, {plural(end.folders, 'folder')}, {plural(end.envelopes, 'message')};"
        " changes follow"
    )


def _id(account: str) -> str:
    return account.removeprefix("accounts/")

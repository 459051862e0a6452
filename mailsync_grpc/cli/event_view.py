"""Events as people see them: one line each, with when, what happened, where, and to what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from mailsync_grpc.cli.envelope_view import flag_words, recipient_words, who
from mailsync_grpc.cli.terminal import plain, plural, word
from mailsync_grpc.v1.account_pb2 import AccountState
from mailsync_grpc.v1.envelope_pb2 import Envelope, Report, UidRange
from mailsync_grpc.v1.event_pb2 import (
    AccountChanged,
    AccountRemoved,
    AutoReply,
    Backfilled,
    Bounce,
    Complaint,
    EnvelopeAdded,
    EnvelopeMoved,
    EnvelopesEvicted,
    EnvelopesRemoved,
    EnvelopeUpdated,
    Event,
    FlagsChanged,
    FolderChange,
    FolderChanged,
    FolderRemoved,
    FolderReset,
    FolderSynced,
    SyncRunChanged,
)
from mailsync_grpc.v1.folder_pb2 import FolderState
from mailsync_grpc.v1.sync_run_pb2 import SyncRunState

_WHEN_WIDTH = 8
_KIND_WIDTH = 12
_WHERE_WIDTH = 18
_SUBJECTS_SHOWN = 3
_RECIPIENTS_SHOWN = 3

Paths = Mapping[str, str]
"""Paths of folders by resource name."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """What a line says, not yet made safe: the kind in a word, its style, and to what it happened."""

    kind: str
    style: str
    what: str


def event_text(event: Event, paths: Paths) -> Text:
    """An event as one line."""
    return _text(f"{_local(event):%H:%M:%S}", event, paths)


def logged_event_text(event: Event, paths: Paths) -> Text:
    """An event as one line that says where and when in the log it stands, as options of positions are written."""
    return _text(f"{event.revision:>8}  {_local(event).isoformat(timespec='milliseconds')}", event, paths)


def line_text(when: str, where: str, line: EventLine) -> Text:
    """A line in the columns of events."""
    return Text.assemble(
        (f"{when:<{_WHEN_WIDTH}}  ", "dim"),
        (f"{line.kind:<{_KIND_WIDTH}}", line.style),
        plain(where + " " * max(2, _WHERE_WIDTH - cell_len(where)), "dim"),
        plain(line.what),
    )


def describe(event: Event, paths: Paths) -> EventLine:
    """What an event says, in words."""
    payload = event.WhichOneof("payload")
    if payload is None:
        return EventLine("erased", "dim", "its account was deleted")
    style, kind, say = _SAY[payload]
    return EventLine(kind, style, say(getattr(event, payload), paths))


def _text(when: str, event: Event, paths: Paths) -> Text:
    where = paths.get(event.folder, event.folder.rpartition("/")[2]) or event.account.removeprefix(
        "accounts/"
    )
    return line_text(when, where, describe(event, paths))


def _local(event: Event) -> datetime:
    # In whole milliseconds, as the log has it: a float would not give back what is written.
    milliseconds = event.commit_time.nanos // 1_000_000 * 1_000
    return (
        datetime.fromtimestamp(event.commit_time.seconds, UTC).replace(microsecond=milliseconds).astimezone()
    )


def uid_words(ranges: list[UidRange]) -> str:
    """UID ranges as people write them: ``UID 7``, ``UIDs 1-5,9``."""
    words = ",".join(str(r.first) if r.first == r.last else f"{r.first}-{r.last}" for r in ranges)
    return f"UID {words}" if words.isdigit() else f"UIDs {words}"


def _message(envelope: Envelope) -> str:
    sender = who(envelope)
    return f"{envelope.subject or '(no subject)'}{f' — {sender}' if sender else ''}"


def _added(payload: EnvelopeAdded, _: Paths) -> str:
    return _message(payload.envelope)


def _updated(payload: EnvelopeUpdated, _: Paths) -> str:
    return _message(payload.envelope)


def _flags(payload: FlagsChanged, _: Paths) -> str:
    changes = [
        *(f"+{flag}" for flag in flag_words(payload.added).split()),
        *(f"-{flag}" for flag in flag_words(payload.removed).split()),
    ]
    return f"UID {payload.uid}: {' '.join(changes) or flag_words(payload.flags) or 'none'}"


def _moved(payload: EnvelopeMoved, paths: Paths) -> str:
    return f"{_message(payload.envelope)} (from {paths.get(payload.from_folder, payload.from_folder)})"


def _removed(payload: EnvelopesRemoved, _: Paths) -> str:
    known = [gone.subject or "(no subject)" for gone in payload.known[:_SUBJECTS_SHOWN]]
    more = len(payload.known) - len(known)
    if not known:
        return uid_words(list(payload.uids))
    return f"{', '.join(known)}{f' and {more} more' if more else ''}"


def _evicted(payload: EnvelopesEvicted, _: Paths) -> str:
    return uid_words(list(payload.uids))


def _backfilled(payload: Backfilled, _: Paths) -> str:
    return f"{plural(payload.count, 'message')} of history"


def _folder_changed(payload: FolderChanged, _: Paths) -> str:
    folder = payload.folder
    if payload.change == FolderChange.FOLDER_CHANGE_STATE:
        state = word(FolderState.Name(folder.state), "FOLDER_STATE_")
        return f"{state}: {folder.state_message}" if folder.state_message else state
    before = f" (was {payload.previous_path})" if payload.previous_path else ""
    return f"{word(FolderChange.Name(payload.change), 'FOLDER_CHANGE_')}{before}"


def _folder_removed(payload: FolderRemoved, _: Paths) -> str:
    return payload.path


def _folder_reset(payload: FolderReset, _: Paths) -> str:
    return f"UIDVALIDITY {payload.old_uid_validity} is now {payload.new_uid_validity}"


def _folder_synced(payload: FolderSynced, _: Paths) -> str:
    return f"first sync complete, {plural(payload.messages, 'message')}"


def _bounce(payload: Bounce, _: Paths) -> str:
    return _recipients(payload.report) or _about(payload.report)


def _complaint(payload: Complaint, _: Paths) -> str:
    report = payload.report
    return ": ".join(filter(None, (report.feedback_type, _recipients(report) or _about(report))))


def _auto_reply(payload: AutoReply, _: Paths) -> str:
    return _about(payload.report)


def _recipients(report: Report) -> str:
    shown = ", ".join(map(recipient_words, report.recipients[:_RECIPIENTS_SHOWN]))
    more = len(report.recipients) - _RECIPIENTS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _about(report: Report) -> str:
    return (
        f"about <{report.original_message_id}>" if report.original_message_id else "about an unnamed message"
    )


def _account_changed(payload: AccountChanged, _: Paths) -> str:
    state = word(AccountState.Name(payload.account.state), "ACCOUNT_STATE_")
    message = payload.account.state_message
    return f"{state}: {message}" if message else state


def _account_removed(payload: AccountRemoved, _: Paths) -> str:
    return payload.account


def _sync_run(payload: SyncRunChanged, _: Paths) -> str:
    run = payload.sync_run
    state = word(SyncRunState.Name(run.state), "SYNC_RUN_STATE_")
    return f"{'full ' if run.full else ''}sync {run.name.rpartition('/')[2]} {state}"


_SAY: dict[str, tuple[str, str, Callable[[Any, Paths], str]]] = {
    "envelope_added": ("bold green", "arrived", _added),
    "envelope_updated": ("cyan", "updated", _updated),
    "flags_changed": ("yellow", "flags", _flags),
    "envelope_moved": ("blue", "moved", _moved),
    "envelopes_removed": ("red", "removed", _removed),
    "envelopes_evicted": ("dim", "evicted", _evicted),
    "backfilled": ("dim green", "history", _backfilled),
    "folder_changed": ("magenta", "folder", _folder_changed),
    "folder_removed": ("red", "no folder", _folder_removed),
    "folder_reset": ("bold red", "reset", _folder_reset),
    "folder_synced": ("green", "synced", _folder_synced),
    "bounce": ("red", "bounce", _bounce),
    "complaint": ("red", "complaint", _complaint),
    "auto_reply": ("cyan", "auto-reply", _auto_reply),
    "account_changed": ("magenta", "account", _account_changed),
    "account_removed": ("red", "no account", _account_removed),
    "sync_run_changed": ("dim", "sync", _sync_run),
}

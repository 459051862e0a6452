"""Which events a caller's change has caused, so that they carry its request_id and the caller can tell its own echo.

A look that follows a change may show others' changes too, and those must not be taken for an echo. So each event is held
against what the intents that were settled did, message by message; a removal of both ours and others' messages is told
as two.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mailsync_grpc.model.changes import (
    Change,
    EnvelopeAdded,
    EnvelopeMoved,
    EnvelopesRemoved,
    FlagsChanged,
    FolderChanged,
    FolderRemoved,
    Reported,
)
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.model.ids import FolderNo
from mailsync_grpc.model.intent import Intent, IntentKind
from mailsync_grpc.model.uidset import UidSet

_TAKING = (IntentKind.MOVE, IntentKind.EXPUNGE)
_BRINGING = (IntentKind.MOVE, IntentKind.COPY, IntentKind.APPEND)


class Attributed(NamedTuple):
    """Changes, and of each the request_id of the call that caused it, empty for none."""

    changes: tuple[Change, ...]
    causes: tuple[str, ...]


def attributed(changes: Sequence[Change], intents: Sequence[Intent]) -> Attributed:
    """Return the changes with their causes among `intents`, which are settled."""
    named = [intent for intent in intents if intent.request_id]
    if not named:
        return Attributed(tuple(changes), ())
    pairs = [pair for change in changes for pair in _with_cause(change, named)]
    return Attributed(tuple(change for change, _ in pairs), tuple(cause for _, cause in pairs))


def taken_from(folder: FolderNo, intents: Iterable[Intent]) -> UidSet:
    """Return the messages that `intents` have taken from the folder."""
    taken = UidSet()
    for intent in intents:
        if intent.folder == folder:
            taken |= _taken(intent)
    return taken


def touched_in(folder: FolderNo, intents: Iterable[Intent]) -> UidSet:
    """Return the messages that `intents` have changed in the folder, taken from it or brought to it."""
    touched = UidSet()
    for intent in intents:
        if intent.folder == folder:
            touched |= intent.outcome.done
        if intent.target == folder:
            touched |= _brought(intent)
    return touched


def _with_cause(change: Change, intents: Sequence[Intent]) -> Iterator[tuple[Change, str]]:
    if isinstance(change, EnvelopesRemoved):
        yield from _split(change, intents)
    else:
        yield change, next((i.request_id for i in reversed(intents) if _caused(change, i)), "")


def _split(change: EnvelopesRemoved, intents: Sequence[Intent]) -> Iterator[tuple[Change, str]]:
    rest = change.uids
    for intent in intents:
        ours = rest & taken_from(change.folder.no, [intent])
        if ours:
            yield _part(change, ours), intent.request_id
            rest -= ours
    if rest:
        yield _part(change, rest), ""


def _part(change: EnvelopesRemoved, uids: UidSet) -> EnvelopesRemoved:
    known = tuple(known for known in change.known if known.uid in uids)
    return EnvelopesRemoved(change.folder, uids, known)


def _caused(change: Change, intent: Intent) -> bool:
    kind, done = intent.kind, intent.outcome.done
    match change:
        case FlagsChanged(folder, uid):
            return kind is IntentKind.MODIFY_FLAGS and folder.no == intent.folder and uid in done
        case EnvelopeMoved(source, uid):
            return kind is not IntentKind.EXPUNGE and source.no == intent.folder and uid in _taken(intent)
        case EnvelopeAdded(folder, message):
            return folder.no == intent.target and message.uid in _brought(intent)
        case Reported(folder, uid):
            return folder.no == intent.target and uid in _brought(intent)
        case FolderChanged(folder) | FolderRemoved(folder):
            return _concerns(folder, intent)
    return False


def _taken(intent: Intent) -> UidSet:
    """Return the messages that have left the folder; of those with other labels the ones that are noted as gone."""
    if intent.kind is IntentKind.MODIFY_FLAGS:
        return UidSet.of(uid for uid, _ in intent.outcome.moved)
    return intent.outcome.done if intent.kind in _TAKING else UidSet()


def _brought(intent: Intent) -> UidSet:
    if intent.kind not in _BRINGING:
        return UidSet()
    return UidSet.of(uid for uid in (intent.outcome.uid, *(new for _, new in intent.outcome.moved)) if uid)


def _concerns(folder: Folder, intent: Intent) -> bool:
    """Whether the folder is the one that was changed, or, of a rename or a new branch, one with it."""
    if intent.of_messages:
        return False
    branch = folder.display_name == intent.path or folder.display_name.startswith(
        intent.path + folder.delimiter
    )
    return folder.no == intent.folder or bool(intent.path and branch)

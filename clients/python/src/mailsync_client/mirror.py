"""A mirror of one account's envelopes, kept right by events although it was read while they happened.

Theory. A list is read in pages, a snapshot in chunks, each at its own read revision, while the mailbox changes; the events
since before the first piece are then applied over it. So an event may already be contained in what was read: it changes an
item only where its revision is newer than the one the item is from. And what an event removed must not come back by a
piece that is older, so removals are kept as tombstones until the events have passed every read revision. Some events say
only that something must be read (BACKFILLED, FOLDER_RESET, flags of a message not known): `apply` returns these reads
instead of doing them, and takes their answers through `put`. Nothing here does any I/O.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from mailsync_client.v1.envelope_pb2 import Envelope, Flags, UidRange
from mailsync_client.v1.event_pb2 import FOLDER_CHANGE_DESELECTED, Event, EventType
from mailsync_client.v1.event_service_pb2 import WatchEventsResponse

Ranges = tuple[tuple[int, int], ...]

# What a mirror must be told; everything else may be filtered out.
EVENT_TYPES: tuple[EventType.ValueType, ...] = (
    EventType.EVENT_TYPE_ENVELOPE_ADDED,
    EventType.EVENT_TYPE_ENVELOPE_UPDATED,
    EventType.EVENT_TYPE_FLAGS_CHANGED,
    EventType.EVENT_TYPE_ENVELOPE_MOVED,
    EventType.EVENT_TYPE_ENVELOPES_REMOVED,
    EventType.EVENT_TYPE_ENVELOPES_EVICTED,
    EventType.EVENT_TYPE_BACKFILLED,
    EventType.EVENT_TYPE_FOLDER_CHANGED,
    EventType.EVENT_TYPE_FOLDER_REMOVED,
    EventType.EVENT_TYPE_FOLDER_RESET,
    EventType.EVENT_TYPE_ACCOUNT_REMOVED,
)


class ReadEnvelope(NamedTuple):
    """To be read: one envelope, by name. Not found is no error, its removal is still to come."""

    name: str


class ReadFolder(NamedTuple):
    """To be read: these UIDs of a folder, or all of it when there are none. Not found is no error, see above."""

    folder: str
    uids: Ranges = ()


class ReadAccount(NamedTuple):
    """To be read: every selected folder of an account. Not found is no error, see above."""

    name: str


Read = ReadEnvelope | ReadFolder | ReadAccount


class Item(NamedTuple):
    """An envelope and the revision it is from."""

    envelope: Envelope
    revision: int


class _Removal(NamedTuple):
    """What was removed of one folder at a revision. UIDVALIDITY 0 means any, no ranges mean all."""

    revision: int
    uid_validity: int = 0
    uids: Ranges = ()

    def hits(self, uid_validity: int, uid: int, revision: int) -> bool:
        """Whether the message with this UID, as known at `revision`, is gone by this removal."""
        return (
            revision < self.revision
            and self.uid_validity in {0, uid_validity}
            and (not self.uids or any(first <= uid <= last for first, last in self.uids))
        )


class Mirror:
    """The envelopes of one account, by name; `account` is its name, accounts/{account}.

    Keep `token`, `through`, `items`, `read_revision` and `partial` together: a mirror made of them goes on where this one
    stood. Without `token` there is nothing to go on from and all must be read. `through`: the coverage, partition to
    revision. `read_revision`: the newest revision anything was read at. `partial`: a snapshot has begun and not ended.
    """

    def __init__(
        self,
        account: str,
        token: str = "",
        through: dict[int, int] | None = None,
        items: dict[str, Item] | None = None,
        *,
        read_revision: int = 0,
        partial: bool = False,
    ) -> None:
        self.account = account
        self.token = token
        self.through: dict[int, int] = dict(through or {})
        self.read_revision = read_revision
        self.partial = partial
        self._folders: dict[str, dict[str, Item]] = {}
        self._removals: dict[str, list[_Removal]] = {}
        for name, item in (items or {}).items():
            self._folders.setdefault(folder_of(name), {})[name] = item

    @property
    def items(self) -> dict[str, Item]:
        """All items by name."""
        return {name: item for held in self._folders.values() for name, item in held.items()}

    def envelopes(self) -> Iterator[Envelope]:
        """All envelopes, in no order."""
        return (item.envelope for held in self._folders.values() for item in held.values())

    @property
    def caught_up(self) -> bool:
        """Whether events have passed every read revision: the mirror is the state at one moment, not a mix of several."""
        return not self.partial and bool(self.through) and min(self.through.values()) >= self.read_revision

    def reset(self, *, partial: bool = False) -> None:
        """Forget everything, the position too; `partial` where a snapshot follows."""
        self.token, self.read_revision, self.partial = "", 0, partial
        self.through.clear()
        self._forget()

    def put(self, envelopes: Iterable[Envelope], read_revision: int) -> None:
        """Take envelopes read at a revision, except where something newer is known of them."""
        self.read_revision = max(self.read_revision, read_revision)
        for envelope in envelopes:
            self._put(envelope, read_revision)

    def heed(self, response: WatchEventsResponse) -> list[Read]:
        """Take what a response says beside events; what must be read before its events are applied."""
        control = response.WhichOneof("control")
        if control == "reset":
            self.reset(partial=True)
        elif control == "snapshot_chunk":
            self.put(response.snapshot_chunk.envelopes, response.snapshot_chunk.read_revision)
        elif control == "snapshot_end":
            self.partial = False
        elif control == "account_hidden" and response.account_hidden.account == self.account:
            self._forget()
        elif control == "account_visible" and response.account_visible.account == self.account:
            # What was removed while it could not be seen is told by no event.
            self._forget()
            return [ReadAccount(self.account)]
        return []

    def apply(self, event: Event) -> list[Read]:
        """Take one event; what must be read before the next is applied."""
        kind = event.WhichOneof("payload")
        handler = _HANDLERS.get(kind) if kind else None
        return handler(self, event) if handler else []

    def advance(self, response: WatchEventsResponse) -> None:
        """Note that a response is applied. Once it passes every read revision the tombstones have done their work."""
        self.token = response.resume_token
        self.through[response.partition] = response.through_revision
        if self.caught_up:
            self._removals.clear()

    def _forget(self) -> None:
        self._folders.clear()
        self._removals.clear()

    def _put(self, envelope: Envelope, revision: int) -> None:
        folder = folder_of(envelope.name)
        held = self._folders.setdefault(folder, {})
        known = held.get(envelope.name)
        if known is not None and known.revision >= revision:
            return
        if not self._removed(folder, envelope.uid_validity, envelope.uid, revision):
            held[envelope.name] = Item(envelope, revision)

    def _removed(self, folder: str, uid_validity: int, uid: int, revision: int) -> bool:
        return any(removal.hits(uid_validity, uid, revision) for removal in self._removals.get(folder, ()))

    def _remove(self, folder: str, removal: _Removal) -> None:
        held = self._folders.get(folder, {})
        self._folders[folder] = {
            name: item
            for name, item in held.items()
            if not removal.hits(item.envelope.uid_validity, item.envelope.uid, item.revision)
        }
        self._removals.setdefault(folder, []).append(removal)

    def _added(self, event: Event) -> list[Read]:
        self._put(event.envelope_added.envelope, event.revision)
        return []

    def _updated(self, event: Event) -> list[Read]:
        self._put(event.envelope_updated.envelope, event.revision)
        return []

    def _flags_changed(self, event: Event) -> list[Read]:
        change = event.flags_changed
        folder = folder_of(change.name)
        held = self._folders.get(folder, {})
        known = held.get(change.name)
        if known is None:
            gone = self._removed(folder, change.uid_validity, change.uid, event.revision)
            return [] if gone else [ReadEnvelope(change.name)]
        if known.revision < event.revision:
            held[change.name] = Item(_with_flags(known.envelope, change.flags), event.revision)
        return []

    def _moved(self, event: Event) -> list[Read]:
        move = event.envelope_moved
        uids = ((move.from_uid, move.from_uid),)
        self._remove(move.from_folder, _Removal(event.revision, move.from_uid_validity, uids))
        self._put(move.envelope, event.revision)
        return []

    def _envelopes_gone(self, event: Event) -> list[Read]:
        gone = event.envelopes_removed if event.HasField("envelopes_removed") else event.envelopes_evicted
        self._remove(event.folder, _Removal(event.revision, gone.uid_validity, _ranges(gone.uids)))
        return []

    def _backfilled(self, event: Event) -> list[Read]:
        return [ReadFolder(event.folder, _ranges(event.backfilled.uids))]

    def _folder_changed(self, event: Event) -> list[Read]:
        if event.folder_changed.change == FOLDER_CHANGE_DESELECTED:
            self._remove(event.folder, _Removal(event.revision))
        return []

    def _folder_removed(self, event: Event) -> list[Read]:
        self._remove(event.folder, _Removal(event.revision))
        return []

    def _folder_reset(self, event: Event) -> list[Read]:
        self._remove(event.folder, _Removal(event.revision, event.folder_reset.old_uid_validity))
        return [ReadFolder(event.folder)]

    def _account_removed(self, event: Event) -> list[Read]:
        for folder in list(self._folders):
            self._remove(folder, _Removal(event.revision))
        return []


_HANDLERS: dict[str, Callable[[Mirror, Event], list[Read]]] = {
    "envelope_added": Mirror._added,
    "envelope_updated": Mirror._updated,
    "flags_changed": Mirror._flags_changed,
    "envelope_moved": Mirror._moved,
    "envelopes_removed": Mirror._envelopes_gone,
    "envelopes_evicted": Mirror._envelopes_gone,
    "backfilled": Mirror._backfilled,
    "folder_changed": Mirror._folder_changed,
    "folder_removed": Mirror._folder_removed,
    "folder_reset": Mirror._folder_reset,
    "account_removed": Mirror._account_removed,
}


def folder_of(envelope: str) -> str:
    """Name of the folder an envelope's name (of the form with its UID) is in."""
    return envelope.rpartition("/envelopes/")[0]


def _ranges(uids: Iterable[UidRange]) -> Ranges:
    return tuple((each.first, each.last) for each in uids)


def _with_flags(envelope: Envelope, flags: Flags) -> Envelope:
    changed = Envelope()
    changed.CopyFrom(envelope)
    changed.flags.CopyFrom(flags)
    return changed

"""What a client knows that follows by the wire only, and by nothing but the rules of the contract.

Each item is kept with the revision that it is known at. What was read counts as of its `read_revision`, and an event changes
an item only where it is newer. A removal that is newer than a page to come must keep it from bringing the item back, so
removals are kept as tombstones until the events have passed every page that was read. Two events name what they do not
carry: that has to be read before the next event is applied.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message

from mailsync_grpc.store.base import Store
from mailsync_grpc.v1 import account_pb2, envelope_pb2, event_pb2, folder_pb2
from tests.support.replay import listed
from tests.support.stream_filter import Wanted

Record = account_pb2.Account | folder_pb2.Folder | envelope_pb2.Envelope


@dataclass(frozen=True, slots=True)
class ReadEnvelope:
    """Read this envelope."""

    name: str


@dataclass(frozen=True, slots=True)
class ReadUids:
    """Read these UIDs of a folder; all when there are none."""

    folder: str
    uids: tuple[envelope_pb2.UidRange, ...] = ()


Read = ReadEnvelope | ReadUids


@dataclass(frozen=True, slots=True)
class Item:
    """A record and the revision that it is known at."""

    revision: int
    record: Record


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What went at a revision: an item, or items of a parent: all, those of a UIDVALIDITY, or some of its UIDs."""

    revision: int
    name: str = ""
    parent: str = ""
    uid_validity: int = 0
    uids: tuple[envelope_pb2.UidRange, ...] = ()

    def hits(self, name: str) -> bool:
        """Whether the item of this name is among them, if it was there then."""
        if name == self.name:
            return True
        if not self.parent or not name.startswith(f"{self.parent}/"):
            return False
        if not self.uid_validity:
            return True
        uid_validity, uid = map(int, name.rpartition("/")[2].split("."))
        within = not self.uids or any(each.first <= uid <= each.last for each in self.uids)
        return uid_validity == self.uid_validity and within


@dataclass(slots=True)
class Replica:
    """All that is known under a filter. Its token belongs to its state: both change at once."""

    wanted: Wanted
    token: str = ""
    through: int = 0
    read_revision: int = 0
    _held: dict[str, dict[str, Item]] = field(default_factory=lambda: defaultdict(dict))
    _tombstones: list[Tombstone] = field(default_factory=list)

    def forget(self) -> None:
        """Know nothing any more."""
        self.token, self.through, self.read_revision = "", 0, 0
        self._held.clear()
        self._tombstones.clear()

    def put(self, records: Iterable[Record], read_revision: int) -> None:
        """Take what was read at a revision, short of what is known better."""
        self.read_revision = max(self.read_revision, read_revision)
        for record in records:
            self._put(record, read_revision)

    def advance(self, token: str, through: int) -> None:
        """Note that everything up to a position is applied."""
        self.token, self.through = token, through
        if through >= self.read_revision:
            self._tombstones.clear()

    def drop(self, account: str) -> None:
        """Forget an account that is out of sight."""
        for parent in [parent for parent in self._held if f"{parent}/".startswith(f"{account}/")]:
            del self._held[parent]
        self._held[""].pop(account, None)

    def apply(self, event: event_pb2.Event) -> list[Read]:
        """Take an event; return what must be read before the next one."""
        kind = event.WhichOneof("payload")
        handler = getattr(self, f"_{kind}", None)
        return (handler(event) if handler else None) or []

    # Items

    def _put(self, record: Record, revision: int) -> None:
        known = self._held[_parent(record.name)].get(record.name)
        gone = any(each.revision > revision and each.hits(record.name) for each in self._tombstones)
        outside = self.wanted.refuses_item(record.name)
        if not gone and not outside and (known is None or known.revision < revision):
            self._held[_parent(record.name)][record.name] = Item(revision, record)

    def _remove(self, tombstone: Tombstone) -> None:
        self._tombstones.append(tombstone)
        parent = tombstone.parent or _parent(tombstone.name)
        held = self._held[parent]
        for name in [name for name in held if tombstone.hits(name)]:
            if held[name].revision < tombstone.revision:
                del held[name]

    # Events

    def _account_changed(self, event: event_pb2.Event) -> None:
        self._put(event.account_changed.account, event.revision)

    def _account_removed(self, event: event_pb2.Event) -> None:
        inside = [parent for parent in self._held if f"{parent}/".startswith(f"{event.account}/")]
        for parent in {event.account, *inside}:
            self._remove(Tombstone(event.revision, parent=parent))
        self._remove(Tombstone(event.revision, event.account))

    def _folder_changed(self, event: event_pb2.Event) -> None:
        self._put(event.folder_changed.folder, event.revision)
        if event.folder_changed.change == event_pb2.FOLDER_CHANGE_DESELECTED:
            self._remove(Tombstone(event.revision, parent=event.folder))

    def _folder_removed(self, event: event_pb2.Event) -> None:
        self._remove(Tombstone(event.revision, parent=event.folder))
        self._remove(Tombstone(event.revision, event.folder))

    def _folder_reset(self, event: event_pb2.Event) -> list[Read]:
        known = self._held[event.account].get(event.folder)
        if known and known.revision < event.revision and isinstance(known.record, folder_pb2.Folder):
            folder = folder_pb2.Folder.FromString(known.record.SerializeToString())
            folder.uid_validity = event.folder_reset.new_uid_validity
            self._held[event.account][event.folder] = Item(event.revision, folder)
        self._remove(Tombstone(event.revision, parent=event.folder))
        return [ReadUids(event.folder)]

    def _backfilled(self, event: event_pb2.Event) -> list[Read]:
        return [ReadUids(event.folder, tuple(event.backfilled.uids))]

    def _envelope_added(self, event: event_pb2.Event) -> None:
        self._put(event.envelope_added.envelope, event.revision)

    def _envelope_updated(self, event: event_pb2.Event) -> None:
        self._put(event.envelope_updated.envelope, event.revision)

    def _envelope_moved(self, event: event_pb2.Event) -> None:
        self._remove(Tombstone(event.revision, event.envelope_moved.from_name))
        self._put(event.envelope_moved.envelope, event.revision)

    def _envelopes_removed(self, event: event_pb2.Event) -> None:
        gone = event.envelopes_removed
        self._remove(Tombstone(event.revision, "", event.folder, gone.uid_validity, tuple(gone.uids)))

    def _envelopes_evicted(self, event: event_pb2.Event) -> None:
        gone = event.envelopes_evicted
        self._remove(Tombstone(event.revision, "", event.folder, gone.uid_validity, tuple(gone.uids)))

    def _flags_changed(self, event: event_pb2.Event) -> list[Read]:
        change, held = event.flags_changed, self._held[event.folder]
        known = held.get(change.name)
        if known is None:
            return [ReadEnvelope(change.name)]
        if known.revision < event.revision and isinstance(known.record, envelope_pb2.Envelope):
            envelope = envelope_pb2.Envelope.FromString(known.record.SerializeToString())
            envelope.flags.CopyFrom(change.flags)
            held[change.name] = Item(event.revision, envelope)
        return []

    # What is known

    def state(self) -> dict[str, bytes]:
        """Every item by name, as bytes that are equal when the items are."""
        items = (item.record for held in self._held.values() for item in held.values())
        return {record.name: _bytes(record) for record in items}

    def flags(self, folder: str) -> dict[int, envelope_pb2.Flags]:
        """Flags by UID of one folder."""
        records = (item.record for item in self._held[folder].values())
        return {each.uid: each.flags for each in records if isinstance(each, envelope_pb2.Envelope)}


def state_of(store: Store) -> dict[str, bytes]:
    """What a replica without a filter is to know, read from the store itself."""
    state = listed(store)
    records: Iterator[Record] = iter(
        [
            *state.accounts.values(),
            *state.folders.values(),
            *(envelope for held in state.envelopes.values() for envelope in held.values()),
        ]
    )
    return {record.name: _bytes(record) for record in records}


def state_hash(state: Mapping[str, bytes]) -> str:
    """One line for a whole state."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(f"{name} {len(state[name])} ".encode() + state[name])
    return digest.hexdigest()


def differences(left: Mapping[str, bytes], right: Mapping[str, bytes]) -> list[str]:
    """Where two states differ, for people: what only one has, and what they have differently."""
    only = {"only the left has": left.keys() - right.keys(), "only the right has": right.keys() - left.keys()}
    found = [f"{what} {name}" for what, names in only.items() for name in sorted(names)]
    both = sorted(left.keys() & right.keys())
    return [
        *found,
        *(f"{name}: {left[name]!r} != {right[name]!r}" for name in both if left[name] != right[name]),
    ]


def _parent(name: str) -> str:
    return name.rpartition("/")[0].rpartition("/")[0]


def _bytes(record: Message) -> bytes:
    if isinstance(record, folder_pb2.Folder):
        record = folder_pb2.Folder.FromString(record.SerializeToString())
        # Progress is no event.
        for name in ("counts", "as_of", "verified_at", "state", "uid_next", "highest_modseq"):
            record.ClearField(name)
    return record.SerializeToString(deterministic=True)

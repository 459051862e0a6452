"""What an event filter passes, judged from the wire alone.

Written from the contract, not from the server's code: it is half of what the stream checker holds streams against. Where
the wire does not say enough (which share an account falls in, which labels it bears), the answer is that nobody knows.
"""

from dataclasses import dataclass, replace
from typing import Self

from mailsync_grpc.v1 import envelope_pb2, event_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb

_LAST_FIELD: dict[int, int] = {
    envelope_pb2.ENVELOPE_VIEW_FLAGS: 6,
    envelope_pb2.ENVELOPE_VIEW_BASIC: 29,
}
_WITH_ENVELOPE = ("envelope_added", "envelope_updated", "envelope_moved")


@dataclass(frozen=True, slots=True)
class Told:
    """What a filter may look at of an event. `kind` is its payload's field number, 0 when the payload was erased."""

    account: str
    folders: frozenset[str]
    kind: int
    committed: int

    @classmethod
    def of(cls, event: event_pb2.Event) -> Self:
        """Read it off an event."""
        name = event.WhichOneof("payload")
        kind = event_pb2.Event.DESCRIPTOR.fields_by_name[name].number if name else 0
        folders = {event.folder, event.envelope_moved.from_folder} - {""}
        return cls(event.account, frozenset(folders), kind, event.commit_time.ToNanoseconds())


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter, however it was written: two that ask for the same are equal."""

    accounts: frozenset[str]
    folders: frozenset[str]
    kinds: frozenset[int]
    share: tuple[int, int]
    backfill: bool
    view: int
    labels: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, asked: pb.EventFilter) -> Self:
        """Read it off a request."""
        return cls(
            frozenset(asked.accounts),
            frozenset(asked.folders),
            frozenset(map(int, asked.types)),
            (asked.share.index, asked.share.count) if asked.share.count > 1 else (0, 0),
            not asked.exclude_backfill,
            asked.view or envelope_pb2.ENVELOPE_VIEW_FULL,
            frozenset(asked.account_labels.items()),
        )

    def same_as(self, other: Self) -> bool:
        """Whether a token of one is good for the other: how much of an envelope is shown is no part of the position."""
        return replace(self, view=0) == replace(other, view=0)

    def passes(self, told: Told) -> bool | None:
        """Whether the event belongs in a stream under this filter; None where the wire does not tell."""
        if not self._of_account(told.account) or not self._of_folders(told):
            return False
        if told.kind == event_pb2.EVENT_TYPE_BACKFILLED and not self.backfill:
            return False
        if self.kinds and told.kind and told.kind not in self.kinds:
            return False
        unclear = self.share[1] or self.labels or not told.kind
        return None if unclear else True

    def takes_all(self) -> bool:
        """Whether every event of the log passes."""
        return self.backfill and not (
            self.accounts or self.folders or self.kinds or self.share[1] or self.labels
        )

    def _of_account(self, account: str) -> bool:
        return not self.accounts or account in self.accounts

    def _of_folders(self, told: Told) -> bool:
        if not self.folders:
            return True
        if told.folders:
            return bool(told.folders & self.folders)
        return any(folder.startswith(f"{told.account}/") for folder in self.folders)

    def refuses_item(self, name: str) -> bool:
        """Whether an account, folder or envelope of this name has no place in a snapshot under this filter."""
        parts = name.split("/")
        account = "/".join(parts[:2])
        folders = {"/".join(parts[:4])} if len(parts) > 2 else set()
        told = Told(account, frozenset(folders), 0, 0)
        return not (self._of_account(account) and self._of_folders(told))

    def shows_too_much(self, envelope: envelope_pb2.Envelope) -> bool:
        """Whether the envelope holds fields beyond the view that was asked for."""
        last = _LAST_FIELD.get(self.view)
        return last is not None and any(field.number > last for field, _ in envelope.ListFields())


def envelope_in(event: event_pb2.Event) -> envelope_pb2.Envelope:
    """The whole envelope that an event carries; an empty one when it carries none."""
    name = event.WhichOneof("payload")
    found: envelope_pb2.Envelope = (
        getattr(event, name).envelope if name in _WITH_ENVELOPE else envelope_pb2.Envelope()
    )
    return found

"""Streams written by hand, for the tests of what checks them: responses in one line each, and checkers over one history."""

from dataclasses import dataclass, field
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.v1 import envelope_pb2, errors_pb2, event_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.stream_checker import StreamChecker
from tests.support.stream_history import History

CONTROLS = {each.name for each in pb.WatchEventsResponse.DESCRIPTOR.oneofs_by_name["control"].fields}
BEAT = {"heartbeat": pb.Heartbeat()}
OLDEST: dict[str, Any] = {"oldest": pb.StartOldest()}
SNAPSHOT: dict[str, Any] = {"snapshot": pb.StartSnapshot()}
ACCOUNT, INBOX, SENT = "accounts/a", "accounts/a/folders/inbox", "accounts/a/folders/sent"
COMPACTED = errors_pb2.ERROR_REASON_REVISION_COMPACTED
RESET = {"reset": pb.Reset(reason=COMPACTED, floor_revision=50, head_revision=90)}


def event(revision: int, folder: str = INBOX, text: str = "", **payload: Any) -> event_pb2.Event:
    """An event of account `a`: a message arrived, unless something else is said."""
    envelope = envelope_pb2.Envelope(name=f"{folder}/envelopes/7.{revision}", subject=text)
    payload = payload or {"envelope_added": event_pb2.EnvelopeAdded(envelope=envelope)}
    folder = "" if folder == ACCOUNT else folder
    at = Timestamp(seconds=revision)
    return event_pb2.Event(revision=revision, account=ACCOUNT, folder=folder, commit_time=at, **payload)


def covering(after: int, through: int, *events: event_pb2.Event, **more: Any) -> pb.WatchEventsResponse:
    """A response, with a token that says no more than up to where."""
    says_something = events or set(more) & CONTROLS
    rest = {"resume_token": f"t{through}", **({} if says_something else BEAT), **more}
    return pb.WatchEventsResponse(from_revision=after, through_revision=through, events=events, **rest)


def chunk(
    at: int, read: int, *uids: int, folder: str = INBOX, subject: str = "", **more: Any
) -> pb.WatchEventsResponse:
    """A piece of a snapshot that started at revision `at`."""
    envelopes = [
        envelope_pb2.Envelope(name=f"{folder}/envelopes/7.{uid}", uid=uid, uid_validity=7, subject=subject)
        for uid in uids
    ]
    piece = pb.SnapshotChunk(read_revision=read, envelopes=envelopes, **more)
    return covering(at, at, snapshot_chunk=piece, resume_token=f"s{at}.{read}.{uids}{more}")


def end(at: int, *counts: int) -> pb.WatchEventsResponse:
    """The end of a snapshot."""
    accounts, folders, envelopes = counts
    told = pb.SnapshotEnd(accounts=accounts, folders=folders, envelopes=envelopes)
    return covering(at, at, snapshot_end=told)


@dataclass
class Stage:
    """Streams over one history, of a caller who may not see all there is, so that a test need not tell of each revision."""

    history: History = field(default_factory=History)
    reader: str = "somebody"

    def take(self, request: dict[str, Any], *responses: pb.WatchEventsResponse) -> StreamChecker:
        """Check a stream's responses."""
        checker = StreamChecker(self.history, pb.WatchEventsRequest(**request), self.reader)
        for response in responses:
            checker.take(response)
        return checker


def only(**wanted: Any) -> dict[str, Any]:
    return {**OLDEST, "filter": pb.EventFilter(**wanted)}

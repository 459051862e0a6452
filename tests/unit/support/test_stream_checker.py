"""The stream checker notices each rule that a stream breaks, and lets pass what the contract allows."""

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.v1 import account_pb2, envelope_pb2, event_pb2, folder_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.stream_history import StreamViolation
from tests.support.stream_script import (
    ACCOUNT,
    BEAT,
    COMPACTED,
    INBOX,
    OLDEST,
    RESET,
    SENT,
    SNAPSHOT,
    Stage,
    chunk,
    covering,
    end,
    event,
    only,
)


@pytest.fixture
def stage() -> Stage:
    return Stage()


big = event(2, text="x" * (200 << 10))
moved = event_pb2.EnvelopeMoved(
    from_folder=SENT, envelope=envelope_pb2.Envelope(name=f"{INBOX}/envelopes/7.9")
)
history_stored: dict[str, Any] = {"backfilled": event_pb2.Backfilled(uid_validity=7)}

WRONG: dict[str, tuple[dict[str, Any], list[pb.WatchEventsResponse], str]] = {
    "no token": (OLDEST, [covering(0, 1, event(1), resume_token="")], "without a resume token"),
    "nothing": (OLDEST, [pb.WatchEventsResponse(resume_token="t", through_revision=3)], "without events and"),
    "both": (OLDEST, [covering(0, 1, event(1), **BEAT)], "events and a control"),
    "many": (OLDEST, [covering(0, 600, *map(event, range(1, 514)))], "more than 512"),
    "large": (OLDEST, [covering(0, 2, event(1, text="x" * (100 << 10)), big)], "octets of events"),
    "backwards": (OLDEST, [covering(5, 3)], "ends before it begins"),
    "gap": (OLDEST, [covering(0, 3), covering(4, 5)], "range from elsewhere"),
    "overlap": (OLDEST, [covering(0, 3), covering(2, 5)], "range from elsewhere"),
    "unordered": (OLDEST, [covering(0, 3, event(2), event(1))], "out of order or doubled"),
    "doubled": (OLDEST, [covering(0, 3, event(2), event(2))], "out of order or doubled"),
    "beyond": (OLDEST, [covering(0, 3, event(4))], "outside the range"),
    "behind a heartbeat": (OLDEST, [covering(0, 3), covering(3, 5, event(3))], "outside the range"),
    "other account": (only(accounts=["accounts/b"]), [covering(0, 1, event(1))], "not asked for"),
    "other folder": (only(folders=[SENT]), [covering(0, 1, event(1))], "not asked for"),
    "other account without folder": (
        only(folders=["accounts/b/folders/inbox"]),
        [covering(0, 1, event(1, ACCOUNT))],
        "not asked for",
    ),
    "other type": (only(types=[event_pb2.EVENT_TYPE_BOUNCE]), [covering(0, 1, event(1))], "not asked for"),
    "backfill": (only(exclude_backfill=True), [covering(0, 1, event(1, **history_stored))], "not asked for"),
    "too much": (
        only(view=envelope_pb2.ENVELOPE_VIEW_FLAGS),
        [covering(0, 1, event(1, text="Hi"))],
        "shows too much",
    ),
    "after goodbye": (
        OLDEST,
        [covering(0, 1, goodbye=pb.Goodbye(reason=pb.GOODBYE_REASON_AGE)), covering(1, 1)],
        "after a goodbye",
    ),
    "goodbye for nothing": (OLDEST, [covering(0, 1, goodbye=pb.Goodbye())], "without its reason"),
    "unasked reset": (OLDEST, [covering(90, 90, **RESET)], "was not asked for"),
    "reset for nothing": (
        {**OLDEST, "reset_on_compacted": True},
        [covering(90, 90, reset=pb.Reset())],
        "without its reason",
    ),
    "reset upside down": (
        {**OLDEST, "reset_on_compacted": True},
        [covering(90, 90, reset=pb.Reset(reason=COMPACTED, floor_revision=2))],
        "floor above the head",
    ),
    "no snapshot after a reset": (
        {**OLDEST, "reset_on_compacted": True},
        [covering(90, 90, **RESET), covering(90, 91, event(91))],
        "before the snapshot's end",
    ),
    "early event": (SNAPSHOT, [chunk(5, 5, 1), covering(5, 6, event(6))], "before the snapshot's end"),
    "chunk that covers": (
        SNAPSHOT,
        [covering(5, 6, snapshot_chunk=pb.SnapshotChunk(read_revision=6))],
        "covers part of the log",
    ),
    "stale chunk": (SNAPSHOT, [chunk(5, 4, 1)], "before 5"),
    "chunk read earlier": (SNAPSHOT, [chunk(5, 8, 1), chunk(5, 7, 2)], "before 8"),
    "wrong count": (SNAPSHOT, [chunk(5, 5, 1, 2), end(5, 0, 0, 3)], "are said to be"),
    "chunk after the end": (SNAPSHOT, [chunk(5, 5, 1), end(5, 0, 0, 1), chunk(5, 6, 2)], "after its end"),
    "second end": (SNAPSHOT, [end(5, 0, 0, 0), end(5, 0, 0, 0)], "after its end"),
    "chunk without a snapshot": (OLDEST, [chunk(5, 5, 1)], "after its end"),
    "UIDs out of order": (SNAPSHOT, [chunk(5, 5, 2), chunk(5, 5, 1)], "after ('accounts/a"),
    "folder come back to": (
        SNAPSHOT,
        [chunk(5, 5, 2), chunk(5, 5, 1, folder=SENT), chunk(5, 6, 3)],
        "folder that was left",
    ),
    "folder twice": (
        SNAPSHOT,
        [
            chunk(5, 5, folders=[folder_pb2.Folder(name=INBOX)]),
            chunk(5, 6, folders=[folder_pb2.Folder(name=INBOX)]),
        ],
        "sent before",
    ),
    "foreign account in a snapshot": (
        {**SNAPSHOT, "filter": pb.EventFilter(accounts=["accounts/b"])},
        [chunk(5, 5, accounts=[account_pb2.Account(name=ACCOUNT)])],
        "not asked for in a snapshot",
    ),
    "foreign envelope in a snapshot": (
        {**SNAPSHOT, "filter": pb.EventFilter(folders=[SENT])},
        [chunk(5, 5, 1)],
        "not asked for in a snapshot",
    ),
    "too much in a snapshot": (
        {**SNAPSHOT, "filter": pb.EventFilter(view=envelope_pb2.ENVELOPE_VIEW_FLAGS)},
        [chunk(5, 5, 1, subject="Hi")],
        "shows too much",
    ),
    "foreign account shown": (
        only(accounts=["accounts/b"]),
        [covering(0, 1, account_visible=pb.AccountVisible(account=ACCOUNT))],
        "account_visible of an account not asked for",
    ),
    "one token, two positions": (
        OLDEST,
        [covering(0, 1, resume_token="t"), covering(1, 2, resume_token="t")],
        "another position",
    ),
    "too old": (
        {"since_time": Timestamp(seconds=7)},
        [covering(0, 6, event(6))],
        "an event too old",
    ),
}


@pytest.mark.parametrize(("request_", "responses", "fault"), WRONG.values(), ids=WRONG.keys())
def test_what_no_stream_may_do_is_noticed_at_once(
    stage: Stage, request_: dict[str, Any], responses: list[pb.WatchEventsResponse], fault: str
) -> None:
    checker = stage.take(request_, *responses[:-1])
    with pytest.raises(StreamViolation) as caught:
        checker.take(responses[-1])
    assert fault in str(caught.value)
    with pytest.raises(StreamViolation):
        stage.history.settle()


RIGHT: dict[str, tuple[dict[str, Any], list[pb.WatchEventsResponse]]] = {
    "events": (OLDEST, [covering(0, 0), covering(0, 2, event(1), event(2)), covering(2, 2), covering(2, 9)]),
    "full": (OLDEST, [covering(0, 512, *map(event, range(1, 513)))]),
    "one that is large": (OLDEST, [covering(0, 2, event(2, text="x" * (300 << 10)))]),
    "move": (only(folders=[SENT]), [covering(0, 1, event(1, envelope_moved=moved))]),
    "no folder": (only(folders=[SENT]), [covering(0, 1, event(1, ACCOUNT))]),
    "partitions": (OLDEST, [covering(0, 1), covering(7, 8, partition=1, resume_token="u"), covering(1, 2)]),
    "snapshot": (
        SNAPSHOT,
        [
            chunk(5, 5, accounts=[account_pb2.Account(name=ACCOUNT)]),
            covering(5, 5, resume_token="s0"),
            chunk(5, 6, 1, 2, folders=[folder_pb2.Folder(name=INBOX)]),
            chunk(5, 8, 3),
            chunk(5, 8, 1, folder=SENT),
            end(5, 1, 1, 4),
            covering(5, 9, event(6)),
        ],
    ),
    "reset": (
        {**OLDEST, "reset_on_compacted": True},
        [
            covering(0, 3, event(3)),
            covering(90, 90, **RESET),
            chunk(90, 91, 1),
            end(90, 0, 0, 1),
            covering(90, 92),
        ],
    ),
}


@pytest.mark.parametrize(("request_", "responses"), RIGHT.values(), ids=RIGHT.keys())
def test_what_the_contract_allows_passes(
    stage: Stage, request_: dict[str, Any], responses: list[pb.WatchEventsResponse]
) -> None:
    stage.take(request_, *responses)
    stage.history.settle()

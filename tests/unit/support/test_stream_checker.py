"""The stream checker notices each rule that a stream breaks, and lets pass what the contract allows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.v1 import account_pb2, envelope_pb2, errors_pb2, event_pb2, folder_pb2
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.stream_checker import StreamChecker
from tests.support.stream_history import History, StreamViolation

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


@pytest.fixture
def stage() -> Stage:
    return Stage()


def only(**wanted: Any) -> dict[str, Any]:
    return {**OLDEST, "filter": pb.EventFilter(**wanted)}


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


def test_a_stream_resumed_by_token_goes_on_where_the_token_stood(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 5))
    stage.take({"resume_token": "t5"}, covering(5, 6, event(6)))
    with pytest.raises(StreamViolation, match="range from elsewhere"):
        stage.take({"resume_token": "t5"}, covering(6, 7))


def test_a_token_of_another_filter_must_not_be_taken(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 5))
    with pytest.raises(StreamViolation, match="token of another filter"):
        stage.take({**only(accounts=[ACCOUNT]), "resume_token": "t5"}, covering(5, 6))


def test_a_token_is_good_for_another_view(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 5))
    basic = only(view=envelope_pb2.ENVELOPE_VIEW_BASIC)
    stage.take({**basic, "resume_token": "t5"}, covering(5, 6))


def test_a_resumed_snapshot_counts_what_was_sent_before(stage: Stage) -> None:
    first = chunk(5, 5, 1, 2)
    stage.take(SNAPSHOT, first)
    resumed = {"resume_token": first.resume_token}
    stage.take(resumed, chunk(5, 9, 3), end(5, 0, 0, 3))
    with pytest.raises(StreamViolation, match="are said to be"):
        stage.take(resumed, chunk(5, 9, 3), end(5, 0, 0, 1))
    with pytest.raises(StreamViolation, match="after"):
        stage.take(resumed, chunk(5, 5, 2))


def test_a_snapshot_begins_a_folder_anew_only_when_something_befell_it(stage: Stage) -> None:
    changed = event_pb2.FolderChanged(change=event_pb2.FOLDER_CHANGE_SELECTED)
    stage.take(
        OLDEST, covering(0, 8, event(7, folder_changed=changed), event(8, SENT, folder_changed=changed))
    )
    twice = [chunk(5, 5, 1, 2), chunk(5, 7, 1), end(5, 0, 0, 3)]
    stage.take(SNAPSHOT, *twice)
    stage.history.settle()
    stage.take(SNAPSHOT, chunk(7, 7, 1, 2), chunk(7, 8, 1))
    with pytest.raises(StreamViolation, match="twice"):
        stage.history.settle()


def test_a_token_of_elsewhere_may_stand_anywhere(stage: Stage) -> None:
    stage.take({"resume_token": "of a list"}, covering(40, 41, event(41)))
    stage.take({"resume_token": "of a snapshot"}, chunk(5, 5, 3), end(5, 0, 0, 8))


def test_two_streams_tell_the_same_of_one_revision(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 1, event(1, text="this")))
    with pytest.raises(StreamViolation, match="told otherwise before"):
        stage.take(OLDEST, covering(0, 1, event(1, text="that"), resume_token="u"))


def test_another_view_of_one_revision_may_differ_and_an_erased_payload_too(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 1, event(1, text="this")))
    basic = only(view=envelope_pb2.ENVELOPE_VIEW_BASIC)
    stage.take(basic, covering(0, 1, event(1, text="shorter"), resume_token="u"))
    erased = event(1)
    erased.ClearField("envelope_added")
    stage.take(OLDEST, covering(0, 1, erased))


@pytest.mark.parametrize("withheld_first", [True, False])
def test_an_event_that_a_stream_skipped_is_noticed_by_another_stream_that_has_it(
    stage: Stage, withheld_first: bool
) -> None:
    streams = [(OLDEST, covering(0, 2, event(1))), (OLDEST, covering(0, 2, event(1), event(2)))]
    for request, response in streams if withheld_first else reversed(streams):
        stage.take(request, response)
    with pytest.raises(StreamViolation, match=r"revision 2 .* was never sent"):
        stage.history.settle()


def test_a_revision_that_no_stream_tells_of_is_missed_where_no_filter_hides_it(stage: Stage) -> None:
    stage.reader = ""
    stage.take(only(folders=[INBOX]), covering(0, 3, event(3)))
    stage.history.settle()
    stage.take(OLDEST, covering(0, 1, event(1)), covering(1, 3, event(3)))
    with pytest.raises(StreamViolation, match="revision 2 was covered without a filter"):
        stage.history.settle()


def test_an_event_that_the_filter_hides_is_not_missed(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 2, event(1), event(2, SENT)))
    stage.take(only(folders=[INBOX]), covering(0, 2, event(1), resume_token="u"))
    stage.take(only(share=pb.Share(index=0, count=2)), covering(0, 2, resume_token="v"))
    stage.history.settle()


def test_events_of_an_account_that_was_removed_are_not_missed(stage: Stage) -> None:
    removed = event(3, ACCOUNT, account_removed=event_pb2.AccountRemoved(account=ACCOUNT))
    stage.take(OLDEST, covering(0, 2, event(1), event(2)))
    late = stage.take(OLDEST, covering(0, 2, resume_token="u"))
    stage.history.settle(existing=())
    late.take(covering(2, 3, removed))
    stage.history.settle()


def test_events_of_an_account_that_came_out_of_sight_are_not_missed(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 2, event(1), event(2)))
    hidden = covering(1, 1, account_hidden=pb.AccountHidden(account=ACCOUNT))
    stage.take(OLDEST, covering(0, 1, event(1)), hidden, covering(1, 2, resume_token="u"))
    stage.history.settle()


def test_a_start_at_now_leaves_nothing_behind_it_unsaid(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 2, event(2)))
    with pytest.raises(StreamViolation, match="before revision 2"):
        stage.take({}, covering(1, 1))


def test_a_start_at_a_time_leaves_out_nothing_of_that_time(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 2, event(1), event(2)))
    stage.take({"since_time": Timestamp(seconds=2)}, covering(1, 2, event(2), resume_token="u"))
    with pytest.raises(StreamViolation, match="of that time or later"):
        stage.take({"since_time": Timestamp(seconds=2)}, covering(2, 2))


FLOOR = {"floor": "3", "head": "9"}


@pytest.mark.parametrize(
    ("request_", "reason", "metadata", "fault"),
    [
        ({"resume_token": "t5"}, "REVISION_COMPACTED", FLOOR, "refused as compacted, and is not"),
        ({"resume_token": "t1"}, "REVISION_COMPACTED", {}, "no floor and head"),
        ({"resume_token": "t1"}, "SOMETHING", FLOOR, "OUT_OF_RANGE for"),
        (
            {"resume_token": "t1", "reset_on_compacted": True},
            "REVISION_COMPACTED",
            FLOOR,
            "although a reset was asked for",
        ),
    ],
)
def test_a_stream_must_not_end_so(
    stage: Stage, request_: dict[str, Any], reason: str, metadata: Mapping[str, str], fault: str
) -> None:
    stage.take(OLDEST, covering(0, 1), covering(1, 5))
    with pytest.raises(StreamViolation, match=fault):
        stage.take(request_).failed(reason, metadata)


def test_a_store_that_is_another_one_has_another_history(stage: Stage) -> None:
    stage.take(OLDEST, covering(0, 5, event(5, text="this")))
    stage.take({"resume_token": "t1"}).failed("STORE_EPOCH_CHANGED", {})
    stage.take(OLDEST, covering(0, 4), covering(4, 5, event(5, text="that")))
    stage.history.settle()

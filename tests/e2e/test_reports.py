r"""Bounces, complaints and automatic answers of real shape, from delivery to the event.

On Dovecot and on the honest fake; what a server may do to the reading of a report's parts, on the hostile one.
"""

import pytest
from google.protobuf.json_format import MessageToDict

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.report import Report
from mailsync_grpc.store.codec.messages import report_message
from mailsync_grpc.v1 import envelope_pb2, event_pb2
from tests.support.agreement import added, assert_agreed
from tests.support.hostile import HostileServer
from tests.support.hostile_faults import Fault, closing, empty, refusing
from tests.support.mirror import Mirror, kinds
from tests.support.reports import NAMES, ORIGINAL, raw, read

REPORTS = {"bounce", "complaint", "auto_reply"}
NEWS = {
    "arf": "complaint",
    "broken": "bounce",
    "exchange": "bounce",
    "exim": "bounce",
    "gmail": "bounce",
    "postfix": "bounce",
    "sendmail_delayed": "bounce",
    "utf8": "bounce",
    "vacation": "auto_reply",
}
PARTS = rb"UID FETCH \d+ \(BODY\.PEEK\[\d"


def same_report(found: envelope_pb2.Envelope, expected: Report | None) -> None:
    """The envelope has the report that its message gives an honest reader."""
    assert found.HasField("report") == (expected is not None)
    if expected is not None:
        assert MessageToDict(found.report) == MessageToDict(report_message(expected))


def told(mirror: Mirror, after: int) -> list[event_pb2.Event]:
    return [event for event in mirror.events(after) if event.WhichOneof("payload") in REPORTS]


def test_history_keeps_what_it_reports_and_tells_no_events_of_it(mirror: Mirror) -> None:
    mirror.mailbox.deliver([*(raw(name) for name in NAMES), *messages(120)])
    mirror.settle()
    stored = {envelope.uid: envelope for envelope in mirror.envelopes()}
    for uid, name in enumerate(NAMES, 1):
        same_report(stored[uid], read(raw(name)))
    assert not REPORTS & set(kinds(mirror.events()))
    assert_agreed(mirror)


@pytest.mark.parametrize("name", NAMES)
def test_an_arrival_is_followed_by_what_it_reports(mirror: Mirror, name: str) -> None:
    mirror.settle()
    before = mirror.head
    mirror.mailbox.deliver([raw(name)])
    mirror.poll()
    events = [
        event
        for event in mirror.events(before)
        if event.HasField("envelope_added") or event in told(mirror, before)
    ]
    assert kinds(events) == ["envelope_added", *([NEWS[name]] if name in NEWS else [])]
    envelope = events[0].envelope_added.envelope
    same_report(envelope, read(raw(name)))
    for event in events[1:]:
        payload = getattr(event, NEWS[name])
        assert payload.report == envelope.report
        assert (payload.envelope, payload.envelope_id) == (envelope.name, envelope.envelope_id)
    assert_agreed(mirror)


def test_reading_reports_leaves_them_unread_on_the_server(mirror: Mirror) -> None:
    mirror.settle()
    mirror.mailbox.deliver([raw(name) for name in NAMES])
    mirror.poll()
    assert set(mirror.mailbox.flags_by_uid().values()) == {frozenset()}


def test_several_reports_are_read_in_one_round_trip_and_only_their_parts(
    hostile: HostileServer, hostile_mirror: Mirror
) -> None:
    hostile_mirror.settle()
    hostile_mirror.mailbox.deliver([raw("postfix"), *messages(1), raw("utf8"), raw("vacation")])
    asked = len(hostile.received)
    hostile_mirror.poll()
    parts = [
        command
        for command in hostile.received[asked:]
        if b"BODY.PEEK[" in command and b"ENVELOPE" not in command
    ]
    assert parts == [
        b"UID FETCH 1 (BODY.PEEK[2]<0.65536>)",
        b"UID FETCH 3 (BODY.PEEK[2]<0.65536>)",
        b"UID FETCH 3 (BODY.PEEK[3]<0.65536>)",
    ]


@pytest.mark.parametrize("fault", [refusing(), empty], ids=["refused", "empty"])
def test_a_part_that_a_server_does_not_give_costs_its_details_only(
    hostile: HostileServer, hostile_mirror: Mirror, fault: Fault
) -> None:
    hostile.always(PARTS, fault)
    hostile_mirror.mailbox.deliver([raw("postfix"), raw("utf8")])
    hostile_mirror.settle()
    before = hostile_mirror.head
    hostile_mirror.mailbox.deliver([raw("exchange"), *messages(2)])
    hostile_mirror.poll()
    assert added(hostile_mirror, before) == [3, 4, 5]
    (event,) = told(hostile_mirror, before)
    assert (event.bounce.report.original_message_id, len(event.bounce.report.recipients)) == (ORIGINAL, 0)
    stored = [envelope.report for envelope in hostile_mirror.envelopes()]
    assert [report.kind for report in stored[:3]] == [envelope_pb2.REPORT_KIND_BOUNCE] * 3
    assert_agreed(hostile_mirror)


@pytest.mark.parametrize("arrives", [False, True], ids=["history", "arrival"])
def test_a_report_whose_parts_break_the_connection_is_kept_without_them_and_holds_up_no_other(
    hostile: HostileServer, hostile_mirror: Mirror, arrives: bool
) -> None:
    hostile.always(rb"UID FETCH 12 \(BODY\.PEEK\[\d", closing(0))
    if arrives:
        hostile_mirror.settle()
    before = hostile_mirror.head
    hostile_mirror.mailbox.deliver([*messages(10), raw("postfix"), raw("exim"), raw("gmail"), *messages(5)])
    for _ in range(20):
        hostile_mirror.clock.skipped += 600
        hostile_mirror.poll()
    assert_agreed(hostile_mirror)
    stored = {envelope.uid: envelope for envelope in hostile_mirror.envelopes()}
    same_report(stored[11], read(raw("postfix")))
    same_report(stored[13], read(raw("gmail")))
    known = read(raw("exim"))
    assert known is not None
    same_report(stored[12], known._replace(recipients=(), reporting_mta=""))
    payloads = [getattr(event, str(event.WhichOneof("payload"))) for event in told(hostile_mirror, before)]
    named = [payload.envelope.rpartition(".")[2] for payload in payloads]
    assert len(named) == len(set(named))
    assert ({"11", "12", "13"} <= set(named)) is arrives

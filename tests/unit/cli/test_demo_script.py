"""The demo's conditions hold for the events they wait for, and for no others."""

import pytest

from mailsync_grpc.cli.demo.script import KEYWORD, Step, endless, steps
from mailsync_grpc.v1 import event_pb2 as events
from mailsync_grpc.v1.envelope_pb2 import Envelope, Flags

MINE = Envelope(message_id="<demo-1@demo.example>")
ANOTHER = Envelope(message_id="<demo-2@demo.example>")

ARRIVED = events.Event(envelope_added=events.EnvelopeAdded(envelope=MINE))
OTHER_ARRIVED = events.Event(envelope_added=events.EnvelopeAdded(envelope=ANOTHER))
FLAGGED = events.Event(flags_changed=events.FlagsChanged(added=Flags(flagged=True)))
LABELLED = events.Event(flags_changed=events.FlagsChanged(added=Flags(keywords=[KEYWORD])))
MOVED = events.Event(envelope_moved=events.EnvelopeMoved(envelope=MINE))
REMOVED = events.Event(envelopes_removed=events.EnvelopesRemoved())


def step(kind: str) -> Step:
    return next(each for each in steps(1, keywords=True) if each.kind == kind)


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("delivery", [ARRIVED]),
        ("flag", [FLAGGED]),
        ("keyword", [LABELLED]),
        ("move", [MOVED]),
        ("move", [REMOVED, ARRIVED]),
        ("deletion", [REMOVED]),
    ],
)
def test_a_step_is_seen_by_its_own_event(kind: str, seen: list[events.Event]) -> None:
    assert step(kind).seen([OTHER_ARRIVED, *seen])


@pytest.mark.parametrize(
    ("kind", "unrelated"),
    [
        ("delivery", [OTHER_ARRIVED, FLAGGED]),
        ("flag", [ARRIVED, LABELLED]),
        ("keyword", [FLAGGED]),
        ("move", [REMOVED, OTHER_ARRIVED]),
        ("move", [ARRIVED]),
        ("deletion", [ARRIVED, FLAGGED]),
    ],
)
def test_a_step_is_not_seen_by_others(kind: str, unrelated: list[events.Event]) -> None:
    assert not step(kind).seen(unrelated)


def test_keywords_are_left_out_where_the_server_keeps_none() -> None:
    assert [each.kind for each in steps(1, keywords=False)] == ["delivery", "flag", "move", "deletion"]


def test_the_endless_script_goes_on_with_another_message() -> None:
    script = endless(keywords=True)
    first, second = ([next(script) for _ in range(5)] for _ in range(2))
    assert [each.kind for each in first] == [each.kind for each in second]
    assert first[0].sentence != second[0].sentence

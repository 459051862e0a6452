"""What a watch asks for: where it begins, which events, and what is refused before the service is asked."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.filter_options import event_type, share_of
from mailsync_grpc.cli.main import app
from mailsync_grpc.cli.watch import watch_request
from mailsync_grpc.v1.event_pb2 import EventType

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOKEN = "AQID_-" * 8


def said(*options: str) -> str:
    """What a watch that is refused says, of a service that is not there."""
    result = CliRunner().invoke(app, ["watch", "--address", "127.0.0.1:1", *options])
    assert result.exit_code == 1
    return result.stderr


@pytest.mark.parametrize(
    ("since", "field"),
    [("now", "now"), ("oldest", "oldest"), ("snapshot", "snapshot"), (TOKEN, "resume_token")],
)
def test_a_watch_starts_where_it_is_told(since: str, field: str) -> None:
    assert watch_request(since, NOW).WhichOneof("start") == field


@pytest.mark.parametrize(
    ("since", "time"),
    [
        ("90s", "2026-03-01T11:58:30Z"),
        ("30m", "2026-03-01T11:30:00Z"),
        ("2h", "2026-03-01T10:00:00Z"),
        ("7d", "2026-02-22T12:00:00Z"),
        ("2026-01-31", "2026-01-31T00:00:00Z"),
        ("2026-01-31T08:00:00.250+01:00", "2026-01-31T07:00:00.250Z"),
        ("2026-01-31t08:00:00z", "2026-01-31T08:00:00Z"),
    ],
)
def test_a_watch_starts_at_a_time_or_so_long_ago(since: str, time: str) -> None:
    assert watch_request(since, NOW).since_time.ToJsonString() == time


@pytest.mark.parametrize(
    "since",
    [
        "",
        "yesterday",
        "5",
        "-1h",
        "1w",
        "999999999d",
        "2026-13-01",
        "0001-01-01T00:00+14:00",
        "a b",
        "ü" * 40,
    ],
)
def test_a_start_that_is_none_is_answered_with_the_forms_there_are(since: str) -> None:
    with pytest.raises(CommandError) as refused:
        watch_request(since, NOW)
    for form in ("now, oldest, snapshot", "90s, 30m, 2h or 7d", "2026-01-31T08:00:00Z", "resume token"):
        assert form in str(refused.value)


@pytest.mark.parametrize("text", ["envelope-added", "ENVELOPE_ADDED", "EVENT_TYPE_ENVELOPE_ADDED"])
def test_types_of_events_are_named_as_people_or_as_the_contract_write_them(text: str) -> None:
    assert event_type(text) == EventType.EVENT_TYPE_ENVELOPE_ADDED


@pytest.mark.parametrize("text", ["arrived", "unspecified", ""])
def test_an_unknown_type_of_event_is_answered_with_those_there_are(text: str) -> None:
    with pytest.raises(CommandError, match="envelope-added, envelope-updated, flags-changed"):
        event_type(text)


def test_shares_are_counted_from_zero() -> None:
    assert (share_of("0/4").index, share_of("3/4").index, share_of("3/4").count) == (0, 3, 4)


@pytest.mark.parametrize("text", ["4/4", "1/0", "0/257", "1", "-1/2", "a/b", "1/2/3"])
def test_a_share_that_is_none_is_answered_with_the_form(text: str) -> None:
    with pytest.raises(CommandError, match="expected I/N"):
        share_of(text)


@pytest.mark.parametrize("seconds", ["0", "301", "nan", "-1"])
def test_a_heartbeat_outside_its_range_is_refused(seconds: str) -> None:
    assert said("--heartbeat", seconds).startswith("--heartbeat: 1 to 300 seconds")


def test_a_resume_file_that_holds_something_else_is_refused_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("buy milk\n", "utf-8")
    assert "holds no resume token" in said("--resume-file", str(file)).replace("\n", " ")
    assert file.read_text("utf-8") == "buy milk\n"

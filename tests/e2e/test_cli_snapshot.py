"""`mailsync watch` from the current state, from a time, and anew where its position is kept no more."""

import tempfile
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.cli import USER, Stage, Watch
from tests.support.cli_watch import arrive, bounds, forget, mail, replayed, revisions
from tests.support.service import Service, Stubs, running

MESSAGES = 1_500
"""More than one piece of a snapshot holds."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as data, DovecotServer((USER,)) as server:
        server.deliver(USER, "INBOX", [mail(f"Old {number}") for number in range(MESSAGES)])
        with running(Service(Path(data))) as service:
            made = Stage(service, server)
            added = made.add("work")
            assert added.returncode == 0, added.stderr + service.log()
            yield made


def items(watch: Watch, kind: str) -> list[dict[str, Any]]:
    """All accounts, folders or envelopes of the current state, as far as it was printed."""
    chunks = (response.get("snapshotChunk", {}) for response in watch.responses())
    return list(chain.from_iterable(chunk.get(kind, []) for chunk in chunks))


def ends(watch: Watch) -> list[dict[str, str]]:
    return [response["snapshotEnd"] for response in watch.responses() if "snapshotEnd" in response]


def names(found: list[dict[str, Any]]) -> list[str]:
    return [each["name"] for each in found]


def mirrored(stage: Stage) -> set[str]:
    return set(names(stage.objects("envelopes", "work", "INBOX", "--limit", "10000")))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def first_piece(stage: Stage) -> pb.WatchEventsResponse:
    """The first piece of a snapshot that was left then."""
    with Stubs(stage.service.address) as stubs:
        call = stubs.events.WatchEvents(pb.WatchEventsRequest(snapshot=pb.StartSnapshot()))
        piece: pb.WatchEventsResponse = next(each for each in call if each.HasField("snapshot_chunk"))
        call.cancel()
    return piece


def test_the_current_state_comes_first_and_what_changes_after_it(stage: Stage, tmp_path: Path) -> None:
    before = mirrored(stage)
    with stage.watch(tmp_path, "--json", "--since", "snapshot") as watch:
        watch.wait_for("snapshotEnd")
        arrive(stage, "After the snapshot")
        watch.wait_for("After the snapshot")
        watch.kill()
    envelopes = names(items(watch, "envelopes"))
    assert (len(envelopes), set(envelopes)) == (len(before), before)
    assert names(items(watch, "accounts")) == ["accounts/work"]
    (end,) = ends(watch)
    assert int(end["accounts"]) == 1
    assert int(end["folders"]) == len(items(watch, "folders"))
    assert int(end["envelopes"]) == len(envelopes)
    assert all(bounds(a)[1] == bounds(b)[0] for a, b in pairwise(watch.responses()))


def test_people_see_accounts_and_folders_and_how_many_messages(stage: Stage, tmp_path: Path) -> None:
    with stage.watch(tmp_path, "--since", "snapshot") as watch:
        watch.wait_for("changes follow")
        arrive(stage, "After the lines")
        watch.wait_for("After the lines")
        assert watch.interrupt() == 130
    lines = [" ".join(line.split()) for line in watch.out.read_text("utf-8").splitlines()]
    count = len(mirrored(stage)) - 1
    assert lines[0] == f"account work {USER} at localhost, active"
    assert f"folder work INBOX: {count:,} messages, {count:,} unread" in lines
    (end,) = (line for line in lines if line.startswith("complete"))
    assert f", {count:,} messages; changes follow" in end
    assert "Old 7" not in watch.out.read_text("utf-8")


def test_a_snapshot_that_broke_off_goes_on_from_its_file_after_a_restart_of_the_service(
    stage: Stage, tmp_path: Path
) -> None:
    piece, file = first_piece(stage), tmp_path / "position"
    told = [envelope.name for envelope in piece.snapshot_chunk.envelopes]
    file.write_text(piece.resume_token, "ascii")
    stage.service.kill()
    stage.service.start()
    with stage.watch(tmp_path, "--json", "--resume-file", str(file)) as watch:
        watch.wait_for("snapshotEnd")
        watch.kill()
    rest = names(items(watch, "envelopes"))
    assert not set(told) & set(rest)
    assert set(told) | set(rest) == mirrored(stage)
    (end,) = ends(watch)
    assert int(end["envelopes"]) == len(told) + len(rest)


def test_a_snapshot_goes_on_by_itself_when_the_service_is_killed_under_it(
    stage: Stage, tmp_path: Path
) -> None:
    with stage.watch(tmp_path, "--json", "--since", "snapshot", "--heartbeat", "1") as watch:
        watch.wait_for("snapshotChunk")
        stage.service.kill()
        stage.service.start()
        arrive(stage, "After the kill")
        watch.wait_for("After the kill")
        watch.kill()
    envelopes = names(items(watch, "envelopes"))
    assert len(envelopes) == len(set(envelopes))
    assert len(ends(watch)) == 1
    assert revisions(watch) == sorted(set(revisions(watch)))


@pytest.mark.parametrize("command", ["watch", "replay"])
def test_a_time_begins_with_the_first_event_at_or_after_it(
    stage: Stage, tmp_path: Path, command: str
) -> None:
    arrive(stage, f"Timed for {command}")
    events = stage.objects("events", "replay")
    timed = events[-1]["commitTime"]
    expected = next(
        int(event["revision"]) for event in events if moment(event["commitTime"]) >= moment(timed)
    )
    if command == "replay":
        assert replayed(stage, "--since", timed)[0] == expected
        assert replayed(stage, "--since", "1h") == replayed(stage)
        return
    with stage.watch(tmp_path, "--json", "--since", timed) as watch:
        watch.wait_for('"revision"')
        watch.kill()
    assert revisions(watch)[0] == expected


def test_a_time_that_has_not_come_is_refused(stage: Stage) -> None:
    refused = stage.try_("watch", "--since", "2999-01-01")
    assert refused.stderr.startswith("INVALID_FIELD: ")
    assert "since_time" in refused.stderr


def test_a_view_says_how_much_of_each_envelope_is_told(stage: Stage, tmp_path: Path) -> None:
    with stage.watch(tmp_path, "--json", "--since", "snapshot", "--view", "flags") as watch:
        watch.wait_for("snapshotEnd")
        watch.kill()
    assert not any("subject" in envelope for envelope in items(watch, "envelopes"))


def test_an_account_that_begins_to_bear_the_label_is_told_and_one_that_ceases_to(
    stage: Stage, tmp_path: Path
) -> None:
    with stage.watch(tmp_path, "--account-label", "team=sales", "--json") as watch:
        watch.wait_for("heartbeat")  # it stands; what is labelled before that is no news
        stage.run("account", "update", "work", "--label", "team=sales")
        watch.wait_for("accountVisible")
        arrive(stage, "For the team")
        watch.wait_for("For the team")
        stage.run("account", "update", "work", "--label", "team=support")
        watch.wait_for("accountHidden")


def test_a_position_that_is_kept_no_more_begins_anew_when_that_is_asked_for(
    stage: Stage, tmp_path: Path
) -> None:
    file = tmp_path / "position"
    options = ("--json", "--on-compacted", "reset", "--resume-file", str(file))
    with stage.watch(tmp_path, "--since", "oldest", *options) as watch:
        watch.wait_for("resumeToken")
        watch.kill()
    file.write_text(watch.responses()[0]["resumeToken"], "ascii")
    forget(stage, 3)
    with stage.watch(tmp_path, *options) as watch:
        watch.wait_for("snapshotEnd")
        watch.wait_for("REVISION_COMPACTED", beside=True)
        watch.kill()
    assert watch.responses()[0]["reset"]["reason"] == "ERROR_REASON_REVISION_COMPACTED"
    assert set(names(items(watch, "envelopes"))) == mirrored(stage)
    with stage.watch(tmp_path, *options) as watch:
        arrive(stage, "After the reset")
        watch.wait_for("After the reset")
        watch.kill()
    assert not any("reset" in response for response in watch.responses())

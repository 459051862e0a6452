"""`mailsync watch` across kills of itself and of the service, and `mailsync events replay` of what is kept."""

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from tests.support.cli import USER, Stage
from tests.support.cli_watch import arrive, bounds, forget, mail, replayed, revisions
from tests.support.service import Service, running


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as data, DovecotServer((USER,)) as server:
        server.deliver(USER, "INBOX", [mail(f"Old {number}") for number in range(5)])
        with running(Service(Path(data))) as service:
            made = Stage(service, server)
            added = made.add("work")
            assert added.returncode == 0, added.stderr + service.log()
            yield made


def test_a_resume_file_loses_and_doubles_nothing_across_kills_of_the_watch_and_of_the_service(
    stage: Stage, tmp_path: Path
) -> None:
    options = ("--json", "--since", "oldest", "--resume-file", str(tmp_path / "position"), "--heartbeat", "1")
    watches = []
    for number in range(3):
        with stage.watch(tmp_path, *options) as watch:
            watches.append(watch)
            arrive(stage, f"While watched {number}")
            watch.wait_for(f"While watched {number}")
            watch.kill()
        arrive(stage, f"While nobody watched {number}")
    with stage.watch(tmp_path, *options) as watch:
        watches.append(watch)
        watch.wait_for("While nobody watched 2")
        stage.service.kill()
        stage.service.start()
        arrive(stage, "After the restart")
        watch.wait_for("After the restart")
        watch.wait_for("connection lost", beside=True)
        watch.kill()
    printed = [revision for watch in watches for revision in revisions(watch)]
    assert set(printed) == set(replayed(stage, "--until", str(max(printed))))
    for before, after in pairwise(watches):
        # What was printed last may not have been recorded, and is printed again then; nothing else ever is.
        assert bounds(after.responses()[0])[0] in bounds(before.responses()[-1])
    for watch in watches:
        assert revisions(watch) == sorted(set(revisions(watch)))
        assert all(bounds(a)[1] == bounds(b)[0] for a, b in pairwise(watch.responses()))
    assert (tmp_path / "position").stat().st_mode & 0o777 == 0o600


def test_without_a_resume_file_a_watch_ends_with_the_token_to_go_on_from_and_with_one_it_does_not(
    stage: Stage, tmp_path: Path
) -> None:
    for options, hint in (((), True), (("--resume-file", str(tmp_path / "position")), False)):
        with stage.watch(tmp_path, "--since", "oldest", *options) as watch:
            watch.wait_for("arrived")
            assert watch.interrupt() == 130
        assert ("go on from here with: --since " in watch.err.read_text("utf-8")) is hint


def test_a_position_made_under_another_filter_is_refused_and_says_what_to_do(
    stage: Stage, tmp_path: Path
) -> None:
    file = str(tmp_path / "position")
    with stage.watch(tmp_path, "--json", "--resume-file", file) as watch:
        watch.wait_for("resumeToken")
        watch.interrupt()
    refused = stage.try_("watch", "--resume-file", file, "--type", "envelope-added")
    assert refused.returncode == 1
    assert refused.stderr.startswith("FILTER_MISMATCH: ")
    assert "repeat those, or name another file" in refused.stderr


def test_a_position_of_another_service_is_refused_and_says_what_to_do(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "position").write_text("A" * 92, "ascii")
    refused = stage.try_("watch", "--resume-file", str(tmp_path / "position"))
    assert refused.stderr.startswith("RESUME_TOKEN_INVALID: ")
    assert "holds no position of this service" in refused.stderr


def test_shares_divide_the_accounts_between_consumers(stage: Stage) -> None:
    counts = sorted(len(replayed(stage, "--share", share)) for share in ("0/2", "1/2"))
    assert counts == [0, len(replayed(stage))]


def test_a_replay_prints_exactly_what_is_kept(stage: Stage) -> None:
    kept = replayed(stage)
    assert kept == list(range(1, len(kept) + 1))
    assert replayed(stage, "--after", "5", "--until", "9") == [6, 7, 8, 9]
    assert replayed(stage, "--after", str(kept[-1]), "--until", str(kept[-1])) == []


def test_a_replay_of_many_pages_is_whole(stage: Stage) -> None:
    before = len(replayed(stage))
    arrive(stage, *(f"Many {number}" for number in range(1_100)))
    kept = replayed(stage)
    assert len(kept) > before + 1_100
    assert kept == list(range(1, len(kept) + 1))
    shown = stage.run(
        "events", "replay", "--folder", "INBOX", "--account", "work", "--type", "envelope-added"
    )
    assert sum(" arrived " in line and "INBOX" in line for line in shown.stdout.splitlines()) >= 1_100


def test_a_replay_says_for_people_where_each_event_stands_and_what_was_covered(stage: Stage) -> None:
    shown = stage.run("events", "replay", "--until", "7")
    assert [int(line.split()[0]) for line in shown.stdout.splitlines()] == [1, 2, 3, 4, 5, 6, 7]
    assert "7 events in revisions 1 to 7, without a gap; kept are those after 0, up to " in shown.stderr
    time = shown.stdout.splitlines()[3].split()[1]
    until = stage.run("events", "replay", "--until-time", time).stdout.splitlines()
    assert 4 <= len(until) < len(replayed(stage))


def test_a_summary_counts_what_a_replay_would_print(stage: Stage) -> None:
    events = stage.objects("events", "replay", "--until", "20")
    counts = stage.objects("events", "replay", "--until", "20", "--summary")
    assert sum(each["count"] for each in counts) == len(events)
    added = next(each for each in counts if each["type"] == "EVENT_TYPE_SYNC_RUN_CHANGED")
    assert added["account"] == "accounts/work"
    assert added["count"] == sum("syncRunChanged" in event for event in events)
    assert "sync-run-changed" in stage.run("events", "replay", "--until", "20", "--summary").stdout


@pytest.mark.parametrize("after", ["1000000", str(2**64 - 1)])
def test_a_revision_that_was_never_written_is_refused_and_says_what_to_do(stage: Stage, after: str) -> None:
    refused = stage.try_("events", "replay", "--after", after)
    assert refused.returncode == 1
    assert refused.stderr.startswith("REVISION_IN_FUTURE: ")
    assert "leave out --after" in refused.stderr


def test_what_is_kept_no_more_is_refused_with_the_bounds_and_what_to_do(stage: Stage, tmp_path: Path) -> None:
    file = str(tmp_path / "position")
    with stage.watch(tmp_path, "--json", "--since", "oldest", "--resume-file", file) as watch:
        watch.wait_for("resumeToken")
        watch.kill()
    first = watch.responses()[0]
    (tmp_path / "position").write_text(first["resumeToken"], "ascii")  # the token at the oldest kept event
    forget(stage, 4)
    refused = stage.try_("events", "replay", "--after", "2")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "REVISION_COMPACTED: events up to revision 4 are no longer kept (head is "
    )
    assert "--after 4, or neither --after nor --since" in refused.stderr
    assert replayed(stage)[0] == 5
    refused = stage.try_("watch", "--resume-file", file)
    assert refused.stderr.startswith("REVISION_COMPACTED: ")
    assert "--on-compacted reset begins anew" in refused.stderr

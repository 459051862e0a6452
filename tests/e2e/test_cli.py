"""Every command of the command line against a running service with a real mailbox, as people and programs use it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from mailsync_grpc.cli.demo.dovecot import DovecotServer
from mailsync_grpc.cli.demo.loopback import PASSWORD
from mailsync_grpc.cli.demo.second_client import create_folders
from mailsync_grpc.v1.event_service_pb2 import WatchEventsRequest, WatchEventsResponse
from tests.support.cli import USER, Stage
from tests.support.service import Service, running, wait_for
from tests.support.stream_checker import StreamChecker
from tests.support.stream_history import History

PDF = b"%PDF-1.4 \x01\x02\xff not much of it"
ATTACHED = (
    b"From: Kim <kim@a.example>\r\nTo: anna@a.example\r\nSubject: =?utf-8?q?Angebot_f=C3=BCr_Sie?=\r\n"
    b"Message-ID: <attached@a.example>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe \x1b[2J\r\n"
    b"--b\r\nContent-Type: application/pdf; name=offer.pdf\r\nContent-Disposition: attachment; filename=offer.pdf\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\n" + PDF + b"\r\n--b--\r\n"
)


def plain(number: int) -> bytes:
    return (
        f"From: kim@a.example\r\nTo: anna@a.example\r\nSubject: [bold]No {number}[/bold]\r\n"
        f"Message-ID: <{number}@a.example>\r\n\r\nText {number}\r\n"
    ).encode()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as data, DovecotServer((USER,)) as server:
        with server.connect(USER) as client:
            create_folders(client, ["Archive/2025"])
        server.deliver(USER, "INBOX", [*(plain(number) for number in range(30)), ATTACHED])
        server.deliver(USER, "Archive/2025", [plain(100)])
        with running(Service(Path(data))) as service:
            made = Stage(service, server)
            added = made.add("work", "--name", "Anna's work", "--label", "team=sales")
            assert added.returncode == 0, added.stderr + service.log()
            yield made


def newest(stage: Stage) -> dict[str, Any]:
    return stage.objects("envelopes", "work", "INBOX", "--limit", "1", "--view", "full")[0]


def test_accounts_are_listed_for_people_and_for_programs(stage: Stage) -> None:
    assert "work" in stage.run("account", "list").stdout
    (account,) = stage.objects("account", "list", "--label", "team=sales")
    assert account["name"] == "accounts/work"
    assert account["displayName"] == "Anna's work"
    assert account["state"] == "ACCOUNT_STATE_ACTIVE"
    assert "auth" not in account


def test_an_account_is_shown_with_its_details(stage: Stage) -> None:
    shown = stage.run("account", "show", "work").stdout
    for words in (USER, "implicit tls", "active", "every 30 s"):
        assert words in shown
    assert PASSWORD not in shown


def test_only_what_is_given_of_an_account_is_updated(stage: Stage) -> None:
    stage.run("account", "update", "work", "--email", "anna@a.example")
    (account,) = stage.objects("account", "show", "work")
    assert (account["emailAddress"], account["displayName"]) == ("anna@a.example", "Anna's work")


def test_a_window_is_set_and_lifted_in_a_word(stage: Stage) -> None:
    shown = stage.run("account", "update", "work", "--window", "last:100y6m").stdout
    assert "the last 100 years 6 months" in shown
    (account,) = stage.objects("account", "update", "work", "--window", "all")
    assert "window" not in account["sync"]
    refused = stage.try_("account", "update", "work", "--window", "newest:0")
    assert "account.sync.window.newest" in refused.stderr


def test_a_trial_keeps_nothing(stage: Stage) -> None:
    tried = stage.add("trial", "--try")
    assert tried.returncode == 0, tried.stderr
    assert "login works" in tried.stdout
    assert "Archive" in tried.stdout
    assert stage.try_("account", "show", "trial").stderr.startswith("ACCOUNT_NOT_FOUND: ")


def test_a_refused_login_says_why_and_keeps_nothing(stage: Stage) -> None:
    refused = stage.add("refused", environment={"MAILSYNC_IMAP_PASSWORD": "wrong"})
    assert refused.returncode == 1
    assert refused.stderr.startswith("IMAP_AUTH_FAILED: ")
    assert "wrong" not in refused.stderr
    assert stage.try_("account", "show", "refused").returncode == 1


def test_wrong_fields_are_each_named(stage: Stage) -> None:
    refused = stage.try_("account", "add", "--host", "a b", "--username", "")
    assert refused.returncode == 1
    reason, *named = (line.split()[0] for line in refused.stderr.splitlines())
    assert reason == "INVALID_FIELD:"
    assert {"account.imap.host:", "account.auth.password.username:"} <= set(named)


def test_an_account_lives_from_a_password_on_standard_input_to_its_removal(stage: Stage) -> None:
    added = stage.add("short", "--password-stdin", "--no-wait", input=f"{PASSWORD}\n")
    assert added.returncode == 0, added.stderr
    assert "paused" in stage.run("account", "pause", "short").stdout
    assert stage.try_("account", "sync", "short").stderr.startswith("ACCOUNT_PAUSED: ")
    assert "active" in stage.run("account", "resume", "short").stdout
    (run,) = stage.objects("account", "sync", "short", "--full")
    assert run["state"] == "SYNC_RUN_STATE_SUCCEEDED"
    stage.run("account", "remove", "short", "--yes")
    assert [account["name"] for account in stage.objects("account", "list")] == ["accounts/work"]


def test_folders_are_a_tree_with_what_is_mirrored_marked(stage: Stage) -> None:
    tree = stage.run("folder", "list", "work").stdout
    assert "● INBOX" in tree
    assert "31 messages" in tree
    archive = next(line for line in tree.splitlines() if "2025" in line)
    assert archive.index("2025") > next(line for line in tree.splitlines() if "Archive" in line).index(
        "Archive"
    )


def test_a_folder_is_selected_by_its_path_and_deselected_by_its_name(stage: Stage) -> None:
    selected = stage.run("folder", "select", "work", "Archive/2025")
    assert "● 2025  1 message," in selected.stdout
    assert "pending" not in selected.stdout
    assert len(stage.objects("envelopes", "work", "Archive/2025")) == 1
    name = next(
        folder["name"]
        for folder in stage.objects("folder", "list", "work")
        if folder["path"] == "Archive/2025"
    )
    assert "○ 2025" in stage.run("folder", "deselect", name).stdout


def test_a_folder_that_is_not_mirrored_is_not_shown_as_an_empty_one(stage: Stage) -> None:
    listed = stage.run("envelopes", "work", "Archive")
    assert listed.stdout == ""
    assert "not mirrored" in listed.stderr


def test_a_folder_that_is_not_there_is_named(stage: Stage) -> None:
    refused = stage.try_("envelopes", "work", "No/Such")
    assert refused.returncode == 1
    assert "accounts/work has no folder No/Such" in refused.stderr


def test_envelopes_are_listed_newest_first_and_never_as_markup(stage: Stage) -> None:
    listed = stage.run("envelopes", "work", "inbox", "--limit", "3").stdout
    assert "[bold]No 29[/bold]" in listed
    assert len(listed.splitlines()) == 4
    uids = [envelope["uid"] for envelope in stage.objects("envelopes", "work", "INBOX", "--limit", "1000")]
    assert uids == sorted(uids, reverse=True)
    assert len(uids) == 31


@pytest.mark.parametrize(
    ("options", "subjects"),
    [
        (["--subject", "ANGEBOT FÜR"], ["Angebot für Sie"]),
        (["--has-attachment", "--from", "kim"], ["Angebot für Sie"]),
        (["--message-id", "<7@a.example>"], ["[bold]No 7[/bold]"]),
        (["--text", "no anna 29", "--no-attachment", "--unseen"], ["[bold]No 29[/bold]"]),
        (["--to", "ANNA", "--since", "1d", "--limit", "2"], ["Angebot für Sie", "[bold]No 29[/bold]"]),
        (["--before", "1d"], []),
        (["--flag", "seen"], []),
        (["--no-flag", "$Forwarded", "--no-flag", "seen", "--limit", "1"], ["Angebot für Sie"]),
        (["--thread", "none"], []),
    ],
    ids=" ".join,
)
def test_envelopes_are_narrowed_to_what_meets_every_condition(
    stage: Stage, options: list[str], subjects: list[str]
) -> None:
    found = stage.objects("envelopes", "work", "INBOX", *options)
    assert [envelope["subject"] for envelope in found] == subjects


def test_where_no_message_meets_the_conditions_that_is_said(stage: Stage) -> None:
    listed = stage.run("envelopes", "work", "INBOX", "--subject", "nowhere")
    assert (listed.stdout, listed.stderr.strip()) == ("", "no such messages")
    refused = stage.try_("envelopes", "work", "INBOX", "--since", "1d", "--before", "2d")
    assert refused.returncode == 1
    assert "filter.before: a time after since" in refused.stderr
    assert "--since: not a time: soon" in stage.try_("envelopes", "work", "--since", "soon").stderr


def test_an_envelope_is_shown_by_the_id_the_list_gives(stage: Stage) -> None:
    first = stage.run("envelopes", "work", "INBOX", "--limit", "1").stdout.splitlines()[1].split()[0]
    shown = stage.run("envelope", "show", first).stdout
    assert "Angebot für Sie" in shown
    assert "offer.pdf" in shown
    assert "Kim <kim@a.example>" in shown


def test_text_goes_to_a_pipe_as_it_is(stage: Stage) -> None:
    text = stage.run("content", newest(stage)["name"], "--text").stdout
    assert text.startswith("Grüße \x1b[2J")


def test_a_part_is_written_to_the_file_the_caller_names(stage: Stage, tmp_path: Path) -> None:
    envelope = newest(stage)
    (attachment,) = envelope["attachments"]
    target = tmp_path / "part"
    stage.run("content", envelope["name"], "--section", attachment["section"], "-o", str(target))
    assert target.read_bytes() == PDF
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_headers_and_the_raw_message_are_as_the_mail_server_has_them(stage: Stage, tmp_path: Path) -> None:
    name = newest(stage)["name"]
    stage.run("content", name, "--raw", "-o", str(tmp_path / "raw"))
    assert (tmp_path / "raw").read_bytes() == ATTACHED
    assert "Message-ID: <attached@a.example>" in stage.run("content", name, "--headers").stdout


def test_a_part_that_is_not_there_leaves_no_file(stage: Stage, tmp_path: Path) -> None:
    refused = stage.try_("content", newest(stage)["name"], "--section", "9", "-o", str(tmp_path / "part"))
    assert refused.returncode == 1
    assert refused.stderr.startswith("PART_NOT_FOUND: ")
    assert list(tmp_path.iterdir()) == []


def test_a_watch_tells_what_happens_and_ends_with_the_token_to_go_on_from(stage: Stage) -> None:
    environment = {"MAILSYNC_ADDRESS": stage.service.address, "COLUMNS": "160", "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        watching = subprocess.Popen(
            [sys.executable, "-m", "mailsync_grpc.cli", "watch", "--since", "oldest", "--account", "work"],
            env=os.environ | environment,
            stdout=out,
            stderr=err,
        )
        try:
            wait_for(lambda: "synced" in _read(out) or None, 30, "the account's first events")
            stage.server.deliver(USER, "INBOX", [plain(200)])
            stage.run("account", "sync", "work")
            wait_for(lambda: "[bold]No 200[/bold]" in _read(out) or None, 30, "the new message")
        finally:
            watching.send_signal(signal.SIGINT)
            assert watching.wait(20) == 130, _read(err)
        token = _read(err).rsplit("--since ", 1)[1].split()[0]
    assert _first_watched(stage, "--since", token, "--account", "work")["fromRevision"]


def test_a_watch_for_programs_carries_tokens_and_only_the_types_asked_for(stage: Stage) -> None:
    response = _first_watched(stage, "--since", "oldest", "--type", "folder-synced")
    assert response["resumeToken"]
    assert all("folderSynced" in event for event in response.get("events", []))


def test_a_token_that_is_none_is_refused(stage: Stage) -> None:
    refused = stage.try_("watch", "--since", "A" * 92)
    assert refused.returncode == 1
    assert refused.stderr.startswith("RESUME_TOKEN_INVALID: ")


def test_health_says_that_every_service_serves(stage: Stage) -> None:
    shown = stage.run("health").stdout
    assert shown.count("serving") == 7


def _read(file: Any) -> str:
    file.seek(0)
    return str(file.read())


def _first_watched(stage: Stage, *arguments: str) -> dict[str, Any]:
    """The first response of a watch for programs, which is ended then."""
    watching = subprocess.Popen(
        [sys.executable, "-m", "mailsync_grpc.cli", "watch", "--json", *arguments],
        env=os.environ | {"MAILSYNC_ADDRESS": stage.service.address, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    try:
        line = watching.stdout.readline()
        stream = StreamChecker(History(), WatchEventsRequest(resume_token="of the command line"))
        stream.take(json_format.Parse(line, WatchEventsResponse()))
        response: dict[str, Any] = json.loads(line)
        return response
    finally:
        watching.kill()
        watching.wait()
        watching.stdout.close()

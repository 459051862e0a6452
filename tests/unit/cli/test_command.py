"""The command line itself: options behind every command, and what is refused before any call."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mailsync_grpc.cli.account_options import Mode, describe, labels_of
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.main import app
from mailsync_grpc.cli.secret import VARIABLE, read_password
from mailsync_grpc.cli.session import Target
from mailsync_grpc.v1.account_pb2 import Account, SyncMode

CALLING = (
    ["account", "add"],
    ["account", "list"],
    ["account", "show"],
    ["account", "update"],
    ["account", "authorize"],
    ["account", "pause"],
    ["account", "resume"],
    ["account", "remove"],
    ["account", "sync"],
    ["folder", "list"],
    ["folder", "select"],
    ["folder", "deselect"],
    ["envelopes"],
    ["envelope", "show"],
    ["content", "get"],
    ["content", "purge"],
    ["watch"],
    ["events", "replay"],
    ["health"],
)


@pytest.mark.parametrize("command", CALLING, ids=" ".join)
def test_every_calling_command_has_the_options_of_the_connection(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    for option in ("--address", "--token", "--tls-ca", "--json"):
        assert option in shown.output


def test_the_version_is_one_line() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("mailsync ")


def test_no_command_takes_a_password_as_an_argument() -> None:
    for command in (["account", "add"], ["account", "update"]):
        refused = CliRunner().invoke(app, [*command, "--password=secret"])
        assert refused.exit_code == 2


@pytest.mark.parametrize("address", ["nonsense", "host:port", ":1", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    result = CliRunner().invoke(app, ["account", "list", "--address", address])
    assert result.exit_code == 1
    assert result.stderr.startswith("--address=")
    assert "expected HOST:PORT" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "99999999999"],
        ["--port", "-1"],
        ["--poll-interval", "nan"],
        ["--full-interval", "1e300"],
        ["--window", "last:1w"],
        ["--mode", "tiny"],
        ["--username", "ann\udcff"],
        ["--token", "tök"],
        ["--token", "two\nlines"],
    ],
    ids=" ".join,
)
def test_what_no_request_can_carry_is_refused_in_a_line(options: list[str]) -> None:
    words = ["account", "add", "--host", "h", "--username", "u", *options]
    result = CliRunner().invoke(app, words, env={VARIABLE: "secret"})
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code in {1, 2}
    assert "Invalid metadata" not in result.stderr


def test_a_ca_file_may_have_comments_in_any_language(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes("# Főtanúsítvány".encode() + b"\xff\n")
    words = [
        "account",
        "add",
        "--host",
        "h",
        "--username",
        "u",
        "--ca-file",
        str(file),
        "--address",
        "127.0.0.1:1",
    ]
    result = CliRunner().invoke(app, words, env={VARIABLE: "secret"})
    assert "no mailsync service answers" in result.stderr


def test_a_server_on_another_machine_is_spoken_to_over_tls_only() -> None:
    assert Target("127.0.0.1:1").credentials() is None
    assert Target("unix:/run/mailsync.sock").credentials() is None
    assert Target("mail.example.org:50051").credentials() is not None


def test_a_token_is_not_in_the_representation_of_a_target() -> None:
    assert "secret" not in repr(Target(token="secret"))


def test_the_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "pass word")
    assert read_password("anna", from_stdin=False) == "pass word"


def test_without_a_terminal_or_a_password_the_ways_to_give_one_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    result = CliRunner().invoke(app, ["account", "add", "--host", "h", "--username", "u"])
    assert result.exit_code == 1
    assert VARIABLE in result.stderr
    assert "--password-stdin" in result.stderr


def test_only_what_is_given_is_changed() -> None:
    account = Account()
    mask = describe(account, "Work", None, ["team=sales"], 12.5, None, None, Mode.MINIMAL)
    assert mask == ["display_name", "labels", "sync.poll_interval", "sync.mode"]
    assert account.sync.mode == SyncMode.SYNC_MODE_MINIMAL
    assert account.display_name == "Work"
    assert account.labels == {"team": "sales"}
    assert account.sync.poll_interval.ToMilliseconds() == 12_500
    assert not account.sync.HasField("full_interval")


def test_a_label_without_a_value_is_refused() -> None:
    with pytest.raises(CommandError, match="expected KEY=VALUE"):
        labels_of(["team"])


def test_a_missing_ca_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    result = CliRunner().invoke(app, ["health", "--tls-ca", str(missing)])
    assert result.exit_code == 1
    assert str(missing) in result.stderr.replace("\n", "")

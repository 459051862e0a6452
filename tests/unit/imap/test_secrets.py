"""Secrets kept outside: those that the operator allows, to the servers that may have them, as they are at this login."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mailsync_grpc.config import SecretsConfig, load
from mailsync_grpc.errors import ConfigError, CredentialsNeededError
from mailsync_grpc.imap.endpoint import Endpoint, Security
from mailsync_grpc.imap.secrets import secret_of

HOST = Endpoint("imap.example.org", 993)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecretsConfig:
    """A directory with secrets, one beside it, and variables."""
    directory = tmp_path / "secrets"
    (directory / "sub").mkdir(parents=True)
    for name, text in (
        ("work", "hunter2\n"),
        ("two", "a\nb\n"),
        ("empty", ""),
        (".hidden", "h"),
        ("sub/in", "s"),
    ):
        (directory / name).write_text(text)
    (directory / "binary").write_bytes(b"\xff\xfe")
    (directory / "long").write_text("x" * 5_000)
    (tmp_path / "outside").write_text("outside")
    os.mkfifo(directory / "pipe")
    for name in ("MAIL_WORK", "OTHER", "MAILSYNC_MASTER_KEY"):
        monkeypatch.setenv(name, f"value of {name}")
    return SecretsConfig(directory=directory, env_prefix="MAIL_", hosts=("example.org",))


def test_a_file_and_a_variable_are_read_as_they_are_at_this_login(
    place: SecretsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.directory is not None
    assert secret_of("file:work", HOST, place) == "hunter2"
    place.directory.joinpath("work").write_text("changed\r\n")
    assert secret_of("file:work", HOST, place) == "changed"
    assert secret_of("env:MAIL_WORK", HOST, place) == "value of MAIL_WORK"
    monkeypatch.setenv("MAIL_WORK", "changed")
    assert secret_of("env:MAIL_WORK", HOST, place) == "changed"


@pytest.mark.parametrize(
    "ref",
    [
        *("file:../outside", "file:sub/in", "file:sub", "file:/etc/passwd", "file:..", "file:.hidden", "file:", "file"),
        *("file:missing", "file:empty", "file:two", "file:binary", "file:long", "file:pipe", "file:work\0", "file:w%6frk"),
        *("env:OTHER", "env:MAIL_", "env:MAIL_MISSING", "env:mail_work", "env:MAILSYNC_MASTER_KEY", "env:MAIL_WORK=x"),
        *("command:id", "work", "", "FILE:work", "file:work\n"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_and_what_is_not_there_are_the_same_to_the_caller(
    place: SecretsConfig, ref: str
) -> None:
    with capture_logs() as logged, pytest.raises(CredentialsNeededError) as caught:
        secret_of(ref, HOST, place)
    assert str(caught.value) == (
        "the secret is not among those that the operator allows for this mail server, or is not there"
    )
    assert [entry["event"] for entry in logged] == ["no_secret"]
    assert "hunter2" not in str(logged)


def test_a_secret_given_as_its_own_name_is_not_logged(place: SecretsConfig) -> None:
    with capture_logs() as logged, pytest.raises(CredentialsNeededError):
        secret_of("hunter2 of mine", HOST, place)
    assert "hunter2" not in str(logged)


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint("evil.example.com", 993),
        Endpoint("evilexample.org", 993),
        Endpoint("example.org.evil.com", 993),
        Endpoint("imap.example.org", 993, ca_pem="whatever a caller trusts"),
        Endpoint("imap.example.org", 143, Security.PLAINTEXT),
    ],
)
def test_a_secret_goes_to_no_server_that_may_not_have_it(place: SecretsConfig, endpoint: Endpoint) -> None:
    with pytest.raises(CredentialsNeededError):
        secret_of("file:work", endpoint, place)
    assert secret_of("file:work", endpoint, place.model_copy(update={"hosts": ("*",)})) == "hunter2"


def test_no_reading_of_our_own_settings_whatever_the_prefix(place: SecretsConfig) -> None:
    """A master key must not go to a mail server as a password."""
    wide = place.model_copy(update={"env_prefix": "MAILSYNC_", "hosts": ("*",)})
    with pytest.raises(CredentialsNeededError):
        secret_of("env:MAILSYNC_MASTER_KEY", HOST, wide)


def test_nothing_can_be_named_unless_the_operator_says_so() -> None:
    for ref in ("file:work", "env:PATH", "env:MAIL_WORK"):
        with pytest.raises(CredentialsNeededError):
            secret_of(ref, HOST, SecretsConfig())


def test_secrets_need_the_domains_that_may_have_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"secrets\.hosts"):
        load(options={"secrets": {"directory": tmp_path}})


def test_a_provider_that_is_not_known_needs_its_endpoints() -> None:
    with pytest.raises(ConfigError, match=r"oauth\.providers\.house: issuer, or"):
        load(options={"oauth": {"providers": {"house": {"client_id": "c"}}}})


def test_providers_and_secrets_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAILSYNC_OAUTH__PROVIDERS__GOOGLE__CLIENT_ID", "c")
    monkeypatch.setenv("MAILSYNC_OAUTH__PROVIDERS__GOOGLE__CLIENT_SECRET", "canary")
    monkeypatch.setenv("MAILSYNC_SECRETS__DIRECTORY", str(tmp_path))
    monkeypatch.setenv("MAILSYNC_SECRETS__HOSTS", "example.org, example.net")
    config = load()
    assert config.oauth.providers["google"].client_id == "c"
    assert config.secrets.hosts == ("example.org", "example.net")
    assert "canary" not in repr(config)

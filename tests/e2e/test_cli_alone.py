"""The command line without a service: settings that cannot be served, and no service to ask."""

from pathlib import Path

import pytest

from tests.support.cli import mailsync


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["--listen", "0.0.0.0:0"], {}, "MAILSYNC_TLS__CERT_FILE"),
        (["--listen", "nonsense"], {}, "listen='nonsense'"),
        (["--metrics", "9464"], {}, "metrics='9464'"),
        (["--workers", "0"], {}, "workers"),
        (["--config", "missing.toml"], {}, "missing.toml"),
        ([], {"MAILSYNC_IMAP__ALLOW_NETWORKS": "10.0.0.0/99"}, "imap.allow_networks"),
        ([], {"MAILSYNC_LOG_LEVEL": "loud"}, "log_level"),
        ([], {"MAILSYNC_APPEND__MAX_SPOOLED_BYTES": "2048"}, "append.max_spooled_bytes"),
        ([], {"MAILSYNC_TOKEN": "from-a-file\n"}, "token: "),
    ],
)
def test_serve_names_a_wrong_setting_and_ends_with_status_2(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], named: str
) -> None:
    done = mailsync("serve", "--data-dir", str(tmp_path / "data"), *arguments, environment=environment)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_every_wrong_setting_has_a_line_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "mailsync.toml"
    file.write_text('listn = "127.0.0.1:0"\nworkers = 0\n', "utf-8")
    done = mailsync("serve", "--config", str(file))
    assert done.returncode == 2
    assert "mailsync: listn: no such setting" in done.stderr.splitlines()
    assert any(line.startswith("mailsync: workers: ") for line in done.stderr.splitlines())


def test_without_a_service_health_fails_and_says_where_it_looked() -> None:
    done = mailsync("health", "--address", "127.0.0.1:1")
    assert done.returncode == 1
    assert "no mailsync service answers at 127.0.0.1:1" in done.stderr

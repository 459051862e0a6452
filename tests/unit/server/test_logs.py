"""Logs: what strangers wrote stays a value on the line of its event."""

import json
from collections.abc import Iterator

import pytest
import structlog

from mailsync_grpc.config import Config
from mailsync_grpc.server import logs

HOSTILE = (
    "a\n2026-01-01T00:00:00Z [error    ] forged",
    "a\r\x1b[2K[error    ] forged",
    "\x1b]0;title\x07",
    "\x0b\x0c\x1c\x85\u2028\u2029 \u202eforged",
    'quote" account="other',
)


@pytest.fixture(autouse=True)
def _own_configuration() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("text", HOSTILE)
def test_log_injection(capsys: pytest.CaptureFixture[str], log_format: str, text: str) -> None:
    logs.configure(Config(log_format=log_format))
    structlog.get_logger().warning("folder_failed", detail=text, more=[text])
    said = capsys.readouterr().err
    assert said.endswith("\n")
    assert said[:-1].isprintable()
    if log_format == "json":
        assert json.loads(said)["detail"] == text


def test_text_of_every_script_is_logged_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Config())
    structlog.get_logger().warning("folder_failed", detail="Ärger 家族 Договор")
    assert "Ärger 家族 Договор" in capsys.readouterr().err

"""The image can be built and starts what it says, as far as that can be seen without an engine."""

import subprocess
import sys
from pathlib import Path

import pytest

from mailsync_grpc import __version__

_PROJECT = Path(__file__).resolve().parents[2]
_ENTRYPOINT = _PROJECT / "deploy" / "docker-entrypoint.sh"


def test_the_build_stage_installs_a_working_mailsync(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, _PROJECT / "scripts" / "docker_steps.py", tmp_path],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith(__version__)
    installed = list((tmp_path / "opt/mailsync/lib").glob("python3*/site-packages"))
    assert (installed[0] / "mailsync_grpc" / "py.typed").exists()
    assert not (installed[0] / "pytest").exists()


def test_the_final_stage_runs_as_an_ordinary_user_and_checks_its_health() -> None:
    final = (_PROJECT / "Dockerfile").read_text("utf-8").split("\nFROM ")[-1].splitlines()
    instructions = [line.split(" ")[0] for line in final]
    assert instructions.index("USER") < instructions.index("ENTRYPOINT")
    assert "HEALTHCHECK" in instructions
    assert "USER mailsync" in final


@pytest.mark.parametrize(
    ("settings", "listen"),
    [
        ({}, ""),
        ({"MAILSYNC_TOKEN": "t"}, ""),
        ({"MAILSYNC_TLS__CERT_FILE": "c", "MAILSYNC_TLS__KEY_FILE": "k"}, "0.0.0.0:50051"),
        (
            {
                "MAILSYNC_TLS__CERT_FILE": "c",
                "MAILSYNC_TLS__KEY_FILE": "k",
                "MAILSYNC_LISTEN": "10.0.0.7:1",
            },
            "10.0.0.7:1",
        ),
    ],
    ids=["nothing set", "token alone", "TLS", "the operator's choice"],
)
def test_the_container_opens_grpc_only_with_tls(settings: dict[str, str], listen: str) -> None:
    shown = subprocess.run(
        [_ENTRYPOINT, "sh", "-c", 'printf %s "${MAILSYNC_LISTEN:-}"'],
        env={"PATH": "/usr/bin:/bin"} | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == listen


@pytest.mark.parametrize(
    "line",
    [
        'user: "10001"',
        "read_only: true",
        "cap_drop: [ALL]",
        'security_opt: ["no-new-privileges:true"]',
        'volumes: ["data:/var/lib/mailsync"]',
    ],
)
def test_the_composed_service_has_no_privileges_and_writes_to_its_volume_alone(line: str) -> None:
    composed = (_PROJECT / "deploy" / "compose.yaml").read_text("utf-8").splitlines()
    assert line in [each.strip() for each in composed]

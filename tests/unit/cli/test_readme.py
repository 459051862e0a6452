"""What the README says is what the code does: its status table, its settings, its commands."""

import re
import shlex
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from mailsync_grpc.cli.main import app
from mailsync_grpc.config import Config
from mailsync_grpc.services.registry import SERVICES, UNIMPLEMENTED

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text("utf-8")
ROW = re.compile(r"^\| (\w+Service) \| (.*?) \| ?(.*?) ?\|$", re.MULTILINE)
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("mailsync ")
]
SETTING = re.compile(r"`([a-z_]+(?:\.[a-z_]+)?)`")


def calls(cell: str) -> set[str]:
    return {name.strip() for name in cell.split(",") if name.strip()}


def test_the_status_table_names_every_call_as_the_server_answers_it() -> None:
    said = {service: (calls(done), calls(missing)) for service, done, missing in ROW.findall(README)}
    assert said == {
        name: (
            {method.name for method in service.methods if f"{name}.{method.name}" not in UNIMPLEMENTED},
            {method.name for method in service.methods if f"{name}.{method.name}" in UNIMPLEMENTED},
        )
        for name, service in SERVICES.items()
    }


def settings(model: type[BaseModel], prefix: str = "") -> set[str]:
    names: set[str] = set()
    for name, field in model.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            names |= settings(section, f"{name}.")
        else:
            names.add(prefix + name)
    return names


def test_the_table_of_settings_names_every_setting_and_no_other() -> None:
    table = README.split("## Configuration")[1].split("## Documentation")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(SETTING.findall(" ".join(rows))) == settings(Config)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_tour_exists_with_its_options(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    options = [word for word in words if word.startswith("-")]
    path = [word for word in words if not word.startswith("-")][
        : 2 if words[0] in {"account", "folder", "envelope", "events", "token"} else 1
    ]
    if words[0] == "content":
        path = ["content", words[1] if words[1] == "purge" else "get"]
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert all(option in shown.output for option in options)


@pytest.mark.parametrize(
    "page", [*sorted(ROOT.glob("docs/**/*.md")), ROOT / "README.md"], ids=lambda page: page.name
)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target

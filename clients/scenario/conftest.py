"""The mirror programs of the scenario, named on the command line, and its cast."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.scenario.cast import Scenario, cast
from clients.scenario.processes import Program


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--mirror",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="a client's mirror program; it must take --address, --account, --state and --until-quiet",
    )


@pytest.fixture
def scenario(pytestconfig: pytest.Config, tmp_path: Path) -> Iterator[Scenario]:
    programs = [Program.parse(argument) for argument in pytestconfig.getoption("--mirror")]
    assert programs, "name at least one mirror program by --mirror NAME=COMMAND"
    with cast(programs, tmp_path) as scenario:
        yield scenario
        # Shown where the test has failed.
        for name, log in scenario.logs().items():
            print(f"--- {name}\n{log}")

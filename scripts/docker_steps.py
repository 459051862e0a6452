"""Perform the Dockerfile's build stage without an engine: its COPY and RUN lines, in a fresh directory that stands for /.

Usage: docker_steps.py DIRECTORY. It reads the Dockerfile itself, so the two cannot drift apart; it knows only the
instructions that stage uses and refuses any other.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent
# The paths of the image that a step may name; they are moved under the given directory.
_IMAGE_PATHS = ("/src", "/opt/mailsync")


def build_stage(dockerfile: str) -> Iterator[tuple[str, str]]:
    """The instructions between the first FROM and the second, each with its arguments."""
    stages = 0
    for line in dockerfile.splitlines():
        instruction, _, arguments = line.partition(" ")
        stages += instruction == "FROM"
        if stages == 1 and instruction.isupper() and instruction != "FROM":
            yield instruction, arguments


def perform(root: Path) -> None:
    """Do the build stage's steps under ``root``; CalledProcessError when one fails, ValueError for an unknown one."""
    workdir = root
    for instruction, arguments in build_stage((_PROJECT / "Dockerfile").read_text("utf-8")):
        print("+", instruction, arguments, flush=True)
        match instruction:
            case "WORKDIR":
                workdir = Path(_moved(arguments, root))
                workdir.mkdir(parents=True)
            case "COPY":
                *sources, target = shlex.split(arguments)
                for source in sources:
                    _copy(_PROJECT / source, workdir / target)
            case "RUN":
                command = ["/bin/sh", "-c", _moved(arguments, root)]
                subprocess.run(command, check=True, cwd=workdir, env=_environment())
            case _:
                raise ValueError(f"the build stage uses {instruction}, which this script does not know")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _moved(text: str, root: Path) -> str:
    for path in _IMAGE_PATHS:
        text = text.replace(path, f"{root}{path}")
    return text


def _environment() -> dict[str, str]:
    """The caller's, with the Python that runs this script as ``python``, as it is in the image."""
    return os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


if __name__ == "__main__":
    perform(Path(sys.argv[1]).resolve())

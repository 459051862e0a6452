"""Coverage-guided fuzzing of one parser, by hand: see README.md. Needs atheris, which is no dependency of this project.

An input fails when it makes the parser raise what is not of the error tree, take more CPU time, or hold more memory
than `tests.support.parsers` allows. Instrumented code is several times slower than plain code, so time is judged with
patience here; the hypothesis tests judge it strictly.
"""

import contextlib
import sys
import time
import tracemalloc
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mailsync_grpc"]):
    from mailsync_grpc.errors import MailsyncError
    from tests.support.parsers import CPU_SECONDS, MAX_INPUT, MEMORY, TARGETS, Target

PATIENCE = 8
"""How many times the strict limit of CPU time an input may take in instrumented code under tracemalloc."""


class TooDearError(Exception):
    """An input that costs more than it may."""


def put(target: Target, data: bytes) -> None:
    """Put one input to a parser."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    began = time.process_time()
    with contextlib.suppress(MailsyncError):
        target.parse(data)
    seconds = time.process_time() - began
    memory = tracemalloc.get_traced_memory()[1] - before
    if seconds > CPU_SECONDS * PATIENCE or memory > MEMORY:
        raise TooDearError(f"{seconds:.3f} s, {memory >> 20} MiB for {len(data)} octets")


def main(arguments: list[str]) -> None:
    """Fuzz the parser that the first argument names; `--list` shows the names. The rest goes to libFuzzer."""
    if len(arguments) < 2 or arguments[1] not in TARGETS:
        print("\n".join(TARGETS))
        sys.exit(0 if arguments[1:] == ["--list"] else 2)
    target = TARGETS[arguments[1]]
    corpus = Path(".fuzz") / arguments[1]
    corpus.mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate(target.samples):
        (corpus / f"sample{number}").write_bytes(sample)
    tracemalloc.start()
    options = [f"-max_len={MAX_INPUT}", f"-artifact_prefix={corpus}-", str(corpus)]
    atheris.Setup([arguments[0], *options, *arguments[2:]], lambda data: put(target, bytes(data)))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)

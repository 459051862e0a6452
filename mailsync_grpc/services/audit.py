"""The audit log: one line for each call that manages the server or changes mail, whoever made it and however it ended.

A line holds names of resources only, in the form that they have in the contract, so nothing that a caller or a mail
server wrote can end or forge a line; it holds no content and no secret. It goes to the log like everything else and, with
`audit_file`, to a file of JSON lines that is opened for each line, so that it may be moved away at any time.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from google.protobuf.message import Message

from mailsync_grpc.errors import ConfigError
from mailsync_grpc.model.ids import ACCOUNT_ID, account_name
from mailsync_grpc.services.quotas import Bucket

MAX_NAMES: Final = 100
"""Names of one line; a call may list a thousand."""

STRANGERS_PER_SECOND, STRANGERS_AT_ONCE = 1.0, 100.0
"""Lines of callers who were not let in: they are bound by no quota, and could fill the disk."""
STRANGER: Final = "unknown"
"""Name of a caller who was not let in."""

_NAME: Final = re.compile(r"(?:accounts|tokens)/[a-zA-Z0-9./-]{1,200}")
_REQUEST_ID: Final = re.compile(r"[0-9a-fA-F-]{1,40}")
_HOLDERS: Final = frozenset(
    "name parent account accounts folder folders names destination select deselect sync_run token selection header".split()
)
"""Fields that hold names of resources, or messages with such fields."""
_log = structlog.get_logger("audit")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `caller` is a token's name, `peer` the address as gRPC has it, `outcome` a gRPC code."""

    caller: str
    peer: str
    method: str
    resources: tuple[str, ...]
    outcome: str
    request_id: str


class Audit:
    """Writes entries. Raises ConfigError when made with a file that cannot be written."""

    def __init__(self, file: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._clock = clock
        self._strangers = Bucket(STRANGERS_PER_SECOND, STRANGERS_AT_ONCE, STRANGERS_AT_ONCE, clock())
        if file is not None:
            try:
                os.close(_opened(file))
            except OSError as error:
                raise ConfigError(f"audit_file={file}: {error.strerror}") from None

    def write(self, entry: Entry) -> None:
        """Write one entry. A file that cannot be written fails no call, whose effect is there; it is an error in the log."""
        if entry.caller == STRANGER and self._strangers.take(self._clock()):
            return
        fields = asdict(entry)
        _log.info("audit", **fields)
        if self._file is None:
            return
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **fields})
        try:
            handle = _opened(self._file)
            try:
                os.write(handle, line.encode() + b"\n")
            finally:
                os.close(handle)
        except OSError as error:
            _log.error("audit file not written", file=str(self._file), error=error.strerror)


def _opened(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def resources(*messages: object) -> tuple[str, ...]:
    """Return the resources that a request and its response name, each once; what is no message names none."""
    found: dict[str, None] = {}
    for message in messages:
        if isinstance(message, Message):
            found |= dict.fromkeys(_names(message, 3))
    return tuple(found)[:MAX_NAMES]


def _names(message: Message, depth: int) -> Iterator[str]:
    wished = getattr(message, "account_id", "")
    if wished and ACCOUNT_ID.fullmatch(wished):
        yield account_name(wished)
    for field, value in message.ListFields():
        if field.name not in _HOLDERS or depth == 0:
            continue
        for each in value if field.is_repeated else (value,):
            if isinstance(each, Message):
                yield from _names(each, depth - 1)
            elif isinstance(each, str) and _NAME.fullmatch(each):
                yield each


def request_id(request: object) -> str:
    """Return a request's id, empty where it has none or something else in its place."""
    text: str = getattr(request, "request_id", "")
    return text if _REQUEST_ID.fullmatch(text) else ""

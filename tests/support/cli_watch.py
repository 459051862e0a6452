"""What tests of `mailsync watch` and `mailsync events replay` do on a stage: let mail arrive, let the log be trimmed."""

import time
from contextlib import closing
from typing import Any

from mailsync_grpc.store.lmdb import open_store
from tests.support.cli import USER, Stage, Watch

_HOUR = 3_600.0


def mail(subject: str) -> bytes:
    """Return a message."""
    return f"From: kim@a.example\r\nSubject: {subject}\r\n\r\nText\r\n".encode()


def arrive(stage: Stage, *subjects: str) -> None:
    """Let mail arrive and be seen."""
    stage.server.deliver(USER, "INBOX", [mail(subject) for subject in subjects])
    stage.run("account", "sync", "work")


def replayed(stage: Stage, *options: str) -> list[int]:
    """Return the revisions that a replay prints."""
    return [int(event["revision"]) for event in stage.objects("events", "replay", *options)]


def bounds(response: dict[str, Any]) -> tuple[int, int]:
    """Return the range of the log that a response covers."""
    return int(response.get("fromRevision", 0)), int(response.get("throughRevision", 0))


def revisions(watch: Watch) -> list[int]:
    """Return the revisions that a watch has printed."""
    return [int(event["revision"]) for response in watch.responses() for event in response.get("events", [])]


def forget(stage: Stage, count: int) -> None:
    """Let the log lose its `count` oldest events, as if hours had passed; restarts the service."""
    stage.service.stop()
    later = open_store(stage.service.data / "data", exclusive=True, clock=lambda: time.time() + 2 * _HOUR)
    with closing(later) as store:
        store.trim_log(_HOUR, 1 << 40, count)
    stage.service.start()

"""`mailsync watch`: events as they happen, from any position on."""

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mailsync_grpc.cli import times
from mailsync_grpc.cli.advice import RESYNC, Advice, advised
from mailsync_grpc.cli.command import connected
from mailsync_grpc.cli.event_view import event_text
from mailsync_grpc.cli.failures import CommandError, Failure
from mailsync_grpc.cli.filter_options import filtered
from mailsync_grpc.cli.folder_paths import FolderPaths
from mailsync_grpc.cli.follow import HEARTBEAT_SECONDS, follow
from mailsync_grpc.cli.resume_file import ResumeFile, looks_like_token
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.snapshot_view import Progress, control_lines, reset_words
from mailsync_grpc.cli.terminal import plain
from mailsync_grpc.v1.event_service_pb2 import (
    EventFilter,
    StartNow,
    StartOldest,
    StartSnapshot,
    WatchEventsRequest,
    WatchEventsResponse,
)

_INTERRUPTED = 130
_LEAST_HEARTBEAT, _MOST_HEARTBEAT = 1.0, 300.0


class OnCompacted(StrEnum):
    """What to do when the position cannot be served."""

    FAIL = "fail"
    RESET = "reset"


@connected
@filtered
def watch(
    session: Session,
    filter_: EventFilter,
    since: Annotated[
        str,
        typer.Option(
            metavar="now|oldest|snapshot|SPAN|TIME|TOKEN",
            help="Where to begin: with the next event, the oldest kept one, the current state, so long ago (90s, 30m,"
            " 2h, 7d), at a time (RFC 3339; a date is midnight UTC), or where a watch ended.",
        ),
    ] = "now",
    resume_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Go on from the position in this file, where there is one, and keep it there.",
            show_default=False,
        ),
    ] = None,
    on_compacted: Annotated[
        OnCompacted,
        typer.Option(help="When the position is kept no more: fail, or begin anew with the current state."),
    ] = OnCompacted.FAIL,
    label: Annotated[
        str,
        typer.Option(
            help="What the service calls this stream in its live view and metrics.", show_default=False
        ),
    ] = "",
    heartbeat: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Have the service show that it lives after so much silence, 1 to 300."
        ),
    ] = HEARTBEAT_SECONDS,
) -> None:
    """Print events as they happen, until Ctrl-C. With --json: every response of the stream, with its resume token."""
    if not _LEAST_HEARTBEAT <= heartbeat <= _MOST_HEARTBEAT:
        raise CommandError(f"--heartbeat: 1 to 300 seconds, not {heartbeat:g}")
    request = watch_request(since, datetime.now(UTC))
    request.filter.CopyFrom(filter_)
    request.label = label
    request.reset_on_compacted = on_compacted is OnCompacted.RESET
    record = None if resume_file is None else ResumeFile(resume_file)
    if record is not None and (token := record.read()):
        request.resume_token = token
    try:
        with advised(_advice(resume_file)):
            asyncio.run(_print_responses(session, request, heartbeat, record))
    except KeyboardInterrupt:
        if record is None and request.resume_token and not session.json:
            session.beside.print(f"\ngo on from here with: --since {request.resume_token}", soft_wrap=True)
        raise typer.Exit(_INTERRUPTED) from None


def watch_request(since: str, now: datetime) -> WatchEventsRequest:
    """The request for a start as people write it. CommandError lists the forms there are."""
    match since:
        case "now":
            return WatchEventsRequest(now=StartNow())
        case "oldest":
            return WatchEventsRequest(oldest=StartOldest())
        case "snapshot":
            return WatchEventsRequest(snapshot=StartSnapshot())
    if (time := times.parse_past(since, now)) is not None:
        request = WatchEventsRequest()
        request.since_time.FromDatetime(time)
        return request
    if looks_like_token(since):
        return WatchEventsRequest(resume_token=since)
    raise CommandError(
        f"--since: not a start: {since} (expected now, oldest, snapshot, {times.FORMS}, or the resume token that a"
        " watch ended with)"
    )


class _Printer:
    """Shows responses to people, each whole before it returns."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._paths = FolderPaths(session)
        self._progress = Progress()

    def show(self, response: WatchEventsResponse) -> None:
        """Print what a response holds; for programs the response itself."""
        if response.HasField("reset"):
            self._progress = Progress()
            self._beside(reset_words(response.reset))
        if self._session.json:
            self._session.print_json(response)
            return
        self._paths.learn(response.snapshot_chunk.folders)
        for event in response.events:
            self._session.out.print(event_text(event, self._paths.at(event)), soft_wrap=True)
        for line in control_lines(response):
            self._session.out.print(line, soft_wrap=True)
        if said := self._progress.take(response.snapshot_chunk):
            self._beside(said)
        self._session.out.file.flush()

    def _beside(self, text: str) -> None:
        self._session.beside.print(plain(text, "dim"), soft_wrap=True)


async def _print_responses(
    session: Session, request: WatchEventsRequest, heartbeat: float, record: ResumeFile | None
) -> None:
    printer = _Printer(session)
    responses = follow(session.target, request, lambda pause: _say_break(session, pause), heartbeat=heartbeat)
    async for response in responses:
        # In a thread, since it may ask for folders, and since a pipe that nobody reads or a disk may hold it up.
        await asyncio.to_thread(printer.show, response)
        if record is not None:
            await asyncio.to_thread(record.write, response.resume_token)


def _say_break(session: Session, pause: float) -> None:
    session.beside.print(f"connection lost, trying again in {pause:.1f} s", style="dim")


def _advice(file: Path | None) -> Advice:
    """What to do about a position from a file, or from --since."""

    def advice(failure: Failure) -> str:
        if failure.reason in RESYNC:
            again = f"; or delete {file} to begin at --since" if file else "; or begin with --since oldest"
            return f"--on-compacted reset begins anew with the current state{again}"
        if failure.reason == "RESUME_TOKEN_INVALID" and file:
            return f"{file} holds no position of this service: name the service with --address, or another file, or delete it"
        if failure.reason == "FILTER_MISMATCH":
            held, other = (
                ("the position in " + str(file), "name another file") if file else ("it", "begin elsewhere")
            )
            return (
                f"{held} was made with other options (--account, --folder, --type …): repeat those, or {other};"
                " --on-compacted reset begins anew where what may be seen has changed"
            )
        return ""

    return advice

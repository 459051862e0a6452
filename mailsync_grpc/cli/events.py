"""`mailsync events replay`: the kept event log, for debugging."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from mailsync_grpc.cli import times
from mailsync_grpc.cli.advice import advised
from mailsync_grpc.cli.command import connected
from mailsync_grpc.cli.event_view import logged_event_text
from mailsync_grpc.cli.failures import CommandError, Failure
from mailsync_grpc.cli.filter_options import filtered, type_word
from mailsync_grpc.cli.folder_paths import FolderPaths
from mailsync_grpc.cli.replay import Replay
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.terminal import plain, plural
from mailsync_grpc.v1.event_pb2 import Event, EventType
from mailsync_grpc.v1.event_service_pb2 import EventFilter, GetEventLogRequest

_RANGE = "Range"
_MOST_REVISION = 2**64 - 1

app = typer.Typer(help="The kept event log.", no_args_is_help=True)


@app.command("replay")
@connected
@filtered
def replay(
    session: Session,
    filter_: EventFilter,
    after: Annotated[
        int | None,
        typer.Option(
            metavar="REVISION",
            help="Begin after this revision, not with the oldest kept event.",
            rich_help_panel=_RANGE,
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN|TIME",
            help="Begin so long ago (90s, 30m, 2h, 7d) or at a time (RFC 3339; a date is midnight UTC).",
            rich_help_panel=_RANGE,
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(
            metavar="REVISION",
            help="End with this revision, not with the newest event.",
            rich_help_panel=_RANGE,
            show_default=False,
        ),
    ] = None,
    until_time: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN|TIME",
            help="End before the first event that is later than this.",
            rich_help_panel=_RANGE,
            show_default=False,
        ),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Count the events of each account and type instead.")
    ] = False,
) -> None:
    """Print the events that are kept, oldest first, up to the newest at this moment, and prove that none is missing.

    With --json: one event a line.
    """
    for option, revision in (("--after", after), ("--until", until)):
        if revision is not None and not 0 <= revision <= _MOST_REVISION:
            raise CommandError(f"{option}: not a revision: {revision}")
    now = datetime.now(UTC)
    request = log_request(after, since, now)
    request.filter.CopyFrom(filter_)
    reading = Replay(
        lambda wanted: session.call(session.events.GetEventLog, wanted),
        request,
        until,
        None if until_time is None else _stamp(times.past("--until-time", until_time, now)),
    )
    with advised(_advice):
        told = (_print_counts if summary else _print_events)(session, reading.events())
    if not session.json:
        session.beside.print(plain(covered_words(reading, told), "dim"), soft_wrap=True)


def log_request(after: int | None, since: str | None, now: datetime) -> GetEventLogRequest:
    """The request for a start: a revision, a time, or the oldest kept event. CommandError for two of them."""
    if after is not None and since is not None:
        raise CommandError("choose one of --after and --since")
    if after is not None:
        return GetEventLogRequest(after_revision=after)
    return GetEventLogRequest(since_time=None if since is None else _stamp(times.past("--since", since, now)))


def covered_words(reading: Replay, told: int) -> str:
    """What was read without a gap, and what is kept."""
    kept = f"kept are those after {reading.floor}, up to {reading.head}"
    if reading.through <= reading.after:
        return f"no revisions in this range; {kept}"
    return f"{plural(told, 'event')} in revisions {reading.after + 1} to {reading.through}, without a gap; {kept}"


def _print_events(session: Session, events: Iterable[Event]) -> int:
    paths, told = FolderPaths(session), 0
    for told, event in enumerate(events, 1):  # noqa: B007  told is how many there were
        if session.json:
            session.print_json(event)
        else:
            session.out.print(logged_event_text(event, paths.at(event)), soft_wrap=True)
    return told


def _print_counts(session: Session, events: Iterable[Event]) -> int:
    counts = Counter((event.account, _type(event)) for event in events)
    if session.json:
        for (account, type_), count in sorted(counts.items()):
            print(json.dumps({"account": account, "type": EventType.Name(type_), "count": count}))
    elif counts:
        session.out.print(_table(counts))
    return counts.total()


def _table(counts: Mapping[tuple[str, EventType.ValueType], int]) -> Table:
    table = Table("Account", "Type", "Events", box=None, header_style="dim")
    table.columns[2].justify = "right"
    for (account, type_), count in sorted(counts.items()):
        table.add_row(plain(account.removeprefix("accounts/")), type_word(type_), f"{count:,}")
    return table


def _type(event: Event) -> EventType.ValueType:
    payload = event.WhichOneof("payload")
    # A type's value is the number of its payload's field.
    return EventType.ValueType(Event.DESCRIPTOR.fields_by_name[payload].number if payload else 0)


def _stamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def _advice(failure: Failure) -> str:
    match failure.reason:
        case "REVISION_COMPACTED":
            floor = failure.metadata.get("floor", "the oldest kept revision")
            return f"begin with the oldest kept event: --after {floor}, or neither --after nor --since"
        case "REVISION_IN_FUTURE":
            return "no event of this log has that revision yet: leave out --after to see which are kept"
    return ""

"""`mailsync watch`: events as they happen."""

import asyncio
from collections.abc import Mapping
from typing import Annotated

import typer

from mailsync_grpc.cli.command import connected
from mailsync_grpc.cli.event_view import event_text
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.follow import follow
from mailsync_grpc.cli.names import account_resource, list_folders, resolve_folders
from mailsync_grpc.cli.session import Session
from mailsync_grpc.v1.event_pb2 import Event, EventType
from mailsync_grpc.v1.event_service_pb2 import EventFilter, StartNow, StartOldest, WatchEventsRequest

_INTERRUPTED = 130


@connected
def watch(
    session: Session,
    start: Annotated[str, typer.Option("--from", metavar="now|oldest|TOKEN", help="Where to start.")] = "now",
    account: Annotated[
        list[str], typer.Option(metavar="ACCOUNT", help="Only this one; may be repeated.", show_default=False)
    ] = [],  # noqa: B006  typer copies it
    folder: Annotated[
        list[str],
        typer.Option(
            metavar="PATH|FOLDER", help="Only this one; a path needs --account.", show_default=False
        ),
    ] = [],  # noqa: B006  typer copies it
    type_: Annotated[
        list[str],
        typer.Option(
            "--type", metavar="TYPE", help="Only these, such as envelope-added.", show_default=False
        ),
    ] = [],  # noqa: B006  typer copies it
) -> None:
    """Print events as they happen, until Ctrl-C. With --json: every response of the stream, with its resume token."""
    filter_ = EventFilter(
        accounts=[account_resource(name) for name in account],
        folders=_folders(session, account, folder),
        types=[event_type(name) for name in type_],
    )
    request = watch_request(start, filter_)
    try:
        asyncio.run(_print_events(session, request))
    except KeyboardInterrupt:
        if request.resume_token and not session.json:
            session.beside.print(f"\ngo on from here with: --from {request.resume_token}", soft_wrap=True)
        raise typer.Exit(_INTERRUPTED) from None


def watch_request(start: str, filter_: EventFilter) -> WatchEventsRequest:
    """The request for a start as people write it: ``now``, ``oldest``, or a token."""
    if start == "now":
        return WatchEventsRequest(now=StartNow(), filter=filter_)
    if start == "oldest":
        return WatchEventsRequest(oldest=StartOldest(), filter=filter_)
    return WatchEventsRequest(resume_token=start, filter=filter_)


def event_type(text: str) -> EventType.ValueType:
    """The type of ``envelope-added``, ``ENVELOPE_ADDED`` or the contract's full name. CommandError lists the types."""
    name = f"EVENT_TYPE_{text.upper().replace('-', '_').removeprefix('EVENT_TYPE_')}"
    if name not in EventType.keys() or not EventType.Value(name):  # noqa: SIM118  no mapping, it only has keys()
        known = (key.removeprefix("EVENT_TYPE_").lower().replace("_", "-") for key in EventType.keys()[1:])
        raise CommandError(f"not a type of event: {text}; there are {', '.join(known)}")
    return EventType.Value(name)


class FolderPaths:
    """Paths of folders by resource name, asked for once an account, then kept up by its events."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._paths: dict[str, str] = {}
        self._accounts: set[str] = set()

    def at(self, event: Event) -> Mapping[str, str]:
        """The paths as they are after this event."""
        if event.folder and event.folder not in self._paths and event.account not in self._accounts:
            self._accounts.add(event.account)
            for page in list_folders(self._session, event.account):
                self._paths.update({folder.name: folder.path for folder in page.folders})
        if event.HasField("folder_changed"):
            self._paths[event.folder] = event.folder_changed.folder.path
        return self._paths


async def _print_events(session: Session, request: WatchEventsRequest) -> None:
    paths = FolderPaths(session)
    async for response in follow(session.target, request, lambda pause: _say_break(session, pause)):
        if session.json:
            session.print_json(response)
            continue
        for event in response.events:
            known = await asyncio.to_thread(paths.at, event)
            session.out.print(event_text(event, known), soft_wrap=True)


def _say_break(session: Session, pause: float) -> None:
    session.beside.print(f"connection lost, trying again in {pause:.1f} s", style="dim")


def _folders(session: Session, accounts: list[str], folders: list[str]) -> list[str]:
    names = [folder for folder in folders if folder.startswith("accounts/")]
    paths = [folder for folder in folders if not folder.startswith("accounts/")]
    if paths and len(accounts) != 1:
        raise CommandError("a folder's path needs the account it is in: one --account")
    return names + (resolve_folders(session, accounts[0], paths) if paths else [])

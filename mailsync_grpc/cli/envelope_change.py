"""`mailsync envelope flag|move|copy|delete`: messages changed on the mail server, and which of them were not."""

import uuid
from collections.abc import Iterable
from typing import Annotated

import typer

from mailsync_grpc.cli.command import connected
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.names import resolve_folder, resolve_folders
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.terminal import plain
from mailsync_grpc.v1.envelope_pb2 import Flags, UidRange
from mailsync_grpc.v1.envelope_service_pb2 import (
    DELETE_MODE_PERMANENT,
    DELETE_MODE_TRASH,
    CopyEnvelopesRequest,
    CopyEnvelopesResponse,
    DeleteEnvelopesRequest,
    DeleteEnvelopesResponse,
    EnvelopeSelection,
    ModifyFlagsRequest,
    ModifyFlagsResponse,
    MoveEnvelopesRequest,
    MoveEnvelopesResponse,
)
from mailsync_grpc.v1.errors_pb2 import ErrorReason
from mailsync_grpc.v1.folder_service_pb2 import GetFolderRequest

CHANGE_SECONDS = 300.0
_SYSTEM = ("seen", "answered", "flagged", "deleted", "draft")

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Its id, such as work.", show_default=False)]
Path = Annotated[
    str, typer.Argument(metavar="PATH", help="The folder's path, such as INBOX.", show_default=False)
]
Uids = Annotated[str, typer.Argument(metavar="UIDS", help="Such as 7 or 1:5,9.", show_default=False)]
Target = Annotated[str, typer.Argument(metavar="TARGET", help="The other folder's path.", show_default=False)]
Response = ModifyFlagsResponse | MoveEnvelopesResponse | CopyEnvelopesResponse | DeleteEnvelopesResponse


@connected
def flag(
    session: Session,
    account: Account,
    path: Path,
    uids: Uids,
    add: Annotated[
        list[str], typer.Option(help="seen, answered, flagged, deleted, draft, or a keyword.")
    ] = [],  # noqa: B006 # typer's
    remove: Annotated[list[str], typer.Option(help="The same, to take away.")] = [],  # noqa: B006 # typer's
    add_label: Annotated[
        list[str], typer.Option(metavar="LABEL", help=r"A label of Gmail, such as work or '\Inbox'.")
    ] = [],  # noqa: B006 # typer's
    remove_label: Annotated[list[str], typer.Option(metavar="LABEL", help="The same, to take away.")] = [],  # noqa: B006 # typer's
) -> None:
    """Add flags and labels to messages and remove others, on the mail server."""
    request = ModifyFlagsRequest(
        selection=_selection(session, account, path, uids),
        add=flags_of(add, add_label),
        remove=flags_of(remove, remove_label),
        request_id=_request_id(),
    )
    response = session.call(session.envelopes.ModifyFlags, request, CHANGE_SECONDS)
    _told(session, response, sum(one.last - one.first + 1 for one in response.succeeded), "changed")


@connected
def move(session: Session, account: Account, path: Path, uids: Uids, target: Target) -> None:
    """Move messages to another folder, on the mail server."""
    request = MoveEnvelopesRequest(
        selection=_selection(session, account, path, uids),
        destination=resolve_folder(session, account, target),
        request_id=_request_id(),
    )
    response = session.call(session.envelopes.MoveEnvelopes, request, CHANGE_SECONDS)
    _told(session, response, len(response.succeeded), "moved")


@connected
def copy(session: Session, account: Account, path: Path, uids: Uids, target: Target) -> None:
    """Copy messages to another folder, on the mail server."""
    request = CopyEnvelopesRequest(
        selection=_selection(session, account, path, uids),
        destination=resolve_folder(session, account, target),
        request_id=_request_id(),
    )
    response = session.call(session.envelopes.CopyEnvelopes, request, CHANGE_SECONDS)
    _told(session, response, len(response.succeeded), "copied")


@connected
def delete(
    session: Session,
    account: Account,
    path: Path,
    uids: Uids,
    permanent: Annotated[bool, typer.Option("--permanent", help="For good, not into the trash.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete messages on the mail server: into the trash, or for good."""
    if permanent and not yes:
        typer.confirm(f"Delete {uids} of {path} for good?", abort=True, err=True)
    request = DeleteEnvelopesRequest(
        selection=_selection(session, account, path, uids),
        mode=DELETE_MODE_PERMANENT if permanent else DELETE_MODE_TRASH,
        request_id=_request_id(),
    )
    response = session.call(session.envelopes.DeleteEnvelopes, request, CHANGE_SECONDS)
    _told(session, response, sum(one.last - one.first + 1 for one in response.succeeded), "deleted")


def _selection(session: Session, account: str, path: str, uids: str) -> EnvelopeSelection:
    (name,) = resolve_folders(session, account, [path])
    folder = session.call(session.folders.GetFolder, GetFolderRequest(name=name)).folder
    return EnvelopeSelection(folder=name, uid_validity=folder.uid_validity, uids=uid_ranges(uids))


def uid_ranges(text: str) -> list[UidRange]:
    """Ranges of ``1:5,9``. CommandError for anything else."""
    try:
        pairs = [
            (first, last or first) for first, _, last in (part.partition(":") for part in text.split(","))
        ]
        return [UidRange(first=int(first), last=int(last)) for first, last in pairs]
    except ValueError:
        raise CommandError(f"not UIDs: {text} (such as 7 or 1:5,9)") from None


def flags_of(names: Iterable[str], labels: Iterable[str] = ()) -> Flags:
    """Flags by the names people know; what is no system flag is a keyword."""
    folded = [(name.removeprefix("\\").casefold(), name) for name in names]
    flags = Flags(keywords=[name for lower, name in folded if lower not in _SYSTEM], labels=labels)
    for system in {lower for lower, _ in folded} & set(_SYSTEM):
        setattr(flags, system, True)
    return flags


def _request_id() -> str:
    return str(uuid.uuid4())


def _told(session: Session, response: Response, succeeded: int, done: str) -> None:
    """Say what was done, and of each message that was not, why; exit status 1 when there is any."""
    if session.json:
        session.print_json(response)
    else:
        session.out.print(f"{succeeded} {'message' if succeeded == 1 else 'messages'} {done}")
        for failure in response.failures:
            reason = ErrorReason.Name(failure.reason).removeprefix("ERROR_REASON_")
            session.beside.print(plain(f"{failure.uid}: {reason}: {failure.message}"), soft_wrap=True)
    if response.failures:
        raise typer.Exit(1)

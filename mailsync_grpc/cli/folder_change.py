"""`mailsync folder create|rename|delete|subscribe|unsubscribe`: folders changed on the mail server."""

import uuid
from typing import Annotated

import typer

from mailsync_grpc.cli.command import connected
from mailsync_grpc.cli.envelope_change import CHANGE_SECONDS, Account, Path
from mailsync_grpc.cli.folder_view import folder_line
from mailsync_grpc.cli.names import account_resource, resolve_folder
from mailsync_grpc.cli.session import Session
from mailsync_grpc.v1.folder_pb2 import Folder
from mailsync_grpc.v1.folder_service_pb2 import (
    CreateFolderRequest,
    DeleteFolderRequest,
    RenameFolderRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)


@connected
def create(
    session: Session,
    account: Account,
    path: Path,
    mirror: Annotated[bool, typer.Option("--mirror", help="Mirror it from now on.")] = False,
) -> None:
    """Create a folder on the mail server."""
    parent = account_resource(account)
    request = CreateFolderRequest(parent=parent, path=path, selected=mirror, request_id=str(uuid.uuid4()))
    _show(session, session.call(session.folders.CreateFolder, request, CHANGE_SECONDS).folder)


@connected
def rename(
    session: Session,
    account: Account,
    path: Path,
    new_path: Annotated[
        str, typer.Argument(metavar="NEW_PATH", help="The whole new path.", show_default=False)
    ],
) -> None:
    """Rename a folder on the mail server, and with it those below it."""
    name = resolve_folder(session, account, path)
    request = RenameFolderRequest(name=name, new_path=new_path, request_id=str(uuid.uuid4()))
    _show(session, session.call(session.folders.RenameFolder, request, CHANGE_SECONDS).folder)


@connected
def delete(
    session: Session,
    account: Account,
    path: Path,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a folder and its messages on the mail server."""
    name = resolve_folder(session, account, path)
    if not yes:
        typer.confirm(f"Delete {path} with all its messages for good?", abort=True, err=True)
    request = DeleteFolderRequest(name=name, request_id=str(uuid.uuid4()))
    deleted = session.call(session.folders.DeleteFolder, request, CHANGE_SECONDS)
    if session.json:
        session.print_json(deleted)
    else:
        session.out.print("deleted")


@connected
def subscribe(session: Session, account: Account, path: Path) -> None:
    """Subscribe to a folder on the mail server."""
    request = SubscribeRequest(name=resolve_folder(session, account, path))
    _show(session, session.call(session.folders.Subscribe, request, CHANGE_SECONDS).folder)


@connected
def unsubscribe(session: Session, account: Account, path: Path) -> None:
    """End the subscription to a folder on the mail server."""
    request = UnsubscribeRequest(name=resolve_folder(session, account, path))
    _show(session, session.call(session.folders.Unsubscribe, request, CHANGE_SECONDS).folder)


def _show(session: Session, folder: Folder) -> None:
    if session.json:
        session.print_json(folder)
    else:
        session.out.print(folder_line(folder))

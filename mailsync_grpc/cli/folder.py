"""`mailsync folder …`: list an account's folders as a tree, choose which are mirrored."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer

from mailsync_grpc.cli.command import connected
from mailsync_grpc.cli.folder_view import folder_line, folder_tree
from mailsync_grpc.cli.names import account_of, account_resource, list_folders, resolve_folders
from mailsync_grpc.cli.progress import follow_sync_run
from mailsync_grpc.cli.session import Session
from mailsync_grpc.v1.folder_pb2 import Folder
from mailsync_grpc.v1.folder_service_pb2 import GetFolderRequest, SelectFoldersRequest

app = typer.Typer(help="Folders of an account.", no_args_is_help=True)

FoldersArgument = Annotated[
    list[str],
    typer.Argument(metavar="ACCOUNT PATH...", help="Or resource names of folders.", show_default=False),
]


@app.command("list")
@connected
def list_(
    session: Session,
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="Its id, such as work.", show_default=False)
    ],
) -> None:
    """List an account's folders as a tree; a full dot means mirrored."""
    name = account_resource(account)
    folders = [folder for page in list_folders(session, name) for folder in page.folders]
    if session.json:
        for folder in folders:
            session.print_json(folder)
    else:
        session.out.print(folder_tree(name, folders, datetime.now(UTC)))


@app.command("select")
@connected
def select(
    session: Session,
    folders: FoldersArgument,
    wait: Annotated[bool, typer.Option(help="Show the first sync until it is done.")] = True,
) -> None:
    """Mirror folders from now on."""
    names = resolve_folders(session, folders[0], folders[1:])
    _change(session, SelectFoldersRequest(parent=account_of(names[0]), select=names), wait=wait)


@app.command("deselect")
@connected
def deselect(session: Session, folders: FoldersArgument) -> None:
    """Mirror folders no longer; what is stored of them is purged here, not on the mail server."""
    names = resolve_folders(session, folders[0], folders[1:])
    _change(session, SelectFoldersRequest(parent=account_of(names[0]), deselect=names), wait=False)


def _refresh(session: Session, folders: Iterable[Folder]) -> None:
    """Read folders again, in place."""
    for folder in folders:
        folder.CopyFrom(session.call(session.folders.GetFolder, GetFolderRequest(name=folder.name)).folder)


def _change(session: Session, request: SelectFoldersRequest, *, wait: bool) -> None:
    changed = session.call(session.folders.SelectFolders, request)
    if wait and changed.sync_run:
        follow_sync_run(session, changed.sync_run, "First sync")
        _refresh(session, changed.folders)
    if session.json:
        session.print_json(changed)
        return
    for folder in changed.folders:
        session.out.print(folder_line(folder))
    if not changed.folders:
        session.out.print("nothing to change", style="dim")

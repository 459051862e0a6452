"""`mailsync envelopes` and `mailsync envelope show`: a folder's messages, newest first, and all of one."""

from collections.abc import Iterator
from typing import Annotated

import typer

from mailsync_grpc.cli.command import connected
from mailsync_grpc.cli.envelope_options import narrowed
from mailsync_grpc.cli.envelope_view import envelope_details, envelope_table
from mailsync_grpc.cli.names import account_of, envelope_resource, resolve_folder
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.view_option import VIEWS, View
from mailsync_grpc.v1.envelope_pb2 import Envelope, EnvelopeView
from mailsync_grpc.v1.envelope_service_pb2 import EnvelopeFilter, GetEnvelopeRequest, ListEnvelopesRequest
from mailsync_grpc.v1.folder_service_pb2 import GetFolderRequest

_PAGE = 1000

app = typer.Typer(
    help="Single messages: their metadata, and changes of them on the mail server.", no_args_is_help=True
)


@connected
@narrowed
def envelopes(
    session: Session,
    which: EnvelopeFilter,
    folder: Annotated[
        str,
        typer.Argument(
            metavar="ACCOUNT|FOLDER", help="An account's id, or a folder's name.", show_default=False
        ),
    ],
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH", help="The folder's path in that account, such as INBOX.", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most envelopes.")] = 20,
    view: Annotated[View, typer.Option(help="How much of each; matters with --json.")] = View.BASIC,
) -> None:
    """List a folder's messages, newest first, all of them or those that meet every condition given."""
    parent = resolve_folder(session, folder, path)
    found = list_envelopes(session, parent, limit, VIEWS[view], which)
    if session.json:
        for envelope in found:
            session.print_json(envelope)
    elif listed := list(found):
        session.out.print(envelope_table(account_of(parent), listed))
    else:
        session.beside.print(_why_none(session, parent, which), style="dim")


@app.command("show")
@connected
def show(
    session: Session,
    name: Annotated[
        str,
        typer.Argument(
            metavar="ENVELOPE", help="ACCOUNT/ENVELOPE_ID, or its whole name.", show_default=False
        ),
    ],
) -> None:
    """Show all metadata of one message."""
    request = GetEnvelopeRequest(name=envelope_resource(name))
    envelope = session.call(session.envelopes.GetEnvelope, request).envelope
    if session.json:
        session.print_json(envelope)
    else:
        session.out.print(envelope_details(envelope))


def _why_none(session: Session, name: str, which: EnvelopeFilter) -> str:
    """What to say instead of an empty table."""
    folder = session.call(session.folders.GetFolder, GetFolderRequest(name=name)).folder
    none = "no messages" if which == EnvelopeFilter() else "no such messages"
    return none if folder.selected else "not mirrored; `mailsync folder select` begins with it"


def list_envelopes(
    session: Session,
    folder: str,
    limit: int,
    view: EnvelopeView.ValueType,
    which: EnvelopeFilter | None = None,
) -> Iterator[Envelope]:
    """The newest envelopes of a folder, at most ``limit``, page by page; pages on which none passes are passed over."""
    request = ListEnvelopesRequest(parent=folder, filter=which, view=view, page_size=min(limit, _PAGE))
    while limit > 0:
        page = session.call(session.envelopes.ListEnvelopes, request)
        yield from page.envelopes[:limit]
        limit -= len(page.envelopes)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token

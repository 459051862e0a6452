"""Which events: the options that `mailsync watch` and `mailsync events replay` share, and the filter they make.

``filtered`` adds the options to a command's own, so that they are written once.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from mailsync_grpc.cli.account_options import labels_of
from mailsync_grpc.cli.command import with_options
from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.names import account_resource, resolve_folders
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.view_option import VIEWS, View
from mailsync_grpc.v1.event_pb2 import EventType
from mailsync_grpc.v1.event_service_pb2 import EventFilter, Share

_PANEL = "Which events"
_SHARE = re.compile(r"(\d{1,3})/(\d{1,3})")
_MOST_SHARES = 256

AccountsOption = Annotated[
    list[str],
    typer.Option(
        "--account",
        metavar="ACCOUNT",
        help="Only of this one; may be repeated.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
FoldersOption = Annotated[
    list[str],
    typer.Option(
        "--folder",
        metavar="PATH|FOLDER",
        help="Only of this one; may be repeated. A path needs --account.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
TypesOption = Annotated[
    list[str],
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Only these, such as envelope-added; may be repeated.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
AccountLabelsOption = Annotated[
    list[str],
    typer.Option(
        "--account-label",
        metavar="KEY=VALUE",
        help="Only of accounts that bear this label; may be repeated.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
ShareOption = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Only of the I-th of N shares of the accounts, I from 0, for several consumers.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
NoBackfillOption = Annotated[
    bool, typer.Option("--no-backfill", help="Without batches of history.", rich_help_panel=_PANEL)
]
ViewOption = Annotated[
    View | None,
    typer.Option(
        help="How much of each envelope; full unless given.", rich_help_panel=_PANEL, show_default=False
    ),
]

Own = ParamSpec("Own")


def filtered(
    command: Callable[Concatenate[Session, EventFilter, Own], None],
) -> Callable[Concatenate[Session, ...], None]:
    """A command for `connected` made of one whose second parameter is an EventFilter."""

    def run(
        session: Session,
        account: AccountsOption = [],  # noqa: B006  typer copies it
        folder: FoldersOption = [],  # noqa: B006  typer copies it
        type_: TypesOption = [],  # noqa: B006  typer copies it
        account_label: AccountLabelsOption = [],  # noqa: B006  typer copies it
        share: ShareOption = None,
        no_backfill: NoBackfillOption = False,
        view: ViewOption = None,
        **own: Any,
    ) -> None:
        filter_ = EventFilter(
            accounts=[account_resource(name) for name in account],
            types=[event_type(name) for name in type_],
            share=None if share is None else share_of(share),
            exclude_backfill=no_backfill,
            account_labels=labels_of(account_label),
        )
        if view is not None:
            filter_.view = VIEWS[view]
        filter_.folders.extend(_folders(session, account, folder))
        # typer hands over exactly the parameters of the signature that `with_options` makes.
        command(session, filter_, **own)  # type: ignore[call-arg]

    return with_options(run, command, before=1)


def event_type(text: str) -> EventType.ValueType:
    """The type of ``envelope-added``, ``ENVELOPE_ADDED`` or the contract's full name. CommandError lists the types."""
    name = f"EVENT_TYPE_{text.upper().replace('-', '_').removeprefix('EVENT_TYPE_')}"
    if name not in EventType.keys() or not EventType.Value(name):  # noqa: SIM118  no mapping, it only has keys()
        raise CommandError(
            f"not a type of event: {text}; there are {', '.join(map(type_word, EventType.values()[1:]))}"
        )
    return EventType.Value(name)


def type_word(type_: EventType.ValueType) -> str:
    """A type as people write it: ``envelope-added``."""
    return EventType.Name(type_).removeprefix("EVENT_TYPE_").lower().replace("_", "-")


def share_of(text: str) -> Share:
    """The share that ``0/4`` names. CommandError when there is none of that number."""
    numbers = _SHARE.fullmatch(text)
    index, count = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if not index < count <= _MOST_SHARES:
        raise CommandError(
            f"not a share: {text} (expected I/N with I from 0 to N-1, such as 0/2 and 1/2 for two consumers;"
            f" N at most {_MOST_SHARES})"
        )
    return Share(index=index, count=count)


def _folders(session: Session, accounts: list[str], folders: list[str]) -> list[str]:
    names = [folder for folder in folders if folder.startswith("accounts/")]
    paths = [folder for folder in folders if not folder.startswith("accounts/")]
    if paths and len(accounts) != 1:
        raise CommandError("a folder's path needs the account it is in: one --account")
    return names + (resolve_folders(session, accounts[0], paths) if paths else [])

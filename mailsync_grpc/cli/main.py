"""The `mailsync` command: every command in one place, and what holds for all of them."""

from importlib.metadata import version
from typing import Annotated

import typer

from mailsync_grpc.cli import (
    account,
    backup,
    content,
    envelope,
    events,
    folder,
    health,
    key,
    serve,
    token,
    watch,
)
from mailsync_grpc.cli.demo.command import demo

_SERVICE, _MAIL, _CHANGES = "The service", "Mail", "What changes"

app = typer.Typer(
    help="Mirrors the metadata of IMAP mailboxes and tells programs, over gRPC, what changed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a fault of ours is a traceback in a log, not a picture
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve", rich_help_panel=_SERVICE)(serve.serve)
app.command("demo", rich_help_panel=_SERVICE)(demo)
app.add_typer(token.app, name="token", rich_help_panel=_SERVICE)
app.add_typer(key.app, name="key", rich_help_panel=_SERVICE)
app.command("backup", rich_help_panel=_SERVICE)(backup.backup)
app.command("health", rich_help_panel=_SERVICE)(health.health)
app.add_typer(account.app, name="account", rich_help_panel=_MAIL)
app.add_typer(folder.app, name="folder", rich_help_panel=_MAIL)
app.command("envelopes", rich_help_panel=_MAIL)(envelope.envelopes)
app.add_typer(envelope.app, name="envelope", rich_help_panel=_MAIL)
app.add_typer(content.app, name="content", rich_help_panel=_MAIL)
app.command("watch", rich_help_panel=_CHANGES)(watch.watch)
app.add_typer(events.app, name="events", rich_help_panel=_CHANGES)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"mailsync {version('mailsync-grpc')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    del show_version  # its callback has done everything


def main() -> None:
    """Entry point of the `mailsync` script."""
    app()

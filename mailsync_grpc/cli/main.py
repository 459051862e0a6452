"""The `mailsync` command: every command in one place, and what holds for all of them."""

from importlib.metadata import version
from typing import Annotated

import typer

from mailsync_grpc.cli import (
    account,
    backup,
    content,
    envelope,
    envelope_change,
    events,
    folder,
    folder_change,
    health,
    key,
    serve,
    token,
    watch,
)
from mailsync_grpc.cli.demo.command import demo

_SERVICE, _MAIL, _CHANGES, _ON_SERVER = "The service", "Mail", "What changes", "On the mail server"

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
folder.app.command("create", rich_help_panel=_ON_SERVER)(folder_change.create)
folder.app.command("rename", rich_help_panel=_ON_SERVER)(folder_change.rename)
folder.app.command("delete", rich_help_panel=_ON_SERVER)(folder_change.delete)
folder.app.command("subscribe", rich_help_panel=_ON_SERVER)(folder_change.subscribe)
folder.app.command("unsubscribe", rich_help_panel=_ON_SERVER)(folder_change.unsubscribe)
envelope.app.command("flag", rich_help_panel=_ON_SERVER)(envelope_change.flag)
envelope.app.command("move", rich_help_panel=_ON_SERVER)(envelope_change.move)
envelope.app.command("copy", rich_help_panel=_ON_SERVER)(envelope_change.copy)
envelope.app.command("delete", rich_help_panel=_ON_SERVER)(envelope_change.delete)
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

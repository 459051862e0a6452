"""The `mailsync` command: every command in one place, and what holds for all of them."""

from importlib.metadata import version
from typing import Annotated

import typer

from mailsync_grpc.cli import account, backup, content, envelope, folder, health, key, serve, token, watch
from mailsync_grpc.cli.demo.command import demo

app = typer.Typer(
    help="Mirrors the metadata of IMAP mailboxes and tells programs, over gRPC, what changed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a fault of ours is a traceback in a log, not a picture
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("demo")(demo)
app.add_typer(account.app, name="account")
app.add_typer(folder.app, name="folder")
app.command("envelopes")(envelope.envelopes)
app.add_typer(envelope.app, name="envelope")
app.command("content")(content.content)
app.command("watch")(watch.watch)
app.add_typer(token.app, name="token")
app.add_typer(key.app, name="key")
app.command("backup")(backup.backup)
app.command("health")(health.health)


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

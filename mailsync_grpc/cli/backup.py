"""`mailsync backup`: copy the store of this machine to another directory, whether or not a server is at work on it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mailsync_grpc.cli.local import ConfigOption, explained
from mailsync_grpc.cli.terminal import octets, plain, plural, to_people
from mailsync_grpc.config import load


def backup(
    directory: Annotated[Path, typer.Argument(help="Where to; a new directory, or an empty one.")],
    config: ConfigOption = None,
    data_dir: Annotated[Path | None, typer.Option(help="Directory of the store to copy.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object a line.")] = False,
) -> None:
    """Copy the store, compact and as of one moment, while the service runs. The copy is a data directory.

    The master key and the content cache are not in it.
    """
    with explained():
        source = load(config, {"data_dir": data_dir}).data_dir
        # Imported here: no other command needs the store.
        from mailsync_grpc.store.backup import back_up  # noqa: PLC0415

        made = back_up(source, directory)
    if as_json:
        print(
            json.dumps(
                {
                    "directory": str(directory),
                    "octets": made.octets,
                    "accounts": made.accounts,
                    "storeEpoch": made.epoch.hex(),
                }
            )
        )
        return
    for line in (
        f"{plural(made.accounts, 'account')}, {octets(made.octets)}, copied to {directory}",
        "Not in it: the master key. Keep a copy of it elsewhere; without it each account needs its credentials anew.",
        "Not in it: the content cache. It fills again as content is asked for.",
        "A server on the copy is a store of its own: clients of this one list anew there.",
    ):
        to_people().print(plain(line), soft_wrap=True)

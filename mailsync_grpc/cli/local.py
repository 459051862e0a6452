"""What the commands on this machine's own data share (`serve`, `backup`): where the settings are, and how failures end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from mailsync_grpc.cli.terminal import plain, to_people_beside
from mailsync_grpc.errors import ConfigError, MailsyncError

ConfigOption = Annotated[
    Path | None,
    typer.Option(help="TOML file with settings.", envvar="MAILSYNC_CONFIG", show_default=False),
]


@contextmanager
def explained() -> Iterator[None]:
    """Turn a failure into a message on standard error; exit status 2 for wrong settings, else 1."""
    try:
        yield
    except MailsyncError as error:
        for line in str(error).splitlines():
            to_people_beside().print(plain(f"mailsync: {line}"), soft_wrap=True)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None

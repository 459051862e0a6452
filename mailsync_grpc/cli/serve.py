"""`mailsync serve`: read the settings, and hand over to the server."""

from pathlib import Path
from typing import Annotated

import typer

from mailsync_grpc.cli.local import ConfigOption, explained
from mailsync_grpc.config import load


def serve(
    config: ConfigOption = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Directory of the store, the cache and the key; made when missing.")
    ] = None,
    listen: Annotated[str | None, typer.Option(help="HOST:PORT or unix:/path of the gRPC port.")] = None,
    metrics: Annotated[str | None, typer.Option(help="HOST:PORT of /metrics, or off.")] = None,
    workers: Annotated[int | None, typer.Option(help="Sync worker processes.")] = None,
) -> None:
    """Run the service until it is told to stop. Settings: file, then MAILSYNC_* environment, then these options."""
    options = {"data_dir": data_dir, "listen": listen, "metrics": metrics, "workers": workers}
    with explained():
        settings = load(config, options)
        # Imported here: no other command should wait for the server's modules.
        from mailsync_grpc import server  # noqa: PLC0415

        server.run(settings)

"""The server: one API process and its sync workers, from the first check to the last connection.

`run` is what `mailsync serve` calls. Metrics of all processes meet in one directory that prometheus_client learns of
from the environment when it is first imported, so that is settled here, before anything that counts is imported.
"""

import asyncio
import os
import shutil
from pathlib import Path

from mailsync_grpc.config import Config
from mailsync_grpc.errors import ConfigError


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises ConfigError, StoreLockedError, StoreSchemaError and StoreCorruptError when it cannot start.
    """
    directory = _metrics_directory(config)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    from mailsync_grpc.server.main import serve  # noqa: PLC0415 - only now does it find the directory

    try:
        asyncio.run(serve(config))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _metrics_directory(config: Config) -> Path:
    """Make an empty directory for this start's counts, and the data directory when it is missing."""
    # One for each process: a second server on the same data directory is refused only when it opens the store.
    directory = config.data_dir / "run" / f"metrics.{os.getpid()}"
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"data_dir={config.data_dir}: {error.strerror}") from None
    return directory

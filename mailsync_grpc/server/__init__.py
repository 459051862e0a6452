"""The server: one API process and its sync workers, from the first check to the last connection.

`run` is what `mailsync serve` calls. Metrics of all processes meet in one directory that prometheus_client learns of
from the environment when it is first imported, so that is settled here, before anything that counts is imported.
"""

import asyncio
import os
import shutil

from mailsync_grpc.config import Config


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises ConfigError, StoreLockedError, StoreSchemaError and StoreCorruptError when it cannot start.
    """
    # One for each start: a second server on the same data directory is refused only when it opens the store.
    directory = config.data_dir / "run" / f"metrics.{os.getpid()}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, mode=0o700)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    from mailsync_grpc.server.main import serve  # noqa: PLC0415 - only now does it find the directory

    try:
        asyncio.run(serve(config))
    finally:
        shutil.rmtree(directory, ignore_errors=True)

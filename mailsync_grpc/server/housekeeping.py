"""What is done in the background for ever: old events dropped, deleted accounts purged, left messages deleted, who may call kept current."""

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn

import structlog

from mailsync_grpc.content.spool import Spool
from mailsync_grpc.errors import MailsyncError, places
from mailsync_grpc.metrics import EVENT_LOG_DROPPED
from mailsync_grpc.services.callers import LOOK_SECONDS
from mailsync_grpc.services.core import Core
from mailsync_grpc.store.base import Store

ROWS: Final = 2_000
"""Rows of one commit, so that no other writer waits long."""
TRIM_EVERY: Final = 60.0
PURGE_EVERY: Final = 5.0
SPOOL_EVERY: Final = 30.0

_log = structlog.get_logger(__name__)


async def trim(core: Core) -> NoReturn:
    """Keep the event log within its age and size."""
    limits = core.config.store

    def step() -> bool:
        dropped = core.store.trim_log(limits.log_max_age, limits.log_max_bytes, ROWS)
        EVENT_LOG_DROPPED.labels("age").inc(dropped.by_age)
        EVENT_LOG_DROPPED.labels("size").inc(dropped.by_size)
        return dropped.more

    await _for_ever(core, step, TRIM_EVERY)


async def purge(core: Core) -> NoReturn:
    """Delete what is left of removed accounts and dropped mirrors."""
    await _for_ever(core, lambda: core.store.purge(ROWS), PURGE_EVERY)


async def spool(core: Core, messages: Spool) -> NoReturn:
    """Delete messages that were to be added to folders and that nobody is to add any more."""

    def step() -> bool:
        clear_spool(core.store, messages)
        return False

    await _for_ever(core, step, SPOOL_EVERY)


def clear_spool(store: Store, messages: Spool) -> None:
    """Delete what no open intent names: left of a crash, or of an account that was removed."""

    def names() -> set[str]:
        accounts = store.accounts_with_intents()
        return {intent.spool for account in accounts for intent in store.open_intents(account)}

    messages.clean(names)


async def callers(core: Core, changed: Callable[[], None]) -> NoReturn:
    """Notice tokens that were made or revoked elsewhere, and accounts whose labels changed; `changed` is told."""
    told = core.callers.version
    while True:
        try:
            await core.run(core.callers.look)
            # Calls look too, so this look may be one that finds nothing new.
            if core.callers.version != told:
                told = core.callers.version
                changed()
        except Exception as error:  # noqa: BLE001 - whatever one look met, the next must see what was revoked
            _log.error("access tokens not looked at", error=type(error).__name__, frames=places(error))
        await asyncio.sleep(LOOK_SECONDS)


async def _for_ever(core: Core, step: Callable[[], bool], pause: float) -> NoReturn:
    """Repeat `step` while it says that more is to be done, then after each pause."""
    while True:
        try:
            while await core.run(step):
                pass
        except MailsyncError as error:
            _log.error("housekeeping failed", error=str(error))
        except Exception as error:  # noqa: BLE001 - whatever one round met, the next may be spared
            _log.error("housekeeping failed", error=type(error).__name__, frames=places(error))
        await asyncio.sleep(pause)

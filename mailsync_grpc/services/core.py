"""What every service works with: the store, the vault, the settings, a clock, who calls, and threads for what blocks.

Services are coroutines on one event loop and the store blocks, so each of their reads and writes is one function run in
a thread of the pool. Threads are few: the work is short, and more of them would only contend.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from mailsync_grpc.config import Config
from mailsync_grpc.errors import AccountNotFoundError
from mailsync_grpc.model.account import Account
from mailsync_grpc.model.ids import Revision, account_name
from mailsync_grpc.services.callers import Callers, current
from mailsync_grpc.store.base import Clock, Store
from mailsync_grpc.vault import Vault

P = ParamSpec("P")
T = TypeVar("T")

STORE_THREADS = 8
IMAP_THREADS = 8


def _pool(threads: int, name: str) -> Callable[[], ThreadPoolExecutor]:
    return lambda: ThreadPoolExecutor(threads, name)


@dataclass(frozen=True, slots=True)
class Core:
    """The services' common ground. `store_threads` run store calls, `imap_threads` logins, which may take long."""

    store: Store
    vault: Vault
    config: Config
    clock: Clock = time.time
    store_threads: ThreadPoolExecutor = field(default_factory=_pool(STORE_THREADS, "store"))
    imap_threads: ThreadPoolExecutor = field(default_factory=_pool(IMAP_THREADS, "login"))
    callers: Callers = field(init=False)

    def __post_init__(self) -> None:
        """Learn who may call."""
        object.__setattr__(self, "callers", Callers(self.store, self.config, self.clock))

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns, run in a thread for store calls; it knows the caller there too."""
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(
            self.store_threads, lambda: context.run(work, *args, **kwargs)
        )

    async def log_in(self, work: Callable[[], T]) -> T:
        """As `run`, for what waits for other servers and may take long."""
        context = copy_context()
        return await asyncio.get_running_loop().run_in_executor(self.imap_threads, context.run, work)

    async def run_to_end(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, but a caller that is cancelled meanwhile leaves when the work has ended, with or without effect."""
        running = asyncio.ensure_future(self.run(work, *args, **kwargs))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise

    def now_ms(self) -> int:
        """Return milliseconds since 1970 UTC."""
        return int(self.clock() * 1000)

    def head(self) -> Revision:
        """Return the revision of the newest event."""
        return self.store.wait_for_commit(Revision(0), 0.0)

    def account(self, account_id: str) -> Account:
        """Return an account. Raises AccountNotFoundError, also for one that the caller may not know of.

        This is the one door to what belongs to an account: everything else is found by the account's number.
        """
        account = self.store.account(account_id)
        if account is None or not current().allows(account):
            raise AccountNotFoundError(account_name(account_id))
        return account

    def close(self) -> None:
        """End the threads; work that was not begun is dropped."""
        self.store_threads.shutdown(wait=True, cancel_futures=True)
        self.imap_threads.shutdown(wait=False, cancel_futures=True)

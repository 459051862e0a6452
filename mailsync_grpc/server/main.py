"""The life of the API process: open, listen, say so, wait, drain, close; each step undone in reverse order."""

import asyncio
import os
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple, Never

import grpc
import structlog
from prometheus_client import start_http_server
from prometheus_client.registry import Collector

from mailsync_grpc import metrics
from mailsync_grpc.config import Config, split_address
from mailsync_grpc.content.reader import ContentReader, open_reader
from mailsync_grpc.discovery.finder import Finder
from mailsync_grpc.errors import ConfigError
from mailsync_grpc.imap.budget import Process, Use
from mailsync_grpc.imap.connecting import connector, ledger_of, policy_of
from mailsync_grpc.imap.sessions import Sessions
from mailsync_grpc.model.account import AccountState
from mailsync_grpc.model.intent import IntentState
from mailsync_grpc.server import api, exposition, housekeeping, logs
from mailsync_grpc.server.supervisor import Supervisor
from mailsync_grpc.services import key_rotation
from mailsync_grpc.services.assembly import About, Services, assemble
from mailsync_grpc.services.content_forgetting import forget_gone
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.login import try_login
from mailsync_grpc.services.watch_feed import Feed
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.keys import SCHEMA
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.sync.logins import logins
from mailsync_grpc.vault import Vault, open_vault

GRACE: Final = 8.0
"""Seconds that calls may take to end once the server stops."""
END_PATIENCE: Final = 9.5
"""Seconds until the process ends, whatever its threads wait for; a crash at any moment is harmless, so this is too."""

_log = structlog.get_logger(__name__)


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT; print one line when ready."""
    logs.configure(config)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        store = await asyncio.to_thread(
            open_store, config.data_dir, exclusive=True, max_bytes=config.store.max_bytes
        )
        stack.callback(store.close)
        _clear_metrics(config.data_dir)
        supervisor = Supervisor(config)
        vault = open_vault(config)
        await asyncio.to_thread(key_rotation.finish, config, store, vault)
        served = await stack.enter_async_context(_api(config, store, vault, supervisor))
        shown = _expose_metrics(
            config.metrics,
            (
                metrics.StoreCollector(lambda: read_store(store, config, supervisor.alive)),
                metrics.WatchCollector(served.services.lag.read),
                metrics.CacheCollector(
                    lambda: metrics.CacheReading(*served.reader.holds(), config.content.max_bytes)
                ),
            ),
            stack,
        )
        await supervisor.start()
        stack.push_async_callback(supervisor.stop)
        print(f"mailsync ready: grpc {served.address}, metrics {shown}", flush=True)  # noqa: T201 - what starters wait for
        await stopping.wait()
        _log.info("stopping")
        _end_in_time()
        await served.services.drain()
        await asyncio.gather(served.server.stop(GRACE), supervisor.stop())


def _end_in_time() -> None:
    # A mail server may leave a login without an answer for minutes, and Python waits for the thread that does.
    timer = threading.Timer(END_PATIENCE, os._exit, (0,))
    timer.daemon = True
    timer.start()


class _Served(NamedTuple):
    """The API at work."""

    address: str
    services: Services
    server: grpc.aio.Server
    reader: ContentReader


@asynccontextmanager
async def _api(config: Config, store: Store, vault: Vault, supervisor: Supervisor) -> AsyncIterator[_Served]:
    """Serve the API while the context lasts."""
    books = ledger_of(config, Process.API)
    sessions = Sessions(connector(config.imap, vault, logins(store, vault, config), books, Use.CONTENT))
    reader = open_reader(config, vault, sessions)
    core = Core(store, vault, config)
    feed = Feed(core)
    server = api.make_server(core)
    about = About("lmdb", SCHEMA, lambda: supervisor.alive)
    services = assemble(core, reader, sessions, feed, try_login(config.imap, books), _finder(config), about)
    async with AsyncExitStack() as stack:
        stack.callback(core.close)
        await stack.enter_async_context(reader)
        feed.start()
        stack.push_async_callback(feed.close)
        for task in (
            housekeeping.trim(core),
            housekeeping.purge(core),
            housekeeping.spool(core, services.spool),
            housekeeping.callers(core, feed.wake),
            services.rates.follow(),
            forget_gone(core, feed, reader),
        ):
            stack.push_async_callback(_cancelled, asyncio.create_task(task))
        await services.add_to(server)
        address = api.bind(server, config)
        await server.start()
        stack.push_async_callback(server.stop, GRACE)
        yield _Served(address, services, server, reader)


def _finder(config: Config) -> Finder:
    return Finder(policy_of(config.imap), config.discovery.timeout, config.discovery.ispdb_url)


async def _cancelled(task: "asyncio.Task[Never]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _clear_metrics(data_dir: Path) -> None:
    """Remove what earlier processes counted; the store's lock tells that none of them lives."""
    mine = f"metrics.{os.getpid()}"
    for directory in (data_dir / "run").glob("metrics.*"):
        if directory.name != mine:
            shutil.rmtree(directory, ignore_errors=True)


def _expose_metrics(address: str, collectors: Sequence[Collector], stack: AsyncExitStack) -> str:
    """Serve /metrics while the stack lasts; return its address."""
    if address == "off":
        return "off"
    host, port = split_address("metrics", address)
    try:
        server, thread = start_http_server(port, host, exposition.registry(*collectors))
    except OSError as error:
        raise ConfigError(f"metrics={address}: {error.strerror}") from None
    stack.callback(thread.join)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}/metrics"


def read_store(store: Store, config: Config, workers: int) -> metrics.StoreReading:
    """Return what a scrape shows of the store."""
    stats = store.stats()
    states = dict.fromkeys((state.name.lower() for state in AccountState), 0)
    after = ""
    while batch := store.accounts(after):
        after = batch[-1].id
        for account in batch:
            states[(AccountState.PAUSED if account.paused else account.state).name.lower()] += 1
    waiting = [one for no in store.accounts_with_intents() for one in store.open_intents(no)]
    changes = {state.name.lower(): 0 for state in IntentState if state is not IntentState.ENDED}
    for intent in waiting:
        changes[intent.state.name.lower()] += 1
    return metrics.StoreReading(
        bytes_used=stats.bytes_used,
        bytes_limit=config.store.max_bytes,
        log_bytes=stats.log_bytes,
        log_floor=stats.log_floor,
        log_head=stats.log_head,
        log_oldest=stats.log_oldest_time / 1000,
        log_max_age=config.store.log_max_age,
        log_max_bytes=config.store.log_max_bytes,
        envelopes=stats.envelopes,
        accounts=states,
        workers=workers,
        changes=changes,
        oldest_change=min((intent.create_time for intent in waiting), default=0) / 1000,
    )

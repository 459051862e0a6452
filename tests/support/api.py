"""The API in the test's own process: real gRPC over a socket, a store filled by the test, a mail server made up."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from mailsync_grpc.config import Config, ContentConfig
from mailsync_grpc.content.reader import open_reader
from mailsync_grpc.discovery.finder import Finder
from mailsync_grpc.errors import ImapError
from mailsync_grpc.imap.auth import AccessToken, Credentials
from mailsync_grpc.imap.budget import Process, Use
from mailsync_grpc.imap.connecting import connector, ledger_of, policy_of
from mailsync_grpc.imap.endpoint import Endpoint
from mailsync_grpc.imap.listing import ListedFolder
from mailsync_grpc.imap.sessions import Sessions
from mailsync_grpc.server import api, housekeeping
from mailsync_grpc.services.assembly import About, Services, assemble
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.login import Greeted
from mailsync_grpc.services.watch_feed import Feed
from mailsync_grpc.store.base import Clock, Store
from mailsync_grpc.sync.logins import logins
from mailsync_grpc.sync.naming import known_as
from mailsync_grpc.v1 import (
    account_service_pb2_grpc,
    content_service_pb2_grpc,
    envelope_service_pb2_grpc,
    folder_service_pb2_grpc,
    system_service_pb2_grpc,
)
from mailsync_grpc.vault import Vault
from tests.support.checked import events_stub, history_of

M = TypeVar("M", bound=Message)
KEY = bytes(range(32))


@dataclass(slots=True)
class FakeMailServer:
    """Takes one password, or fails with `fault`; counts the logins that were tried."""

    password: str = "right"
    fault: ImapError | None = None
    folders: Sequence[ListedFolder] = (
        ListedFolder(b"Sent", "Sent", "/", frozenset({"\\Sent"}), "\\Sent"),
        ListedFolder(b"INBOX", "INBOX", "/"),
        ListedFolder(b"INBOX/Lists", "INBOX/Lists", "/"),
    )
    tried: list[tuple[Endpoint, str]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    refusal: Callable[[], ImapError] | None = None

    def __call__(self, endpoint: Endpoint, credentials: Credentials) -> Greeted:
        self.tried.append((endpoint, credentials.username))
        if self.fault is not None:
            raise self.fault
        shown = credentials.token if isinstance(credentials, AccessToken) else credentials.password
        self.shown.append(shown)
        if shown != self.password and self.refusal is not None:
            raise self.refusal()
        return Greeted(("IDLE", "IMAP4REV1"), tuple(known_as(self.folders, None)))


@dataclass(slots=True)
class Api:
    """A served API and stubs of it. Stubs are untyped: grpc.aio has no declarations for generated ones."""

    store: Store
    core: Core
    services: Services
    feed: Feed
    server: grpc.aio.Server
    address: str
    channel: grpc.aio.Channel
    mail: FakeMailServer
    accounts: Any = None
    folders: Any = None
    envelopes: Any = None
    content: Any = None
    events: Any = None
    system: Any = None

    def __post_init__(self) -> None:
        channel: Any = self.channel
        self.accounts = account_service_pb2_grpc.AccountServiceStub(channel)
        self.folders = folder_service_pb2_grpc.FolderServiceStub(channel)
        self.envelopes = envelope_service_pb2_grpc.EnvelopeServiceStub(channel)
        self.content = content_service_pb2_grpc.ContentServiceStub(channel)
        self.events = events_stub(channel, history_of(self.store.epoch))
        self.system = system_service_pb2_grpc.SystemServiceStub(channel)


@asynccontextmanager
async def serving(
    store: Store, data_dir: Path, pings: api.Pings = api.PINGS, **settings: Any
) -> AsyncIterator[Api]:
    """Serve `store` on a Unix socket while the block runs; `settings` are those of `Config`, and a `clock`.

    Every stream is checked; see `checked`.
    """
    clock: Clock = settings.pop("clock", time.time)
    find = settings.pop("find", None)
    listen = settings.pop("listen", f"unix:{data_dir / 'api.sock'}")
    settings.setdefault("content", ContentConfig(max_disk_use=1))  # whatever the developer's disk holds
    config = Config(data_dir=data_dir, listen=listen, **settings)
    core = Core(store, Vault(KEY), config, clock)
    mail = FakeMailServer()
    async with AsyncExitStack() as stack:
        stack.callback(core.close)
        books = ledger_of(config, Process.API)
        sessions = Sessions(
            connector(config.imap, core.vault, logins(store, core.vault, config), books, Use.CONTENT)
        )
        reader = await stack.enter_async_context(open_reader(config, core.vault, sessions))
        feed = Feed(core)
        feed.start()
        stack.push_async_callback(feed.close)
        stack.callback(asyncio.create_task(housekeeping.callers(core, feed.wake)).cancel)
        services = assemble(
            core,
            reader,
            sessions,
            feed,
            mail,
            find or Finder(policy_of(config.imap)),
            About("memory", 1, lambda: 0),
        )
        server = api.make_server(core, pings)
        await services.add_to(server)
        address = api.bind(server, config)
        await server.start()
        stack.push_async_callback(server.stop, 0)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        yield Api(store, core, services, feed, server, address, channel, mail)
        history_of(store.epoch).settle({account.name for account in store.accounts()})


def details(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Return the `google.rpc.Status` that came with an error."""
    found = next(value for key, value in error.trailing_metadata() or () if key == "grpc-status-details-bin")
    return status_pb2.Status.FromString(found)


def reason(error: grpc.aio.AioRpcError) -> str:
    """Return the reason of an error's ErrorInfo."""
    return str(detail(error, error_details_pb2.ErrorInfo).reason)


def detail(error: grpc.aio.AioRpcError, kind: type[M]) -> M:
    """Return the detail of this kind."""
    found = kind()
    packed = next(each for each in details(error).details if each.Is(kind.DESCRIPTOR))
    packed.Unpack(found)
    return found


def violations(error: grpc.aio.AioRpcError) -> dict[str, str]:
    """Return the violations of a BadRequest by field."""
    request = detail(error, error_details_pb2.BadRequest)
    return {each.field: each.description for each in request.field_violations}

"""All services put together, and added to a server with health and reflection."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from mailsync_grpc import metrics
from mailsync_grpc.content.reader import ContentReader
from mailsync_grpc.content.spool import Spool, open_spool
from mailsync_grpc.discovery.finder import Find
from mailsync_grpc.imap.sessions import Sessions
from mailsync_grpc.model.ids import AccountNo
from mailsync_grpc.services import registry
from mailsync_grpc.services.access_tokens import AccessTokenService
from mailsync_grpc.services.account_lists import AccountListService
from mailsync_grpc.services.accounts import AccountService
from mailsync_grpc.services.append import AppendService
from mailsync_grpc.services.authorizations import AuthorizationService
from mailsync_grpc.services.content import ContentService, PurgeService
from mailsync_grpc.services.core import Core
from mailsync_grpc.services.credentials import CredentialKeeper
from mailsync_grpc.services.discovery import DiscoveryService
from mailsync_grpc.services.envelope_changes import EnvelopeChanges
from mailsync_grpc.services.envelope_scan import Turns
from mailsync_grpc.services.envelopes import EnvelopeService
from mailsync_grpc.services.events import EventService
from mailsync_grpc.services.export import ExportService
from mailsync_grpc.services.folder_changes import FolderChanges
from mailsync_grpc.services.folders import FolderService
from mailsync_grpc.services.intents import Asking
from mailsync_grpc.services.login import TryLogin
from mailsync_grpc.services.on_demand import OnDemand
from mailsync_grpc.services.paging import PageTokens
from mailsync_grpc.services.rates import Counts, Rates
from mailsync_grpc.services.requests import Mutations
from mailsync_grpc.services.streams import Slots
from mailsync_grpc.services.sync_runs import SyncRunService
from mailsync_grpc.services.system import SystemService
from mailsync_grpc.services.tokens import ResumeTokens
from mailsync_grpc.services.watch_feed import Feed
from mailsync_grpc.services.watch_lag import WatchLag

HEALTH: Final = "grpc.health.v1.Health"


@dataclass(frozen=True, slots=True)
class About:
    """What the server knows of itself: its store's kind and schema, how many workers live."""

    engine: str
    schema_version: int
    workers: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Services:
    """Every service of the contract over one core. Made by `assemble`.

    `rates` hold for the last minute while somebody lets them `follow`.
    """

    servicers: Mapping[str, Sequence[object]]
    feed: Feed
    lag: WatchLag
    rates: Rates
    spool: Spool
    health: Any = field(default_factory=health.aio.HealthServicer)

    async def add_to(self, server: grpc.aio.Server) -> None:
        """Register everything with a server that has not been started, and report SERVING."""
        for name, service in registry.SERVICES.items():
            server.add_generic_rpc_handlers((registry.handlers(service, self.servicers[name]),))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        names = [service.full_name for service in registry.SERVICES.values()]
        reflection.enable_server_reflection([*names, HEALTH, reflection.SERVICE_NAME], server)
        for name in ("", *names):
            await self.health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def drain(self) -> None:
        """Report NOT_SERVING and end the event streams with GOODBYE."""
        await self.health.enter_graceful_shutdown()
        self.feed.drain()


def assemble(
    core: Core,
    reader: ContentReader,
    sessions: Sessions,
    feed: Feed,
    try_login: TryLogin,
    find: Find,
    about: About,
) -> Services:
    """Return the services; `sessions` is the pool that `reader` uses and closes."""
    page_tokens = PageTokens(core.vault)
    resume_tokens = ResumeTokens(core.vault, core.store.epoch)
    mutations = Mutations(core)
    keeper = CredentialKeeper(core)
    asking = Asking(core, mutations)
    snapshots, turns = Slots(core.config.watch.max_snapshots), Turns()
    events = EventService(core, feed, page_tokens, resume_tokens, snapshots)
    rates = Rates(lambda: Counts(feed.head, metrics.deliveries()))
    spool = open_spool(core.config, core.vault)
    forget: Callable[[AccountNo], Awaitable[None]] = reader.purge_account
    return Services(
        {
            "AccountService": (
                AccountService(core, mutations, keeper, try_login, forget),
                AccountListService(core, page_tokens, resume_tokens),
                AuthorizationService(core, mutations, keeper, try_login),
                SyncRunService(core, mutations, page_tokens),
                DiscoveryService(find, oauth=frozenset(core.config.oauth.providers)),
            ),
            "FolderService": (
                FolderService(core, mutations, page_tokens, resume_tokens),
                FolderChanges(core, asking),
            ),
            "EnvelopeService": (
                EnvelopeService(core, page_tokens, resume_tokens, OnDemand(core, sessions), turns),
                ExportService(core, page_tokens, resume_tokens, snapshots, turns),
                EnvelopeChanges(core, asking),
                AppendService(core, asking, spool),
            ),
            "ContentService": (ContentService(core, reader),),
            "EventService": (events,),
            "SystemService": (
                SystemService(
                    core,
                    about.engine,
                    about.schema_version,
                    core.now_ms(),
                    events.streams,
                    about.workers,
                    rates,
                    reader,
                ),
                AccessTokenService(core, mutations, page_tokens),
                PurgeService(core, mutations, reader),
            ),
        },
        feed,
        WatchLag(core, events.streams),
        rates,
        spool,
    )


def built_calls(services: Services) -> set[str]:
    """Return the calls that are served, as `Service.Method`."""
    found: set[str] = set()
    for name, servicers in services.servicers.items():
        service: ServiceDescriptor = registry.SERVICES[name]
        found |= registry.built(service, servicers)
    return found

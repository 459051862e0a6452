"""Watchers of a real service, to which everything happens that may happen to them, at random but from one seed.

The mailbox changes, accounts and selections are edited, connections are cut, streams are left, the log is compacted under
them, and the service is killed and started again. Every stream is checked, and at the end every watcher must know what a
fresh listing and the store say.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.v1 import account_pb2, envelope_pb2, event_pb2, folder_pb2, folder_service_pb2
from mailsync_grpc.v1 import account_service_pb2 as account
from mailsync_grpc.v1 import event_service_pb2 as pb
from tests.support.cutting import CuttingRelay
from tests.support.mail import Mailbox
from tests.support.model_client import OF_MESSAGES, Change, Kind, SecondClient
from tests.support.replica import differences, state_of
from tests.support.replica_wire import Follower, Stubs, fresh
from tests.support.service import Service
from tests.support.service import Stubs as BlockingStubs
from tests.support.stream_filter import Wanted

ACCOUNTS = ("one", "two")
CHANNELS = 12
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)
_HOURS_AHEAD = 7_200


@dataclass(slots=True)
class Faults:
    """The stage. Every act may fail while the service is away, and is then left."""

    service: Service
    mailbox: Mailbox
    random: Random
    relay: CuttingRelay
    wires: list[Stubs]
    followers: list[Follower]
    client: SecondClient = field(init=False)
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.client = SecondClient(self.mailbox)

    # What changes

    async def change_mail(self) -> None:
        """One random change of the mailbox, seldom of its folders."""
        kind = self.random.choice([*OF_MESSAGES * 4, *Kind])
        folders = sorted({*self.client.folders, "Work"})
        folder, target = self.random.choices(folders, k=2)
        which, many = self.random.randrange(50), self.random.randint(1, 6)
        await asyncio.to_thread(self.client.make, Change(kind, folder, which, many, target))

    async def edit(self) -> None:
        """Change what people edit: the labels of an account, or which of its folders are mirrored."""
        name, wire = f"accounts/{self.random.choice(ACCOUNTS)}", self.random.choice(self.wires)
        if self.random.random() < 0.5:
            labels = {"team": self.random.choice(("blue", "red"))}
            edited = account_pb2.Account(name=name, labels=labels)
            request = account.UpdateAccountRequest(account=edited, update_mask=FieldMask(paths=["labels"]))
            await wire.accounts.UpdateAccount(request, timeout=10)
        else:
            found = await wire.folders.ListFolders(
                folder_service_pb2.ListFoldersRequest(parent=name), timeout=10
            )
            await self._select(wire, name, self.random.choice(found.folders))

    @staticmethod
    async def _select(wire: Stubs, name: str, folder: folder_pb2.Folder) -> None:
        if folder.selectable and folder.path != "INBOX":
            chosen = {"deselect" if folder.selected else "select": [folder.name]}
            request = folder_service_pb2.SelectFoldersRequest(parent=name, **chosen)  # type: ignore[arg-type]
            await wire.folders.SelectFolders(request, timeout=10)

    async def sync(self) -> None:
        """Have an account looked at now."""
        request = account.StartSyncRequest(name=f"accounts/{self.random.choice(ACCOUNTS)}")
        await self.random.choice(self.wires).accounts.StartSync(request, timeout=10)

    # What goes wrong

    async def cut_connections(self) -> None:
        """Cut some connections, with all streams on them."""
        self.relay.cut(self.random.choice((0.1, 0.5, 1.0)))

    async def leave_streams(self) -> None:
        """Have some watchers leave their streams, to come back at once or later."""
        for follower in self.random.sample(self.followers, len(self.followers) // 3):
            follower.cut(away=self.random.choice((0, 0, 1, 3)))

    async def compact(self) -> None:
        """Drop the oldest events, some or nearly all, while some watchers are away."""
        for follower in self.random.sample(self.followers, len(self.followers) // 3):
            follower.cut(away=3)
        await asyncio.sleep(2)
        await asyncio.to_thread(self._trim, self.random.choice((200, 100_000)))

    def _trim(self, events: int) -> None:
        data, ahead = self.service.data / "data", _HOURS_AHEAD
        with closing(open_store(data, exclusive=False, clock=lambda: time.time() + ahead)) as store:
            store.trim_log(0, 0, events)

    async def kill(self) -> None:
        """SIGKILL the service and its workers, and start it again."""
        await asyncio.to_thread(self.service.kill)
        await asyncio.sleep(self.random.uniform(0, 1))
        await asyncio.to_thread(self.service.start)

    async def misfortunes(self, seconds: float) -> None:
        """One fault after the other for so long, and each kind once at least."""
        kinds = [self.cut_connections, self.leave_streams, self.compact, self.kill]
        end, due = time.monotonic() + seconds, self.random.sample(kinds, len(kinds))
        while due or time.monotonic() < end:
            await asyncio.sleep(self.random.uniform(0.2, 2))
            fault = due.pop() if due else self.random.choices(kinds, (6, 6, 3, 1))[0]
            await fault()
            self.happened[fault.__name__] += 1

    async def repeatedly(self, act: Callable[[], Coroutine[Any, Any, None]], pause: float) -> None:
        """Do something again and again until cancelled."""
        while True:
            await asyncio.sleep(self.random.uniform(0, 2 * pause))
            try:
                await act()
            except grpc.aio.AioRpcError:
                self.happened[f"refused {act.__name__}"] += 1

    # What must be so in the end

    async def come_to_rest(self) -> int:
        """Pause the accounts and wait until nothing is committed any more; the newest revision then."""
        for name in ACCOUNTS:
            await asyncio.to_thread(self._pause, f"accounts/{name}")
        newest = -1
        while (now := await asyncio.to_thread(self._newest)) != newest:
            newest = now
            await asyncio.sleep(2)
        return newest

    def _pause(self, name: str) -> None:
        with BlockingStubs(self.service.address) as stubs:
            request = account.PauseAccountRequest(name=name)
            stubs.accounts.PauseAccount(request, wait_for_ready=True, timeout=60)

    def _newest(self) -> int:
        with closing(open_store(self.service.data / "data", exclusive=False)) as store:
            return store.stats().log_head

    def _state(self) -> dict[str, bytes]:
        with closing(open_store(self.service.data / "data", exclusive=False)) as store:
            return state_of(store)

    async def assert_all_know(self) -> None:
        """Every watcher that asked for all there is of what it follows knows all there is."""
        held, listings = await asyncio.to_thread(self._state), dict[Wanted, dict[str, bytes]]()
        for number, follower in enumerate(self.followers):
            wanted = Wanted.of(follower.filter)
            if wanted.kinds or not wanted.backfill:
                continue
            if wanted not in listings:
                listings[wanted] = (await fresh(self.wires[0], wanted)).state()
            wrong = differences(follower.replica.state(), listings[wanted])
            assert not wrong, (number, follower.snapshot, follower.filter, wrong[:5])
            if wanted.takes_all() and wanted.view == envelope_pb2.ENVELOPE_VIEW_FULL:
                assert not differences(follower.replica.state(), held)
        assert held


@asynccontextmanager
async def staged(service: Service, mailbox: Mailbox, random: Random) -> AsyncIterator[Faults]:
    """A relay before the running service, and channels through it; no watchers yet."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(CuttingRelay(service.address, random))
        wires = []
        for _ in range(CHANNELS):
            channel: Any = grpc.aio.insecure_channel(relay.address, _OPTIONS)
            wires.append(Stubs(await stack.enter_async_context(channel), service.history))
        yield Faults(service, mailbox, random, relay, wires, [])


def filters_of(inbox: str) -> list[pb.EventFilter]:
    """What watchers ask for: everything, more or less of each envelope, an account, a folder, some kinds of events."""
    flags = event_pb2.EVENT_TYPE_FLAGS_CHANGED
    return [
        pb.EventFilter(),
        pb.EventFilter(view=envelope_pb2.ENVELOPE_VIEW_BASIC),
        pb.EventFilter(view=envelope_pb2.ENVELOPE_VIEW_FLAGS),
        pb.EventFilter(accounts=["accounts/one"]),
        pb.EventFilter(folders=[inbox]),
        pb.EventFilter(types=[flags, event_pb2.EVENT_TYPE_ENVELOPE_MOVED], exclude_backfill=True),
    ]

"""The API and a sync worker over one store and one mailbox, in the test's own process: callers' changes from end to end.

The worker polls hardly ever by itself, so what the mirror shows after a call is what the call's own sync has shown.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mailsync_grpc.content.spool import open_spool
from mailsync_grpc.model.account import SyncSettings
from mailsync_grpc.sync.worker import Worker
from mailsync_grpc.v1 import envelope_pb2, event_pb2
from mailsync_grpc.v1 import envelope_service_pb2 as pb
from tests.support.api import Api, serving
from tests.support.mail import AnyMailbox
from tests.support.mirror import Mirror
from tests.support.service import wait_for

SELDOM = SyncSettings(poll_interval=3_600, full_interval=86_400, batch_size=500, flags_window=10)


@dataclass(slots=True)
class Desk:
    """Where callers ask for changes of `mailbox`."""

    mailbox: AnyMailbox
    mirror: Mirror
    api: Api

    def folder(self, name: str = "INBOX") -> str:
        """The resource name of a folder."""
        return self.mirror.folder(name)[0].name

    def selection(self, uids: Iterable[int] | str, name: str = "INBOX") -> pb.EnvelopeSelection:
        """Messages of a folder by UID; text such as `1:5,9` keeps its ranges."""
        spans = uids.split(",") if isinstance(uids, str) else [str(uid) for uid in uids]
        pairs = [span.partition(":") for span in spans]
        folder, _ = self.mirror.folder(name)
        return pb.EnvelopeSelection(
            folder=folder.name,
            uid_validity=folder.uid_validity,
            uids=[
                envelope_pb2.UidRange(first=int(first), last=int(last or first)) for first, _, last in pairs
            ],
        )

    async def flag(self, uids: Iterable[int] | str, **fields: Any) -> pb.ModifyFlagsResponse:
        """ModifyFlags of INBOX."""
        request = pb.ModifyFlagsRequest(selection=self.selection(uids), **fields)
        response: pb.ModifyFlagsResponse = await self.api.envelopes.ModifyFlags(request)
        return response

    async def move(self, uids: Iterable[int] | str, target: str, **fields: Any) -> pb.MoveEnvelopesResponse:
        """MoveEnvelopes of INBOX."""
        request = pb.MoveEnvelopesRequest(
            selection=self.selection(uids), destination=self.folder(target), **fields
        )
        response: pb.MoveEnvelopesResponse = await self.api.envelopes.MoveEnvelopes(request)
        return response

    async def copy(self, uids: Iterable[int] | str, target: str, **fields: Any) -> pb.CopyEnvelopesResponse:
        """CopyEnvelopes of INBOX."""
        request = pb.CopyEnvelopesRequest(
            selection=self.selection(uids), destination=self.folder(target), **fields
        )
        response: pb.CopyEnvelopesResponse = await self.api.envelopes.CopyEnvelopes(request)
        return response

    async def delete(
        self,
        uids: Iterable[int] | str,
        mode: pb.DeleteMode.ValueType = pb.DELETE_MODE_PERMANENT,
        **fields: Any,
    ) -> pb.DeleteEnvelopesResponse:
        """DeleteEnvelopes of INBOX."""
        request = pb.DeleteEnvelopesRequest(selection=self.selection(uids), mode=mode, **fields)
        response: pb.DeleteEnvelopesResponse = await self.api.envelopes.DeleteEnvelopes(request)
        return response

    def events(self, after: int) -> list[event_pb2.Event]:
        """The events after a revision."""
        return self.mirror.events(after)


@asynccontextmanager
async def desk(mirror: Mirror, directory: Path) -> AsyncIterator[Desk]:
    """The API and a worker over a settled mirror while the block runs."""
    async with serving(mirror.store, directory) as api:
        mirror.sync.env = replace(mirror.sync.env, spool=open_spool(api.core.config, api.core.vault))
        async with working(mirror):
            yield Desk(mirror.mailbox, mirror, api)


@asynccontextmanager
async def working(mirror: Mirror) -> AsyncIterator[None]:
    """A worker over the mirror's store while the block runs."""
    await asyncio.to_thread(mirror.settle)
    mirror.sync.close()
    stopping = threading.Event()
    worker = Worker(mirror.sync.env, 0, 1, 4, stopping)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        await asyncio.to_thread(wait_for, lambda: rests(worker, mirror) or None, 60, "the first turn")
        yield
    finally:
        stopping.set()
        await asyncio.to_thread(thread.join)


def rests(worker: Worker, mirror: Mirror) -> bool:
    """Whether the worker has taken its first turn of the account, which lists and looks at everything."""
    sync = worker._syncs.get(mirror.account.no)
    with worker._wake:
        running = mirror.account.no in worker._scheduler._running
    return sync is not None and sync.next_listing > 0 and not running


def uids(found: Iterable[envelope_pb2.UidRange]) -> list[int]:
    """The UIDs of ranges, one by one."""
    return [uid for one in found for uid in range(one.first, one.last + 1)]

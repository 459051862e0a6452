"""A watch that begins with the current state of a large folder, beside reading the same envelopes from the store.

Ours is the whole stream up to its SnapshotEnd, at a client that does not parse it beyond that. The reference reads the
folder from the same store, page by page, and joins each page's bytes, without a server or a wire. Compared is CPU, that
of the service against that of the reading, since two programs share the machine while ours runs.
"""

from statistics import median

import grpc

from benchmarks import goals
from benchmarks.measure import Usage, ratio, timed
from benchmarks.ours import Ours, ours
from benchmarks.result import Row, unmeasured
from benchmarks.session import Session
from mailsync_grpc.model.folder import Folder
from mailsync_grpc.services.paging import MAX_PAGE_BYTES
from mailsync_grpc.store.base import Store
from mailsync_grpc.store.codec.identity import View, join_envelopes
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.v1.event_service_pb2 import (
    EventFilter,
    StartSnapshot,
    WatchEventsRequest,
)

_PAGE = 1_000


def rows(session: Session) -> list[Row]:
    """Measure a snapshot of the large folder's account."""
    session.tell("snapshot")
    with ours(session.place.small) as service:
        account = service.sync(session.place.mailbox).partition("/folders/")[0]
        store = open_store(service.service.data / "data", exclusive=False)
        try:
            return [_compare(session, service, store, account)]
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            return [unmeasured(goals.SNAPSHOT, "the service has no snapshots yet")]
        finally:
            store.close()


def _compare(session: Session, service: Ours, store: Store, account: str) -> Row:
    stored = store.account(account.removeprefix("accounts/"))
    assert stored is not None
    folders = [folder for folder, _ in store.folders(stored.no)]
    streamed, read = session.rounds(
        lambda: _stream(service, account, session.place.messages),
        lambda: timed(lambda: _read(store, folders)),
    )
    figure = ratio([usage.cpu for usage in streamed], [usage.cpu for usage in read])
    ours_ms, read_ms = (median(usage.cpu for usage in column) * 1e3 for column in (streamed, read))
    note = (
        f"{session.place.messages:,} envelopes; {median(usage.wall for usage in streamed):.2f} s by the clock"
    )
    return Row(goals.SNAPSHOT, figure, ours_ms, read_ms, "ms", note)


def _stream(service: Ours, account: str, messages: int) -> Usage:
    """Read a snapshot to its end."""
    request = WatchEventsRequest(snapshot=StartSnapshot(), filter=EventFilter(accounts=[account]))
    watch = service.stopwatch()
    with watch.running():
        stream = service.stubs.events.WatchEvents(request)
        end = next(each.snapshot_end for each in stream if each.WhichOneof("control") == "snapshot_end")
    stream.cancel()
    assert end.envelopes == messages
    return watch.usage


def _read(store: Store, folders: list[Folder]) -> int:
    """Join every page of the folders; return their octets."""
    octets = 0
    for folder in folders:
        after, more = None, True
        while more:
            page = store.page(folder, after, _PAGE, MAX_PAGE_BYTES)
            octets += len(join_envelopes(folder.key, page.rows, View.FULL))
            after, more = page.rows[-1].uid if page.rows else None, page.more
    return octets

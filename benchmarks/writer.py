"""A writer beside a running service: changes of a mailbox that no mail server has, committed when the bench wants them.

It opens the service's store as a worker does, and the service learns of its commits as of a worker's, by hints. Its
account is paused, so that no worker looks for it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

from benchmarks.ours import Ours
from mailsync_grpc.model.changes import AccountChanged, EnvelopeAdded
from mailsync_grpc.model.ids import Revision
from mailsync_grpc.store.base import Batch, Store
from mailsync_grpc.store.lmdb import open_store
from mailsync_grpc.v1 import event_pb2
from tests.support.store import Mailbox, account_of, message_of

_ACCOUNT = "written"


class Writer:
    """Adds mail to the mailbox, and reads events back as the log has them."""

    def __init__(self, store: Store) -> None:
        account = replace(account_of(store, _ACCOUNT), paused=True)
        store.apply(Batch(account.key, (AccountChanged(account),)))
        self._box = Mailbox.make(store, _ACCOUNT)
        self._uids = count(1)

    def add(self, messages: int, octets: int = 0) -> Revision:
        """Commit so many new messages at once, each larger by `octets`; return the revision of the last event."""
        text = "x" * octets
        made = [message_of(next(self._uids), text=text) for _ in range(messages)]
        changes = tuple(EnvelopeAdded(self._box.folder.key, message) for message in made)
        return self._box.store.apply(Batch(self._box.account.key, changes)).last

    def events(self, last: Revision, number: int) -> list[event_pb2.Event]:
        """Return the `number` events up to revision `last`."""
        records = self._box.store.log(Revision(last - number), number, 1 << 30).records
        return [event_pb2.Event.FromString(record.event) for record in records]


@contextmanager
def writer(service: Ours) -> Iterator[Writer]:
    """A writer into the store of `service` for the block."""
    store = open_store(service.service.data / "data", exclusive=False)
    try:
        yield Writer(store)
    finally:
        store.close()

"""A store filled by the test while a service serves it from another process, as the service's own workers fill it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from mailsync_grpc.model.changes import AccountChanged, FolderChanged, FolderChangeKind
from mailsync_grpc.store.base import Batch
from mailsync_grpc.store.lmdb import LmdbStore, open_store
from tests.support.service import Service
from tests.support.store import Mailbox, account_of, folder_of


@contextmanager
def store_beside(service: Service) -> Iterator[LmdbStore]:
    """The running service's store while the block runs."""
    with closing(open_store(service.data / "data", exclusive=False)) as store:
        yield store


def paused_mailbox(store: LmdbStore) -> Mailbox:
    """A folder of an account that no worker touches."""
    account = replace(account_of(store), paused=True, host="127.0.0.1")
    store.apply(Batch(account.key, (AccountChanged(account),)))
    folder = folder_of(store, account.key)
    store.apply(Batch(account.key, (FolderChanged(folder, FolderChangeKind.CREATED),)))
    return Mailbox(store, account, folder)

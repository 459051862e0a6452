"""The keeper of an account's runs follows what the store says of them."""

from mailsync_grpc.model.changes import SyncRunChanged
from mailsync_grpc.model.folder import Folder, FolderProgress
from mailsync_grpc.model.run import RunState
from mailsync_grpc.store.base import KEPT_RUNS, Batch
from mailsync_grpc.store.memory import MemoryStore
from mailsync_grpc.sync.run_keeper import RunKeeper
from tests.support.store import Mailbox, run_of


def never(_folder: Folder, _progress: FolderProgress) -> bool:
    """No folder is due."""
    return False


def test_an_active_run_goes_on_however_many_are_asked_for_after_it() -> None:
    store = MemoryStore()
    account = Mailbox.make(store).account.key
    keeper = RunKeeper(store, account, lambda: 1_000)
    store.apply(Batch(account, (SyncRunChanged(run_of(store, account)),)))
    keeper.refresh()
    keeper.begin([], never)
    first = keeper.active
    for _ in range(KEPT_RUNS):
        store.apply(Batch(account, (SyncRunChanged(run_of(store, account)),)))
    keeper.refresh()
    keeper.begin([], never)
    assert first is not None
    assert keeper.active is not None
    assert keeper.active.record.no == first.record.no
    assert keeper.active.record.state is RunState.RUNNING

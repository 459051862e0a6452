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


def test_an_active_run_that_the_store_no_longer_keeps_is_given_up_for_the_next() -> None:
    """As when more runs were asked for than are kept; writing its counts would conflict for ever."""
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
    assert keeper.active.record.no == first.record.no + 1
    assert keeper.active.record.state is RunState.RUNNING

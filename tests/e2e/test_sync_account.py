"""What a turn of an account does beside its messages: its folders, its runs, its state. On the same three servers."""

from mailsync_grpc.cli.demo.mailbox import messages
from mailsync_grpc.model.account import AccountState
from mailsync_grpc.model.changes import SyncRunChanged
from mailsync_grpc.model.run import RunKind, RunState, SyncRun
from mailsync_grpc.store.base import Batch, Counter
from tests.support.mirror import Mirror, kinds


def test_one_folder_that_is_gone_does_not_stop_the_others(mirror: Mirror) -> None:
    mirror.mailbox.create_folders("Doomed")
    mirror.settle()
    mirror.select("Doomed")
    mirror.settle()
    mirror.mailbox.delete_folder("Doomed")
    mirror.mailbox.deliver(messages(1))
    mirror.poll()
    assert mirror.same_as_server()
    assert mirror.folder("Doomed")[0].error_reason == "", "it is missing, and not broken"
    account = mirror.store.account("test")
    assert account is not None
    assert account.state is AccountState.ACTIVE


def test_folders_created_and_deleted_elsewhere_are_followed(mirror: Mirror) -> None:
    mirror.settle()
    mirror.mailbox.create_folders("Neu/Ärger")
    mirror.clock.skipped += 600
    mirror.poll()
    assert mirror.folder("Neu/Ärger")[0].parent_id == mirror.folder("Neu")[0].id
    mirror.mailbox.delete_folder("Neu/Ärger")
    before = mirror.head
    mirror.clock.skipped += 600
    mirror.poll()
    assert "folder_removed" not in kinds(mirror.events(before)), "one listing proves nothing"
    mirror.poll()
    assert kinds(mirror.events(before)).count("folder_removed") == 1


def test_a_requested_run_of_one_folder_compares_it_whole(mirror: Mirror) -> None:
    mirror.mailbox.deliver(messages(30))
    mirror.settle()
    mirror.mailbox.store("2", r"+FLAGS.SILENT (\Flagged)")
    folder, _ = mirror.folder()
    number = mirror.store.allocate(Counter.SYNC_RUN)
    run = SyncRun(mirror.account.key, number, 1, RunKind.REQUESTED, folders=(folder.id,))
    mirror.store.apply(Batch(mirror.account.key, (SyncRunChanged(run),)))
    mirror.settle()
    assert mirror.same_as_server()
    ended = mirror.store.run(mirror.account.no, number)
    assert ended is not None
    assert (ended.state, ended.folders_total) == (RunState.SUCCEEDED, 1)


def test_a_shorter_poll_interval_counts_at_once_and_a_longer_one_from_the_next_poll(mirror: Mirror) -> None:
    mirror.configure(poll_interval=3_600.0)
    mirror.settle()
    mirror.poll()
    mirror.configure(poll_interval=10.0)
    mirror.settle()
    assert mirror.sync.next_poll <= mirror.clock() + 11
    mirror.configure(poll_interval=3_600.0)
    mirror.settle()
    assert mirror.sync.next_poll <= mirror.clock() + 11
    mirror.clock.skipped += 11
    mirror.settle()
    assert mirror.sync.next_poll > mirror.clock() + 3_000


def test_wrong_credentials_are_tried_once_and_told_once(mirror: Mirror) -> None:
    mirror.mailbox = mirror.mailbox.with_password("wrong")
    mirror.settle()
    mirror.poll()
    account = mirror.store.account("test")
    assert account is not None
    assert (account.state, account.state_reason) == (AccountState.AUTH_FAILED, "IMAP_AUTH_FAILED")
    assert mirror.connections == []
    assert "wrong" not in account.state_message
    assert kinds(mirror.events()).count("account_changed") == 2, "created, then failed; the second poll waits"

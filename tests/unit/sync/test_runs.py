"""A sync run counts what is done and ends when nothing of it is left."""

from dataclasses import replace

from mailsync_grpc.errors import ImapRefusedError
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.folder import Folder, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.model.run import RunKind, RunState, SyncRun
from mailsync_grpc.sync import runs
from mailsync_grpc.sync.runs import ActiveRun

ACCOUNT = AccountKey(AccountNo(1), "work")
INBOX = Folder(ACCOUNT, FolderNo(1), b"i" * 10, MirrorNo(1), 1, b"INBOX", "INBOX")
SENT = Folder(ACCOUNT, FolderNo(2), b"s" * 10, MirrorNo(2), 1, b"Sent", "Sent")
RUN = SyncRun(ACCOUNT, 1, 1, RunKind.REQUESTED)


def test_a_run_that_a_dead_process_left_goes_before_older_pending_ones() -> None:
    running = replace(RUN, no=5, state=RunState.RUNNING)
    ended = replace(RUN, no=1, state=RunState.SUCCEEDED)
    assert runs.next_run([ended, replace(RUN, no=3), running, replace(RUN, no=2)]) == running
    assert runs.next_run([ended, replace(RUN, no=3), replace(RUN, no=2)]) == replace(RUN, no=2)
    assert runs.next_run([ended]) is None


def test_a_resumed_run_keeps_its_start() -> None:
    first = runs.started(RUN, 2, 1_000)
    assert (first.state, first.start_time, first.folders_total) == (RunState.RUNNING, 1_000, 2)
    assert runs.started(first, 2, 5_000).start_time == 1_000


def test_it_is_done_when_every_folder_is_compared_and_nothing_is_pending() -> None:
    active = ActiveRun(RUN)
    assert not active.done([INBOX, SENT])
    active.compared |= {INBOX.no, SENT.no}
    active.remaining[INBOX.no] = 3
    assert not active.done([INBOX, SENT])
    active.record = active.advanced(INBOX, 3, 0)
    assert active.done([INBOX, SENT])
    assert (active.record.messages_done, active.record.messages_total, active.record.folders_done) == (
        3,
        3,
        2,
    )


def test_totals_count_what_is_done_and_what_is_known_to_be_left() -> None:
    active = ActiveRun(RUN, compared={INBOX.no, SENT.no}, remaining={INBOX.no: 10, SENT.no: 5})
    run = active.advanced(INBOX, 4, 6)
    assert (run.messages_done, run.messages_total, run.folders_done) == (4, 15, 0)
    assert run.version == RUN.version + 1


def test_a_run_of_named_folders_is_about_no_others() -> None:
    active = ActiveRun(replace(RUN, folders=(SENT.id,)))
    assert active.wants(SENT)
    assert not active.wants(INBOX)
    active.compared.add(SENT.no)
    assert active.done([INBOX, SENT])


def test_it_fails_with_the_first_folders_reason_and_ends_the_rest() -> None:
    error = ImapRefusedError("NO such folder")
    active = ActiveRun(RUN, compared={INBOX.no}, failed={SENT.no: error})
    assert active.done([INBOX, SENT])
    run = active.ended([error], 9_000)
    assert (run.state, run.error_reason, run.end_time) == (RunState.FAILED, "IMAP_REFUSED", 9_000)


def test_a_cancelled_run_ends_at_once() -> None:
    active = ActiveRun(replace(RUN, cancel_requested=True))
    assert active.done([INBOX])
    assert active.ended([], 1).state is RunState.CANCELLED

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
    active.record = active.advanced(INBOX, 3, 0, 1_000)
    assert active.done([INBOX, SENT])
    assert (active.record.messages_done, active.record.messages_total, active.record.folders_done) == (
        3,
        3,
        2,
    )


def test_totals_count_what_is_done_and_what_is_known_to_be_left() -> None:
    active = ActiveRun(RUN, compared={INBOX.no, SENT.no}, remaining={INBOX.no: 10, SENT.no: 5})
    run = active.advanced(INBOX, 4, 6, 1_000)
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


def rates(*batches: tuple[int, int], began: int = 0) -> list[float]:
    """The rate after each batch (ms, messages) of a run."""
    active = ActiveRun(replace(RUN, start_time=began))
    found = []
    for now, stored in batches:
        active.record = active.advanced(INBOX, stored, 10, now)
        found.append(active.record.rate)
    return found


def test_the_rate_is_that_of_the_latest_batches() -> None:
    assert rates((1_000, 100), (2_000, 100)) == [100.0, 100.0]
    slow = [(1_000 + 10_000 * n, 100) for n in range(1, runs.RATED_BATCHES + 1)]
    assert rates((1_000, 1_000), *slow)[-1] == 10.0, "the fast begin counts no more"


def test_a_commit_without_messages_leaves_the_rate_alone() -> None:
    assert rates((1_000, 100), (60_000, 0)) == [100.0, 100.0]


def test_a_clock_that_is_set_back_makes_no_rate_negative() -> None:
    found = rates((1_000, 100), (2_000, 100), (-86_400_000, 100), (-86_399_000, 50))
    assert found == [100.0, 100.0, 100.0, 50.0]


def test_a_run_taken_up_from_a_dead_process_is_not_rated_by_the_pause_between() -> None:
    active = ActiveRun(replace(RUN, start_time=1, messages_done=5_000, rate=200.0))
    active.record = active.advanced(INBOX, 100, 10, 3_600_000)
    assert active.record.rate == 200.0
    active.record = active.advanced(INBOX, 100, 10, 3_601_000)
    assert active.record.rate == 100.0


def test_the_rate_of_an_ended_run_is_that_of_all_of_it() -> None:
    active = ActiveRun(replace(RUN, start_time=1_000, messages_done=500, rate=3.0))
    assert active.ended([], 11_000).rate == 50.0


CANCELLED = replace(RUN, no=4, state=RunState.CANCELLED, start_time=1_000, end_time=2_000)


def test_a_cancelled_run_holds_its_folders_until_the_next_full_sync_is_due() -> None:
    assert runs.held([CANCELLED], INBOX, 100_000, 101_999)
    assert not runs.held([CANCELLED], INBOX, 100_000, 102_000)
    assert runs.held([CANCELLED], INBOX, 100_000, 500), "also when the clock was set back"
    of_sent = replace(CANCELLED, folders=(SENT.id,))
    assert not runs.held([of_sent], INBOX, 100_000, 3_000)
    assert runs.held([of_sent], SENT, 100_000, 3_000)


def test_a_later_run_lifts_the_hold_and_one_that_never_began_makes_none() -> None:
    asked = replace(RUN, no=5)
    assert not runs.held([CANCELLED, asked], INBOX, 100_000, 3_000)
    assert not runs.held(
        [CANCELLED, replace(asked, state=RunState.SUCCEEDED, start_time=1)], INBOX, 100_000, 3_000
    )
    withdrawn = replace(asked, state=RunState.CANCELLED, end_time=2_500)
    assert runs.held([CANCELLED, withdrawn], INBOX, 100_000, 3_000)
    assert not runs.held(
        [replace(RUN, state=RunState.RUNNING, start_time=1), withdrawn], INBOX, 100_000, 3_000
    )
    assert not runs.held([], INBOX, 100_000, 3_000)

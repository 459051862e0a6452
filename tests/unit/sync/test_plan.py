"""What a look at a folder calls for follows from the stored state and the answer alone."""

from dataclasses import replace

import pytest

from mailsync_grpc.imap.listing import Selected
from mailsync_grpc.model.account import AccountKey, SyncSettings
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.model.window import Window
from mailsync_grpc.sync import plan
from mailsync_grpc.sync.plan import Look, Validity

FOLDER = Folder(AccountKey(AccountNo(1), "a"), FolderNo(1), b"0" * 10, MirrorNo(1), 1, b"INBOX", "INBOX")


@pytest.mark.parametrize(
    ("stored", "answered", "means"),
    [
        (0, 7, Validity.FIRST),
        (7, 7, Validity.SAME),
        (7, 8, Validity.RESET),
        (7, 6, Validity.RESET),
        (7, None, Validity.UNUSABLE),
        (7, 0, Validity.UNUSABLE),
        (0, None, Validity.UNUSABLE),
    ],
)
def test_no_uidvalidity_is_unusable_and_any_other_number_resets(
    stored: int, answered: int | None, means: Validity
) -> None:
    assert plan.validity(replace(FOLDER, uid_validity=stored), answered) is means


def test_a_folder_is_compared_whole_first_and_after_the_interval() -> None:
    settings = SyncSettings(full_interval=100)
    assert plan.full_due(FolderProgress(), 0.0, settings)
    verified = FolderProgress(expected_exists=0)
    assert not plan.full_due(verified, 99.9, settings)
    assert plan.full_due(verified, 100.0, settings)


def test_a_comparison_of_a_time_yet_to_come_was_made_just_now() -> None:
    assert plan.verified_age(50_000, 150_000) == 100.0
    assert plan.verified_age(150_000, 50_000) == 0.0


def test_a_folder_is_compared_whole_when_another_window_is_to_be_applied() -> None:
    verified = FolderProgress(expected_exists=0, window=Window(newest=5))
    assert not plan.window_changed(verified, SyncSettings(window=Window(newest=5)))
    assert plan.window_changed(verified, SyncSettings(window=Window(newest=6)))
    assert plan.window_changed(verified, SyncSettings())


def test_an_empty_folder_that_stays_empty_is_quiet() -> None:
    assert not plan.count_differs(FolderProgress(expected_exists=0), 0)
    assert plan.count_differs(FolderProgress(expected_exists=0), 1)


def test_folders_come_as_users_want_them() -> None:
    names = ["Archive", "Sent", "INBOX", "Archive/2025"]
    folders = [
        replace(FOLDER, display_name=name, delimiter="/", special_use="\\Sent" if name == "Sent" else "")
        for name in names
    ]
    assert [f.display_name for f in plan.order(folders)] == ["INBOX", "Sent", "Archive", "Archive/2025"]


PROGRESS = FolderProgress(cursor=30, expected_exists=30, synced=True, modseq=50, uid_next=31)
QUIET = Selected(7, 31, 30, 50, None)


@pytest.mark.parametrize(
    ("told", "condstore", "calls_for"),
    [
        pytest.param(QUIET, True, Look.NOTHING, id="all_as_before"),
        pytest.param(replace(QUIET, highest_modseq=51), True, Look.CHANGES, id="flags"),
        pytest.param(replace(QUIET, exists=29), True, Look.NEWEST, id="fewer_at_the_same_modseq"),
        pytest.param(replace(QUIET, uid_next=32), True, Look.NEWEST, id="more_at_the_same_modseq"),
        pytest.param(replace(QUIET, highest_modseq=49), True, Look.WHOLE, id="lower_modseq"),
        pytest.param(replace(QUIET, highest_modseq=None), True, Look.WHOLE, id="modseq_lost"),
        pytest.param(replace(QUIET, uid_next=30), True, Look.WHOLE, id="uidnext_rewound"),
        pytest.param(replace(QUIET, uid_next=1), False, Look.WHOLE, id="uidnext_rewound_without_condstore"),
        pytest.param(replace(QUIET, uid_next=None), False, Look.NEWEST, id="plain_without_uidnext"),
        pytest.param(replace(QUIET, highest_modseq=None), False, Look.NEWEST, id="plain"),
    ],
)
def test_a_look_asks_for_as_much_as_the_counters_call_for(
    told: Selected, condstore: bool, calls_for: Look
) -> None:
    assert plan.look(PROGRESS, told, plan.hints(PROGRESS, told, condstore), condstore) is calls_for


def test_without_a_known_modseq_the_newest_are_listed() -> None:
    unknown = replace(PROGRESS, modseq=0)
    assert plan.look(unknown, QUIET, plan.hints(unknown, QUIET, True), True) is Look.NEWEST


@pytest.mark.parametrize(
    ("uid_next", "usable"), [(None, 0), (1, 0), (30, 0), (31, 31), (4_294_967_295, 4_294_967_295)]
)
def test_a_uidnext_that_a_known_message_has_reached_is_unknown(uid_next: int | None, usable: int) -> None:
    assert plan.hints(PROGRESS, replace(QUIET, uid_next=uid_next), True) == (50, usable)


def test_a_gap_is_the_servers_own_when_two_comparisons_show_it() -> None:
    assert plan.settled_gap(0, 2) == 0
    assert plan.settled_gap(2, 2) == 2
    assert plan.settled_gap(2, 3) == 0


def test_a_folder_is_searched_while_its_answer_is_sure_to_fit() -> None:
    assert [plan.searchable(exists) for exists in (0, 1, plan.SEARCH_LIMIT, plan.SEARCH_LIMIT + 1)] == [
        False,
        True,
        True,
        False,
    ]

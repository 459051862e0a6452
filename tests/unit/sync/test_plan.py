"""What a look at a folder calls for follows from the stored state and the answer alone."""

from dataclasses import replace

import pytest

from mailsync_grpc.model.account import AccountKey, SyncSettings
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.model.window import Window
from mailsync_grpc.sync import plan
from mailsync_grpc.sync.plan import Validity

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

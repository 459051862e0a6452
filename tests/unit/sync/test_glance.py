"""A folder is left alone only when every counter is the stored one, and only where counters can show all changes."""

from dataclasses import replace

import pytest

from mailsync_grpc.imap.listing import FolderStatus
from mailsync_grpc.model.account import AccountKey
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo
from mailsync_grpc.model.ids import AccountNo, FolderNo
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.sync import glance

KEY = AccountKey(AccountNo(1), "a")
FOLDER = Folder(KEY, FolderNo(1), b"0" * 10, MirrorNo(1), 1, b"INBOX", "INBOX", uid_validity=7)
PROGRESS = FolderProgress(cursor=30, expected_exists=29, synced=True, modseq=50, uid_next=31)
STATUS = FolderStatus(29, 31, 7, 50)


def test_the_same_counters_are_an_unchanged_folder() -> None:
    assert glance.worthwhile(FOLDER, PROGRESS)
    assert glance.unchanged(FOLDER, PROGRESS, STATUS)


@pytest.mark.parametrize(
    "status",
    [
        None,
        replace(STATUS, messages=28),
        replace(STATUS, uid_next=32),
        replace(STATUS, uid_next=None),
        replace(STATUS, uid_validity=8),
        replace(STATUS, uid_validity=None),
        replace(STATUS, highest_modseq=51),
        replace(STATUS, highest_modseq=49),
        replace(STATUS, highest_modseq=None),
    ],
)
def test_any_other_counter_is_a_reason_to_look(status: FolderStatus | None) -> None:
    assert not glance.unchanged(FOLDER, PROGRESS, status)


@pytest.mark.parametrize(
    ("folder", "progress"),
    [
        pytest.param(FOLDER, replace(PROGRESS, synced=False), id="first_sync_not_complete"),
        pytest.param(FOLDER, replace(PROGRESS, modseq=0), id="no_modseq"),
        pytest.param(FOLDER, replace(PROGRESS, pending=UidSet.span(3, 4)), id="pending"),
        pytest.param(FOLDER, replace(PROGRESS, leaving=UidSet.span(3, 4)), id="leaving"),
        pytest.param(replace(FOLDER, error_reason="IMAP_REFUSED"), PROGRESS, id="in_trouble"),
    ],
)
def test_what_counters_cannot_settle_is_looked_at(folder: Folder, progress: FolderProgress) -> None:
    assert not glance.worthwhile(folder, progress)

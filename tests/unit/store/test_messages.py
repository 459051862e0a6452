"""Records as clients see them: complete, without credentials, and valid whatever a mail server said."""

from dataclasses import replace

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mailsync_grpc.model.account import Account, AccountKey, AccountState, Security, SyncSettings
from mailsync_grpc.model.folder import Folder, FolderProgress, MirrorNo, Selection
from mailsync_grpc.model.ids import AccountNo, FolderNo, folder_name
from mailsync_grpc.model.run import RunKind, RunState, SyncRun
from mailsync_grpc.model.uidset import UidSet
from mailsync_grpc.model.window import SyncMode, Window
from mailsync_grpc.store.codec import account_message, folder_message, run_message
from mailsync_grpc.store.codec.records import ACCOUNTS, FOLDERS, PROGRESS, RUNS
from mailsync_grpc.v1 import account_pb2, errors_pb2, folder_pb2, sync_run_pb2

ACCOUNT = Account(
    AccountNo(1),
    "acme",
    3,
    "imap.example.org",
    993,
    Security.IMPLICIT_TLS,
    "me",
    b"\x00canary-secret\xff",
    labels={"team": "blue"},
    capabilities=("IMAP4REV1", "IDLE"),
    state_since=1_500,
)
FOLDER = Folder(
    AccountKey(AccountNo(1), "acme"),
    FolderNo(2),
    b"0123456789",
    MirrorNo(3),
    1,
    b"Lists/\xff",
    "Lists/\udcff",
    "/",
    attributes=("\\HasNoChildren", "\\Subscribed", "\\Sent"),
    special_use="\\Sent",
    by_default=True,
    uid_validity=7,
    parent_id=b"abcdefghij",
)
RUN = SyncRun(ACCOUNT.key, 5, 1, RunKind.REQUESTED, folders=(FOLDER.id,), messages_done=2, messages_total=3)


def test_an_account_is_shown_without_its_credentials() -> None:
    message = account_message(ACCOUNT)
    assert b"canary-secret" not in message.SerializeToString()
    assert not message.HasField("auth")
    assert message.auth_kind == account_pb2.AUTH_KIND_PASSWORD
    assert (message.name, message.imap.host, message.imap.port) == ("accounts/acme", "imap.example.org", 993)
    assert message.sync.poll_interval.ToSeconds() == 30
    assert message.state_since.ToMilliseconds() == 1_500
    assert not message.HasField("update_time")


def test_an_accounts_etag_follows_settings_and_not_the_state() -> None:
    etag = account_message(ACCOUNT).etag
    assert (
        account_message(ACCOUNT.in_state(AccountState.AUTH_FAILED, 1, "IMAP_AUTH_FAILED", "no")).etag == etag
    )
    assert account_message(replace(ACCOUNT, sealed_credentials=b"new")).etag != etag
    assert account_message(replace(ACCOUNT, labels={})).etag != etag


def test_a_state_names_its_reason() -> None:
    failed = account_message(ACCOUNT.in_state(AccountState.AUTH_FAILED, 1, "IMAP_AUTH_FAILED", "no"))
    assert failed.state == account_pb2.ACCOUNT_STATE_AUTH_FAILED
    assert failed.state_reason == errors_pb2.ERROR_REASON_IMAP_AUTH_FAILED
    assert account_message(replace(ACCOUNT, paused=True)).state == account_pb2.ACCOUNT_STATE_PAUSED


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        (Window(), None),
        (Window(newest=500), account_pb2.Window(newest=500)),
        (Window(since=1_700_000_000), account_pb2.Window(since=Timestamp(seconds=1_700_000_000))),
        (
            Window(days=1, months=2, years=3),
            account_pb2.Window(sliding=account_pb2.SlidingWindow(days=1, months=2, years=3)),
        ),
    ],
    ids=["whole", "newest", "since", "sliding"],
)
def test_an_account_shows_its_window(window: Window, shown: account_pb2.Window | None) -> None:
    message = account_message(replace(ACCOUNT, settings=SyncSettings(window=window)))
    assert message.sync.HasField("window") == (shown is not None)
    assert message.sync.window == (shown or account_pb2.Window())


@pytest.mark.parametrize(
    ("settings", "capabilities", "notices"),
    [
        (SyncSettings(window=Window(days=1)), (), []),
        (SyncSettings(mode=SyncMode.MINIMAL), ("OBJECTID",), ["METADATA_ON_DEMAND", "BOUNCES_NOT_DETECTED"]),
        (
            SyncSettings(mode=SyncMode.MINIMAL, window=Window(newest=9)),
            ("IDLE", "X-GM-EXT-1"),
            ["METADATA_ON_DEMAND", "BOUNCES_NOT_DETECTED"],
        ),
        (
            SyncSettings(mode=SyncMode.MINIMAL, window=Window(days=1)),
            ("IDLE",),
            ["METADATA_ON_DEMAND", "MOVES_NOT_DETECTED", "BOUNCES_NOT_DETECTED", "WINDOW_BY_SEARCH"],
        ),
    ],
    ids=["full", "minimal", "newest", "by-date"],
)
def test_an_account_says_what_minimal_mode_cannot_do(
    settings: SyncSettings, capabilities: tuple[str, ...], notices: list[str]
) -> None:
    message = account_message(replace(ACCOUNT, settings=settings, capabilities=capabilities))
    assert message.sync.mode == settings.mode.value
    found = [account_pb2.AccountNotice.Name(notice) for notice in message.notices]
    assert found == [f"ACCOUNT_NOTICE_{name}" for name in notices]


def test_a_folder_shows_what_its_server_said_of_it() -> None:
    message = folder_message(
        replace(FOLDER, mailbox_id="M\udcff"), FolderProgress(uid_next=9, modseq=1 << 60)
    )
    assert (message.mailbox_id, message.uid_next, message.highest_modseq) == ("M\ufffd", 9, 1 << 60)


def test_a_running_run_tells_its_rate_and_what_that_leaves() -> None:
    running = replace(RUN, state=RunState.RUNNING, rate=2.0, messages_done=1, messages_total=10)
    message = run_message(running)
    assert message.progress.messages_per_second == 2.0
    assert message.progress.remaining.ToMilliseconds() == 4_500
    for quiet in (
        replace(running, rate=0.0),
        replace(running, state=RunState.SUCCEEDED),
        replace(running, messages_total=0),
    ):
        assert not run_message(quiet).progress.HasField("remaining")


def test_a_folder_is_shown_with_its_place_and_purpose() -> None:
    message = folder_message(FOLDER, FolderProgress())
    assert (message.name, message.parent) == (FOLDER.name, folder_name("acme", FOLDER.parent_id))
    assert (message.path, message.display_name, message.depth) == ("Lists/\ufffd", "\ufffd", 1)
    assert message.raw_name == b"Lists/\xff"
    assert message.special_use == folder_pb2.SPECIAL_USE_SENT
    assert message.subscribed
    assert folder_message(replace(FOLDER, display_name="INBOX"), FolderProgress()).special_use == (
        folder_pb2.SPECIAL_USE_INBOX
    )


def test_a_folders_state_follows_its_progress() -> None:
    looked = FolderProgress(cursor=9, pending=UidSet.parse("1:3"), expected_exists=10, stored=7, as_of=1_000)
    states = [
        folder_message(folder, progress).state
        for folder, progress in (
            (FOLDER, FolderProgress()),
            (FOLDER, looked),
            (FOLDER, replace(looked, synced=True)),
            (replace(FOLDER, error_reason="FOLDER_NOT_SELECTABLE"), looked),
            (replace(FOLDER, selection=Selection.DESELECTED), looked),
        )
    ]
    assert [folder_pb2.FolderState.Name(state).removeprefix("FOLDER_STATE_") for state in states] == [
        "PENDING", "BACKFILLING", "SYNCED", "FAILED", "NOT_SELECTED"
    ]  # fmt: skip
    counts = folder_message(FOLDER, looked, unseen=4).counts
    assert (counts.messages, counts.unseen, counts.stored, counts.pending) == (10, 4, 7, 3)
    assert not folder_message(FOLDER, FolderProgress()).HasField("counts")


def test_a_run_tells_what_failed() -> None:
    message = run_message(RUN)
    assert list(message.folders) == [FOLDER.name]
    assert (message.progress.messages_done, message.progress.messages_total) == (2, 3)
    assert not message.HasField("error")
    failed = run_message(
        replace(RUN, state=RunState.FAILED, error_reason="IMAP_UNREACHABLE", error_message="gone")
    )
    assert failed.state == sync_run_pb2.SYNC_RUN_STATE_FAILED
    assert (failed.error.reason, failed.error.message) == (errors_pb2.ERROR_REASON_IMAP_UNREACHABLE, "gone")


def test_records_read_back_as_they_were_written() -> None:
    progress = FolderProgress(cursor=4, pending=UidSet.parse("1:2,9"), expected_exists=None, synced=True)
    assert ACCOUNTS.decode(ACCOUNTS.encode(ACCOUNT)) == ACCOUNT
    assert FOLDERS.decode(FOLDERS.encode(replace(FOLDER, display_name="x"))) == replace(
        FOLDER, display_name="x"
    )
    assert PROGRESS.decode(PROGRESS.encode(progress)) == progress
    assert RUNS.decode(RUNS.encode(RUN)) == RUN


def test_records_of_another_version_are_read_with_defaults_and_without_what_is_unknown() -> None:
    assert PROGRESS.decode(b'[{"cursor": 4, "dropped_since": {"a": 1}}]') == FolderProgress(cursor=4)

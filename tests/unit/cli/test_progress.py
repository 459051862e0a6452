"""How the end of a sync run is told."""

import pytest

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.progress import succeeded
from mailsync_grpc.v1.errors_pb2 import ErrorReason
from mailsync_grpc.v1.sync_run_pb2 import SyncError, SyncRun, SyncRunState


def test_a_run_that_went_well_is_handed_on() -> None:
    run = SyncRun(state=SyncRunState.SYNC_RUN_STATE_SUCCEEDED)
    assert succeeded(run) is run


def test_a_run_that_failed_says_why_and_in_how_many_folders() -> None:
    error = SyncError(
        reason=ErrorReason.ERROR_REASON_IMAP_UNREACHABLE, message="connection refused", folders=["a", "b"]
    )
    run = SyncRun(state=SyncRunState.SYNC_RUN_STATE_FAILED, error=error)
    with pytest.raises(CommandError, match=r"^IMAP_UNREACHABLE: connection refused \(in 2 folders\)$"):
        succeeded(run)


def test_a_cancelled_run_is_named() -> None:
    run = SyncRun(name="accounts/work/syncRuns/7", state=SyncRunState.SYNC_RUN_STATE_CANCELLED)
    with pytest.raises(CommandError, match="accounts/work/syncRuns/7 was cancelled"):
        succeeded(run)

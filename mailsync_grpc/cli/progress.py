"""A sync run as a progress bar, asked for several times a second until it has ended."""

import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from mailsync_grpc.cli.failures import CommandError
from mailsync_grpc.cli.session import Session
from mailsync_grpc.cli.terminal import plural, word
from mailsync_grpc.v1.account_service_pb2 import GetSyncRunRequest
from mailsync_grpc.v1.errors_pb2 import ErrorReason
from mailsync_grpc.v1.sync_run_pb2 import SyncRun, SyncRunState

_ASK_SECONDS = 0.2
_UNDER_WAY = {
    SyncRunState.SYNC_RUN_STATE_UNSPECIFIED,
    SyncRunState.SYNC_RUN_STATE_PENDING,
    SyncRunState.SYNC_RUN_STATE_RUNNING,
}


class _Rate(ProgressColumn):
    """Messages a second, as the service measures them."""

    def render(self, task: Task) -> Text:
        rate = task.fields["rate"]
        return Text(f"{rate:,.0f} messages/s" if rate else "", style="dim")


def follow_sync_run(session: Session, name: str, title: str) -> SyncRun:
    """Show a sync run until it has succeeded and return it. CommandError says why it did not."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("messages", style="dim"),
        _Rate(),
        console=session.beside if session.json else session.out,
    )
    with bar:
        task = bar.add_task(title, total=None, rate=0.0)
        while (run := _read(session, name)).state in _UNDER_WAY:
            done = run.progress
            bar.update(
                task,
                completed=done.messages_done,
                total=done.messages_total or None,
                rate=done.messages_per_second,
            )
            time.sleep(_ASK_SECONDS)
        bar.update(task, completed=run.progress.messages_done, total=run.progress.messages_done, rate=0.0)
    return succeeded(run)


def succeeded(run: SyncRun) -> SyncRun:
    """The run itself, when it went well. CommandError with its reason when not."""
    if run.state == SyncRunState.SYNC_RUN_STATE_SUCCEEDED:
        return run
    if run.state == SyncRunState.SYNC_RUN_STATE_CANCELLED:
        raise CommandError(f"{run.name} was cancelled")
    reason = ErrorReason.Name(run.error.reason).removeprefix("ERROR_REASON_")
    where = f" (in {plural(len(run.error.folders), 'folder')})" if run.error.folders else ""
    raise CommandError(f"{reason}: {run.error.message or word(reason, '')}{where}")


def _read(session: Session, name: str) -> SyncRun:
    return session.call(session.accounts.GetSyncRun, GetSyncRunRequest(name=name)).sync_run
